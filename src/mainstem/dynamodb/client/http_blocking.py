"""Requests over connections of this module's own, kept open and taken in turn.

urllib3, which botocore brings, would keep them as well, but with it an append takes 1.6 times the CPU
time (`make bench PARTS=dynamodb-client`).
"""

from __future__ import annotations

import os
import socket
from collections import deque
from typing import Any

from mainstem.drive import in_thread
from mainstem.dynamodb.client import deadline
from mainstem.dynamodb.client.deadline import Limit
from mainstem.dynamodb.client.exchange import Outgoing, Reply, Step, attempt
from mainstem.dynamodb.client.requests import CHANGE_READS, Request
from mainstem.dynamodb.client.route import FAILURES, Route, check_time
from mainstem.dynamodb.client.session import Session
from mainstem.dynamodb.client.sockets import connect, exchange, is_open
from mainstem.errors import StoreClosed
from mainstem.telemetry.guard import Guard


class BlockingClient:
    """Carries out requests, one attempt each. Safe to share between threads and with forked children."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._closed = False
        self._route = Route.of(session)
        self._idle: dict[int, deque[socket.socket]] = {}
        """By process: a forked child must not talk over its parent's connections. Appending and
        popping need no lock."""
        self._opening = Guard()
        self._for_changes: BlockingClient | None = None

    def carry_out(self, request: Request) -> Any:
        """The answer; raises one of `faults` or a `StoreError`."""
        if isinstance(request, CHANGE_READS):
            return self._client_for_changes()._carry_out(request)
        return self._carry_out(request)

    def _client_for_changes(self) -> BlockingClient:
        """Made when a change stream is first read, which most processes never do."""
        with self._opening():
            if self._for_changes is None:
                session = self._session.for_changes()
                self._for_changes = self if session is self._session else BlockingClient(session)
            return self._for_changes

    def _carry_out(self, request: Request) -> Any:
        limit = deadline.allowed()

        def take(step: Step) -> Any:
            return self._send(step, limit) if isinstance(step, Outgoing) else step.work()

        return in_thread(attempt(self._session, request), take)

    def close(self) -> None:
        self._closed = True
        if self._for_changes is not None and self._for_changes is not self:
            self._for_changes.close()
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def _send(self, outgoing: Outgoing, limit: Limit) -> Reply:
        if self._closed:
            raise StoreClosed
        check_time(limit)
        idle = self._connections()
        sock = _take(idle) or connect(self._route, limit)
        # Whatever ends an exchange early leaves a reply under way, which would be taken for that of
        # the next request: only a connection whose exchange came to its end is kept.
        may_stay = False
        try:
            request = self._route.message(outgoing)
            reply, may_stay = exchange(sock, request, self._route.read_timeout, limit)
        except FAILURES as error:
            raise self._route.fault(error, limit) from error
        finally:
            if may_stay and len(idle) < self._session.max_connections and not self._closed:
                idle.append(sock)
            else:
                sock.close()
        return reply

    def _connections(self) -> deque[socket.socket]:
        """Those of this process that nobody speaks through."""
        process = os.getpid()
        idle = self._idle.get(process)
        if idle is None:
            # To close a child's copies leaves the parent's open.
            inherited, self._idle = self._idle, {process: deque()}
            for connections in inherited.values():
                while connections:
                    connections.pop().close()
            idle = self._idle[process]
        return idle


def _take(idle: deque[socket.socket]) -> socket.socket | None:
    """A connection that is open."""
    while idle:
        try:
            sock = idle.pop()
        except IndexError:  # another thread was faster
            break
        if is_open(sock):
            return sock
        sock.close()
    return None
