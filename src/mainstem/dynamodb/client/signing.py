"""Signs requests (AWS Signature Version 4), as botocore's signer does, for the one shape that is sent.

botocore's own signer takes ten times as long, most of it for URLs, queries and headers that requests
to DynamoDB never have, and can't be told that the machine's clock is wrong. A test compares both,
byte for byte.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, Protocol
from urllib.parse import urlsplit

CONTENT_TYPE: Final = "application/x-amz-json-1.0"
_TARGET: Final = "DynamoDB_20120810."
_STREAMS_TARGET: Final = "DynamoDBStreams_20120810."
_STREAMS_OPERATIONS: Final = frozenset({"DescribeStream", "GetShardIterator", "GetRecords"})
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class FrozenCredentials(Protocol):
    """What a signature is made with."""

    @property
    def access_key(self) -> str: ...
    @property
    def secret_key(self) -> str: ...
    @property
    def token(self) -> str | None: ...


class Signer:
    """Makes the headers of requests to one endpoint."""

    def __init__(self, endpoint: str, region: str) -> None:
        parts = urlsplit(endpoint)
        self._host = parts.hostname or ""
        if ":" in self._host:
            self._host = f"[{self._host}]"
        if parts.port is not None and parts.port != _DEFAULT_PORTS.get(parts.scheme):
            self._host += f":{parts.port}"
        self._path = parts.path or "/"
        self._region = region
        self._key: tuple[tuple[str, str], bytes] = (("", ""), b"")

    def headers(
        self, credentials: FrozenCredentials, stamp: str, operation: str, body: bytes
    ) -> dict[str, str]:
        """All headers of a request but its length. ``stamp`` is a time as 20261123T120000Z."""
        target = (_STREAMS_TARGET if operation in _STREAMS_OPERATIONS else _TARGET) + operation
        headers = {
            "Content-Type": CONTENT_TYPE,
            "Host": self._host,
            "X-Amz-Date": stamp,
            "X-Amz-Target": target,
        }
        signed = "content-type;host;x-amz-date;x-amz-target"
        token_line = ""
        if credentials.token:
            headers["X-Amz-Security-Token"] = credentials.token
            signed = "content-type;host;x-amz-date;x-amz-security-token;x-amz-target"
            token_line = f"x-amz-security-token:{credentials.token}\n"
        canonical = (
            f"POST\n{self._path}\n\ncontent-type:{CONTENT_TYPE}\nhost:{self._host}\n"
            f"x-amz-date:{stamp}\n{token_line}x-amz-target:{target}\n\n"
            f"{signed}\n{hashlib.sha256(body).hexdigest()}"
        )
        scope = f"{stamp[:8]}/{self._region}/dynamodb/aws4_request"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        key = self._signing_key(credentials.secret_key, stamp[:8])
        to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
        signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
        headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={signed}, Signature={signature}"
        )
        return headers

    def _signing_key(self, secret: str, date: str) -> bytes:
        """The same for a whole day, so the last one is kept. One tuple: threads share it."""
        known, key = self._key
        if known != (secret, date):
            key = f"AWS4{secret}".encode()
            for part in (date, self._region, "dynamodb", "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._key = ((secret, date), key)
        return key
