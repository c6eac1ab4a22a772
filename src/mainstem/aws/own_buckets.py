"""S3, for the buckets of one account only.

All accounts share the names of buckets: the first to take a name has it. So each request names the account
that the bucket must belong to (``ExpectedBucketOwner``), and S3 refuses it if the bucket belongs to another.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_OWNER = "ExpectedBucketOwner"


def only_own(client: Any, account: Callable[[], str]) -> Any:
    """The S3 client, which from now on uses buckets of the account alone.

    ``account`` answers the account's number, and is called before the first request.
    """

    def require_owner(params: dict[str, Any], model: Any, **_: Any) -> None:
        if model.input_shape is not None and _OWNER in model.input_shape.members:
            params[_OWNER] = account()

    client.meta.events.register_first("before-parameter-build.s3", require_owner)
    return client
