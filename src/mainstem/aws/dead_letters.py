"""Records that could not be sequenced, kept in an S3 bucket until `redrive` takes them.

Two hands put objects there. Lambda itself keeps the whole payload of a batch that has used up its
retries, under ``aws/lambda/``; and the sequencing function keeps single records that no retry could
help, under ``records/``, so that they hold up nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec

_PREFIX: Final = "records/"


class DeadLetter(NamedTuple):
    """One object of the bucket."""

    key: str
    records: list[Any] | None
    """Records as Lambda hands them over; None where the object has none."""
    reason: str


class DeadLetters:
    """The bucket. ``client`` is an S3 client of botocore's, which uses buckets of the account alone
    (`mainstem.aws.own_buckets.only_own`).
    """

    def __init__(self, bucket: str, client: Any) -> None:
        self.bucket = bucket
        self._client = client

    def keep(self, raw: Any, name: str, reason: str, now_us: int) -> None:
        """Keep a record. A repeat under the same name is the same object. Raises what botocore raises."""
        day = datetime.fromtimestamp(now_us // 1_000_000, UTC).date()
        body = msgspec.json.encode({"reason": reason, "payload": {"Records": [raw]}})
        self._client.put_object(
            Bucket=self.bucket,
            Key=f"{_PREFIX}{day:%Y/%m/%d}/{name}.json",
            Body=body,
            ContentType="application/json",
        )

    def __iter__(self) -> Iterator[DeadLetter]:
        """All that there are."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        for page in pages:
            for found in page.get("Contents", ()):
                body = self._client.get_object(Bucket=self.bucket, Key=found["Key"])["Body"].read()
                yield _letter(found["Key"], body)

    def remove(self, key: str) -> None:
        """It is dealt with."""
        self._client.delete_object(Bucket=self.bucket, Key=key)


def _letter(key: str, body: bytes) -> DeadLetter:
    try:
        found = msgspec.json.decode(body)
        payload = found.get("payload")
        # Lambda documents it as text, which holds the invocation's event.
        event = msgspec.json.decode(payload) if isinstance(payload, str) else payload
        records = event["Records"] if isinstance(event, Mapping) else None
    except (msgspec.DecodeError, AttributeError, KeyError):
        return DeadLetter(key, None, "the object is not a dead letter")
    if not isinstance(records, list):
        return DeadLetter(key, None, "the object has no payload with it")
    context = found.get("requestContext")
    condition = context.get("condition") if isinstance(context, Mapping) else None
    return DeadLetter(key, records, str(found.get("reason") or condition or "unknown"))
