"""Connections for the blocking client: looked up, opened, spoken through, each within a limit."""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import dataclass, field
from typing import Any, Final

from urllib3.util.wait import wait_for_read

from mainstem.dynamodb.client.deadline import Limit
from mainstem.dynamodb.client.http_messages import Arriving, Received
from mainstem.dynamodb.client.route import FAILURES, Route, check_tunnel
from mainstem.text.printable import quoted

_PIECE: Final = 64 * 1024
"""Bytes that are asked for at once."""


def connect(route: Route, limit: Limit) -> socket.socket:
    """A new connection. Raises `Unreachable`."""
    sock: socket.socket | None = None
    timeout = route.connect_timeout
    try:
        sock = _open(route.host, route.port, timeout, limit)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if route.tls is None:
            return sock
        if route.tunnel is not None:
            check_tunnel(exchange(sock, route.tunnel, timeout, limit, "CONNECT"))
        sock.settimeout(limit.within(timeout))
        return route.tls.wrap_socket(sock, server_hostname=route.server)
    except BaseException as error:
        if sock is not None:
            sock.close()
        if isinstance(error, FAILURES):
            raise route.unreachable(error) from error
        raise


def is_open(sock: Any) -> bool:
    """Whether a connection that nobody speaks through can be used: the other side has neither closed it
    nor said anything.
    """
    return sock.fileno() >= 0 and not wait_for_read(sock, timeout=0.0)


def exchange(
    sock: socket.socket, request: bytes, timeout: float | None, limit: Limit, method: str = "POST"
) -> Received:
    """Send a request, and receive its reply: each piece within a timeout, and all of it within a limit.
    Raises `FAILURES`.
    """
    arriving = Arriving(method)
    _set_timeout(sock, limit.within(timeout))
    sock.sendall(request)
    while True:
        _set_timeout(sock, limit.within(timeout))
        piece = sock.recv(_PIECE)
        found = arriving.feed(piece) if piece else arriving.end()
        if found is not None:
            return found


def _set_timeout(sock: socket.socket, seconds: float | None) -> None:
    if seconds != sock.gettimeout():  # to set it is a system call
        sock.settimeout(seconds)


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
