"""The same requests through a client of botocore's, as it is: its hooks, retries, proxies, signatures.

What a request asks for becomes the call's parameters, and what comes back is read like a reply. A client
retries by itself, and does not tell what became of its earlier tries; see `_failed`.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Any, Final

import botocore.exceptions as of_botocore
import msgspec

from mainstem.dynamodb.client import deadline
from mainstem.dynamodb.client.decoding import decode, decode_error
from mainstem.dynamodb.client.encoding import parameters
from mainstem.dynamodb.client.exchange import only_reads
from mainstem.dynamodb.client.failures import answer_or_raise, place_of
from mainstem.dynamodb.client.faults import Fault, NoReply, Unreachable
from mainstem.dynamodb.client.requests import CHANGE_READS, Control, GetRecords, Request
from mainstem.errors import StoreClosed, StoreDenied, StoreError, StoreRejected
from mainstem.telemetry.guard import Guard
from mainstem.text.redaction import redacted

_to_json = msgspec.json.Encoder().encode


class Call:
    """One request as a call of a client's."""

    def __init__(self, client: Any, request: Request) -> None:
        operation, self.parameters = parameters(request)
        self._client = client
        self._request = request
        self._place = place_of(request, operation, client.meta.region_name)
        self.method: Callable[..., Any] = getattr(client, _method(client, operation))

    def answer(self, found: dict[str, Any]) -> Any:
        """From what the method returned."""
        found.pop("ResponseMetadata", None)
        if isinstance(self._request, (Control, GetRecords)):
            found = _plain(found)
        try:
            return decode(self._request, _to_json(found))
        except (msgspec.MsgspecError, TypeError, ValueError) as error:
            told = f"{self._place.operation}: the client's answer can't be read: {error}"
            raise NoReply(told) from error

    def refusal(self, error: Exception) -> Any:
        """From what the method raised: an answer, or one of `faults` or a `StoreError` raised. What a
        hook of the user's has raised stays what it is.
        """
        if isinstance(error, of_botocore.ClientError):
            metadata = error.response.get("ResponseMetadata", {})
            if not self._only_reads and metadata.get("RetryAttempts", 0) > 0:
                # An earlier try may have been carried out, and this be the refusal of the same
                # again. Sent once more, it says so as the first answer.
                raise NoReply(redacted(f"the client tried more than once: {error}")) from error
            failure = decode_error(_to_json(_body(error.response)))
            return answer_or_raise(
                failure, metadata.get("HTTPStatusCode", 400), self._request, self._place
            )
        raise self._failed(error) from error

    @property
    def _only_reads(self) -> bool:
        return only_reads(self._request)

    def _failed(self, error: Exception) -> Exception:
        told = redacted(f"{type(error).__name__}: {error}")
        tries_once = (self._client.meta.config.retries or {}).get("total_max_attempts") == 1
        # What befalls a client's second try says nothing about its first.
        is_first = self._only_reads or tries_once
        if isinstance(error, _NOT_SENT):
            return Unreachable(told) if is_first else NoReply(told)
        if isinstance(error, _LOST):
            return NoReply(told)
        if isinstance(error, of_botocore.NoCredentialsError):
            return StoreDenied(
                f"The client has no AWS credentials for {self._place.operation}. Give it some, or hand "
                "over another."
            )
        if isinstance(error, _CREDENTIALS):
            denied = StoreDenied(f"The client can't get its AWS credentials: {told}")
            return denied if is_first else NoReply(told)
        if isinstance(error, of_botocore.ParamValidationError):
            told = f"The client's botocore does not know all of {self._place.operation}: {told}"
            return StoreRejected("ParamValidation", told)
        if isinstance(error, of_botocore.BotoCoreError):
            return StoreError(f"The client could not send {self._place.operation}: {told}")
        if isinstance(error, (OSError, asyncio.TimeoutError)):
            return NoReply(told)
        return error


class BotocoreClient:
    """Carries out requests through a client of botocore's, in the caller's thread."""

    def __init__(self, client: Any, for_changes: Callable[[], Any]) -> None:
        """``for_changes`` makes the client that change streams are read with."""
        self._client = plain(client)
        self._make_for_changes = for_changes
        self._for_changes: Any = None
        self._opening = Guard()
        self._closed = False

    def carry_out(self, request: Request) -> Any:
        """The answer; raises one of `faults` or a `StoreError`."""
        if self._closed:
            raise StoreClosed
        call = Call(self._client_of(request), request)
        try:
            found = call.method(**call.parameters)
        except Exception as error:
            return call.refusal(error)
        return call.answer(found)

    def close(self) -> None:
        """The client is the user's, and stays open."""
        self._closed = True

    def _client_of(self, request: Request) -> Any:
        if not isinstance(request, CHANGE_READS):
            return self._client
        with self._opening():
            if self._for_changes is None:
                self._for_changes = self._make_for_changes()
            return self._for_changes


class ThreadedClient:
    """The same for an event loop: in threads, as many as the client keeps connections."""

    def __init__(self, client: BotocoreClient, threads: int) -> None:
        self._client = client
        self._threads = threads
        self._pools: dict[int, ThreadPoolExecutor] = {}
        """By process: a forked child has none of its parent's threads."""

    async def carry_out(self, request: Request) -> Any:
        """As `BotocoreClient.carry_out`. Where its time is up, the thread goes on by itself."""
        left = deadline.allowed().left
        call = partial(contextvars.copy_context().run, self._client.carry_out, request)
        running = asyncio.get_running_loop().run_in_executor(self._pool(), call)
        return await _in_time(running, left)

    async def close(self) -> None:
        self._client.close()
        pool = self._pools.pop(os.getpid(), None)
        if pool is not None:
            pool.shutdown(wait=False)

    def _pool(self) -> ThreadPoolExecutor:
        process = os.getpid()
        pool = self._pools.get(process)
        if pool is None:
            made = ThreadPoolExecutor(self._threads, thread_name_prefix="mainstem-botocore")
            pool = self._pools.setdefault(process, made)
        return pool


class AiobotocoreClient:
    """Carries out requests through a client of aiobotocore's, on the loop that it belongs to."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._closed = False

    async def carry_out(self, request: Request) -> Any:
        """As `BotocoreClient.carry_out`."""
        if self._closed:
            raise StoreClosed
        if isinstance(request, CHANGE_READS):
            raise StoreError("Change streams are not read through a client of aiobotocore's.")
        left = deadline.allowed().left
        call = Call(self._client, request)
        try:
            found = await _in_time(call.method(**call.parameters), left)
        except Fault:
            raise
        except Exception as error:
            return call.refusal(error)
        return call.answer(found)

    async def close(self) -> None:
        """The client is the user's, and stays open."""
        self._closed = True


async def _in_time(running: Any, seconds: float | None) -> Any:
    try:
        async with asyncio.timeout(seconds) as limit:
            return await running
    except TimeoutError:
        if not limit.expired():
            raise
        raise NoReply("the client had no answer before the operation's time was up") from None


def is_of_aiobotocore(client: Any) -> bool:
    return any(each.__module__.startswith("aiobotocore.") for each in type(client).__mro__)


def on_another_loop(client: Any) -> Any:
    """The same client of aiobotocore's, hooks and credentials included, with connections of its own. To
    be entered, and used, on the other loop.
    """
    endpoint, config = client._endpoint, client.meta.config
    of_user = endpoint.http_session
    same = _twin(client)
    same._endpoint = copy.copy(endpoint)
    same._endpoint.http_session = type(of_user)(
        verify=of_user._verify,
        proxies=config.proxies,
        timeout=(config.connect_timeout, config.read_timeout),
        max_pool_connections=config.max_pool_connections,
        client_cert=config.client_cert,
        proxies_config=config.proxies_config,
        connector_args=getattr(config, "connector_args", None),
    )
    return same


def plain(client: Any) -> Any:
    """The client of a boto3 resource takes and gives Python's own values. This is the same client
    without that: every other hook is kept, and so are its connections.
    """
    events = client.meta.events
    known = getattr(getattr(events, "_emitter", events), "_unique_id_handlers", {})
    if not any(name in known for _, name in _OF_RESOURCES):
        return client
    same = _twin(client)
    same.meta = copy.copy(client.meta)
    same.meta.events = copy.copy(events)
    for event, name in _OF_RESOURCES:
        same.meta.events.unregister(f"{event}.dynamodb", unique_id=name)
    return same


_OF_RESOURCES: Final = (
    ("provide-client-params", "dynamodb-create-params-copy"),
    ("before-parameter-build", "dynamodb-condition-expression"),
    ("before-parameter-build", "dynamodb-attr-value-input"),
    ("after-call", "dynamodb-attr-value-output"),
)

_NOT_SENT: Final = (
    of_botocore.ConnectTimeoutError,
    of_botocore.EndpointConnectionError,
    of_botocore.ProxyConnectionError,
)
_LOST: Final = (
    of_botocore.ChecksumError,
    of_botocore.ConnectionError,
    of_botocore.HTTPClientError,
    of_botocore.IncompleteReadError,
    of_botocore.ResponseStreamingError,
)
_CREDENTIALS: Final = (
    of_botocore.CredentialRetrievalError,
    of_botocore.PartialCredentialsError,
    of_botocore.SSOError,
    of_botocore.TokenRetrievalError,
)


def _twin(client: Any) -> Any:
    """copy.copy would ask the half-made copy for attributes, which clients look for in themselves."""
    twin = object.__new__(type(client))
    vars(twin).update(vars(client))
    return twin


def _method(client: Any, operation: str) -> str:
    methods = _methods.get(type(client))
    if methods is None:
        mapping = client.meta.method_to_api_mapping
        methods = _methods[type(client)] = {api: name for name, api in mapping.items()}
    return methods[operation]


_methods: Final[dict[type, dict[str, str]]] = {}


def _body(response: dict[str, Any]) -> dict[str, Any]:
    """An error as DynamoDB sent it."""
    error = response.get("Error", {})
    body = {"__type": error.get("Code", ""), "message": error.get("Message", "")}
    for name in ("Item", "CancellationReasons", "ThrottlingReasons"):
        if name in response:
            body[name] = response[name]
    return body


def _plain(value: Any) -> Any:
    """Botocore makes objects of times, where DynamoDB gives seconds."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.timestamp() if isinstance(value, datetime) else value
