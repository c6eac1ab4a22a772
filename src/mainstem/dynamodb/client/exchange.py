"""One attempt at a request, without the I/O: what to send, and what to make of the reply.

The two clients, blocking and async, carry out what `attempt` yields.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import msgspec

from mainstem.dynamodb.client.change_requests import CHANGE_READS
from mainstem.dynamodb.client.decoding import decode, decode_error
from mainstem.dynamodb.client.encoding import encode
from mainstem.dynamodb.client.failures import answer_or_raise, place_of
from mainstem.dynamodb.client.faults import NoReply
from mainstem.dynamodb.client.requests import (
    BatchGet,
    Control,
    Get,
    Query,
    QueryIndex,
    Request,
    Scan,
)
from mainstem.dynamodb.client.session import Session


class Outgoing(NamedTuple):
    """Send this, once. Answer: `Reply`."""

    headers: dict[str, str]
    """All but the length."""
    body: bytes


class Reply(NamedTuple):
    status: int
    body: bytes
    crc: str | None
    """The ``x-amz-crc32`` of the body, in decimal."""
    date: str | None


class Blocking(NamedTuple):
    """Call this where it holds nobody up. Answer: its result."""

    work: Callable[[], Any]


class Disconnected(NoReply):
    """The connection closed before the reply; most often one that had been idle for long."""


Step: TypeAlias = Outgoing | Blocking
Attempt: TypeAlias = Generator[Step, Any, Any]


def attempt(session: Session, request: Request) -> Attempt:
    """The answer to a request, or one of `faults` or a `StoreError` raised.

    Sends it a second time only where nothing can have come of the first: after a wrong clock or
    expired credentials, and a read whose connection was closed.
    """
    operation, body = encode(request)
    may_send_again = only_reads(request)
    may_mend = True
    while True:
        if session.needs_refresh():
            yield Blocking(session.refresh)
        headers = session.sign(operation, body)
        try:
            reply: Reply = yield Outgoing(headers | session.unsigned_headers, body)
        except Disconnected:
            if not may_send_again:
                raise
            may_send_again = False
            continue
        if reply.crc is not None and reply.crc != str(zlib.crc32(reply.body)):
            raise NoReply(f"{operation}: the reply was damaged on its way (CRC-32)")
        if reply.status == 200:
            try:
                return decode(request, reply.body)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise NoReply(f"{operation}: the reply can't be read: {error}") from error
        failure = decode_error(reply.body)
        if may_mend and failure is not None:
            may_mend = False
            if failure.wrong_clock and session.set_clock(reply.date):
                continue
            if failure.expired_credentials:
                token = headers.get("X-Amz-Security-Token")
                if (yield Blocking(partial(session.renew, token))):
                    continue
        place = place_of(request, operation, session.region)
        return answer_or_raise(failure, reply.status, request, place)


def only_reads(request: Request) -> bool:
    """Whether it may be sent twice without asking."""
    if isinstance(request, Control):
        return request.operation.startswith(("Describe", "List"))
    return isinstance(request, (Get, BatchGet, Query, QueryIndex, Scan, *CHANGE_READS))
