"""Connections for the blocking client: looked up and opened, each within a limit."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult

from urllib3.util.wait import wait_for_read

from mainstem.dynamodb.client.deadline import Limit
from mainstem.dynamodb.client.faults import Unreachable
from mainstem.dynamodb.client.http_messages import Line, message, receive_reply
from mainstem.text.printable import quoted
from mainstem.text.redaction import redacted

PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Route:
    """Where connections lead, and through what."""

    endpoint: SplitResult
    proxy: SplitResult | None
    proxy_headers: Mapping[str, str]
    """What tells the proxy who asks."""
    tls: ssl.SSLContext | None
    connect_timeout: float | None
    """Seconds, for each of: the name's look-up, an address, the handshakes."""

    @property
    def first_hop(self) -> tuple[str, int]:
        to = self.proxy or self.endpoint
        return to.hostname or "", to.port or PORTS[to.scheme]


def connect(route: Route, limit: Limit) -> socket.socket:
    """A new connection. Raises `Unreachable`."""
    host, port = route.first_hop
    sock: socket.socket | None = None
    try:
        sock = _open(host, port, route.connect_timeout, limit)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if route.tls is None:
            return sock
        if route.proxy is not None:
            _tunnel(sock, route, limit)
        sock.settimeout(limit.within(route.connect_timeout))
        return route.tls.wrap_socket(sock, server_hostname=route.endpoint.hostname)
    except BaseException as error:
        if sock is not None:
            sock.close()
        if isinstance(error, (OSError, http.client.HTTPException)):
            told = redacted(f"no connection to {host}:{port}: {error}")
            raise Unreachable(told) from error
        raise


def is_open(sock: socket.socket) -> bool:
    """Whether a connection that nobody speaks through can be used: the other side has neither closed it
    nor said anything.
    """
    return sock.fileno() >= 0 and not wait_for_read(sock, timeout=0.0)


def _open(host: str, port: int, timeout: float | None, limit: Limit) -> socket.socket:
    problem: OSError | None = None
    for family, kind, protocol, _, address in _look_up(host, port, timeout, limit):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(limit.within(timeout))
            sock.connect(address)
        except BaseException as error:
            sock.close()
            if not isinstance(error, OSError):
                raise
            problem = error
        else:
            return sock
    raise problem or OSError(f"{quoted(host)} has no address")


def _tunnel(sock: socket.socket, route: Route, limit: Limit) -> None:
    """Have the proxy connect us to the endpoint."""
    name = route.endpoint.hostname or ""
    to = f"[{name}]" if ":" in name else name
    to += f":{route.endpoint.port or PORTS['https']}"
    headers = {"Host": to, **route.proxy_headers}
    line = Line(sock, route.connect_timeout, limit)
    line.send(message("CONNECT", to, headers, b""))
    status = receive_reply(line, "CONNECT").reply.status
    if not 200 <= status < 300:
        raise OSError(f"the proxy answered CONNECT with status {status}")


# Names


_Addresses = list[tuple[Any, ...]]


@dataclass(slots=True)
class _LookUp:
    """A question to the resolver. It can't be broken off, so a thread asks it."""

    done: threading.Event = field(default_factory=threading.Event)
    addresses: _Addresses = field(default_factory=list)
    problem: OSError | None = None


_under_way: Final[dict[tuple[int, str, int], _LookUp]] = {}
"""By process, host and port: while a resolver hangs, every try waits for the same question."""


def _look_up(host: str, port: int, timeout: float | None, limit: Limit) -> _Addresses:
    try:
        return _addresses(host, port, socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):
        pass  # it is a name, or none
    place = (os.getpid(), host, port)
    fresh = _LookUp()
    asked = _under_way.setdefault(place, fresh)
    if asked is fresh:
        threading.Thread(
            target=_ask, args=(place, fresh), name="mainstem-resolve", daemon=True
        ).start()
    if not asked.done.wait(limit.within(timeout)):
        raise TimeoutError(f"the name {host} was not found in time")
    if asked.problem is not None:
        raise OSError(str(asked.problem)) from asked.problem
    return asked.addresses


def _ask(place: tuple[int, str, int], asked: _LookUp) -> None:
    _, host, port = place
    try:
        asked.addresses = _addresses(host, port, 0)
    except OSError as error:
        asked.problem = error
    except UnicodeError as error:  # a name that is none
        asked.problem = OSError(str(error))
    finally:
        _under_way.pop(place, None)
        asked.done.set()


def _addresses(host: str, port: int, flags: int) -> _Addresses:
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags))
