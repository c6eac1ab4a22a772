"""Whether somebody other than botocore looks at, changes or answers the requests of its clients.

moto does (``mock_aws``), and so do recorders, tracers and injectors of faults. Mainstem's own client would
pass them by, and a test suite that believes itself mocked would reach AWS; so where there are any, requests
go through botocore's client.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType
from typing import Any, Final

import botocore.client

_EVENTS: Final = (
    "provide-client-params",
    "before-parameter-build",
    "before-call",
    "request-created",
    "choose-signer",
    "before-sign",
    "before-send",
    "response-received",
    "needs-retry",
    "after-call",
    "after-call-error",
)
_OPERATIONS: Final = (
    "BatchExecuteStatement",
    "BatchGetItem",
    "CreateTable",
    "DescribeTable",
    "GetItem",
    "PutItem",
    "Query",
    "Scan",
    "TransactWriteItems",
    "UpdateItem",
)
_OWN: Final = frozenset({"aiobotocore", "boto3", "botocore"})

_MAKE_API_CALL: Final = "_make_api_call"
"""Where tracers, and tests by ``unittest.mock``, take hold of every client at once."""


def has_hooks_of_others(client: Any) -> bool:
    """``client`` is a DynamoDB client that was just made."""
    calls = vars(botocore.client.BaseClient).get(_MAKE_API_CALL)
    # A wrapper may bear the name of what it wraps, but it sees its own module.
    module = getattr(calls, "__globals__", {}).get("__name__", "")
    if not isinstance(calls, FunctionType) or module.partition(".")[0] not in _OWN:
        return True
    return any(_package(handler) not in _OWN for handler in _handlers(client))


def _handlers(client: Any) -> Iterator[Any]:
    events = client.meta.events
    # botocore has no public name for these. Where they are gone, to look through its client is
    # slower, and to pass by a hook would be wrong.
    registered = getattr(getattr(events, "_emitter", events), "_handlers", None)
    if registered is None:
        yield events
        return
    for event in _EVENTS:
        for operation in _OPERATIONS:
            yield from registered.prefix_search(f"{event}.dynamodb.{operation}")


def _package(handler: Any) -> str:
    handler = getattr(handler, "func", handler)  # of a partial function
    module = getattr(handler, "__module__", None) or type(handler).__module__
    return str(module).partition(".")[0]
