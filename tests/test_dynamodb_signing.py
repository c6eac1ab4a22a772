"""Signatures are those of botocore, byte for byte."""

from __future__ import annotations

import datetime

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from mainstem.dynamodb.client.signing import Signer

STAMP = "20261123T235959Z"


@pytest.mark.parametrize("token", [None, "a token+/="])
@pytest.mark.parametrize("body", [b"{}", '{"ключ":"значение"}'.encode()])
@pytest.mark.parametrize(
    "endpoint",
    [
        "https://dynamodb.eu-west-1.amazonaws.com",
        "https://dynamodb.eu-west-1.amazonaws.com:443/",
        "http://LOCALHOST:8000",
        "http://[::1]:8000",
        "http://localhost/some/path",
    ],
)
def test_signs_as_botocore_does(
    endpoint: str, body: bytes, token: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = ReadOnlyCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", token)
    signer = Signer(endpoint, "eu-west-1")
    signer.headers(credentials, "20261122T000000Z", "GetItem", body)  # a key of another day
    ours = signer.headers(credentials, STAMP, "PutItem", body)

    at = datetime.datetime.strptime(STAMP, "%Y%m%dT%H%M%S%z")
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: at)
    sent = {name: ours[name] for name in ("Content-Type", "Host", "X-Amz-Target")}
    theirs = AWSRequest(method="POST", url=endpoint, headers=sent, data=body)
    botocore.auth.SigV4Auth(credentials, "dynamodb", "eu-west-1").add_auth(theirs)
    assert dict(theirs.headers.items()) == ours


def test_the_host_is_what_a_request_to_the_endpoint_names() -> None:
    credentials = ReadOnlyCredentials("key", "secret", None)
    hosts = {
        "https://dynamodb.eu-west-1.amazonaws.com": "dynamodb.eu-west-1.amazonaws.com",
        "https://vpce.example:443": "vpce.example",
        "http://localhost:8000": "localhost:8000",
        "http://[::1]:8000": "[::1]:8000",
    }
    for endpoint, host in hosts.items():
        headers = Signer(endpoint, "eu-west-1").headers(credentials, STAMP, "PutItem", b"")
        assert headers["Host"] == host


def test_keys_are_not_mixed_up() -> None:
    signer = Signer("http://localhost:8000", "eu-west-1")
    one, other = (ReadOnlyCredentials("key", secret, None) for secret in ("one", "other"))
    first = signer.headers(one, STAMP, "GetItem", b"{}")
    assert signer.headers(other, STAMP, "GetItem", b"{}") != first
    assert signer.headers(one, STAMP, "GetItem", b"{}") == first


def test_change_streams_have_a_target_of_their_own() -> None:
    credentials = ReadOnlyCredentials("key", "secret", None)
    signer = Signer("http://localhost:8000", "eu-west-1")
    for operation in ("DescribeStream", "GetShardIterator", "GetRecords"):
        headers = signer.headers(credentials, STAMP, operation, b"{}")
        assert headers["X-Amz-Target"] == f"DynamoDBStreams_20120810.{operation}"
    at = datetime.datetime.strptime(STAMP, "%Y%m%dT%H%M%S%z")
    sent = {name: headers[name] for name in ("Content-Type", "Host", "X-Amz-Target")}
    theirs = AWSRequest(method="POST", url="http://localhost:8000", headers=sent, data=b"{}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.auth, "get_current_datetime", lambda: at)
        botocore.auth.SigV4Auth(credentials, "dynamodb", "eu-west-1").add_auth(theirs)
    assert dict(theirs.headers.items()) == headers
