"""Where connections lead, and through what; and what it means when they fail. The same for both clients."""

from __future__ import annotations

import http.client
import ssl
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from mainstem.dynamodb.client.deadline import Limit
from mainstem.dynamodb.client.exchange import Disconnected, Outgoing
from mainstem.dynamodb.client.faults import Fault, NoReply, Unreachable
from mainstem.dynamodb.client.http_messages import Received, message
from mainstem.dynamodb.client.session import Session
from mainstem.text.redaction import redacted

_PORTS: Final = {"http": 80, "https": 443}
FAILURES: Final = (OSError, http.client.HTTPException)
"""What connecting, sending and receiving may raise."""


@dataclass(frozen=True, slots=True)
class Route:
    """The way to the endpoint of a session."""

    host: str
    """The first one on the way: the proxy, where there is one."""
    port: int
    server: str
    """The endpoint's name."""
    target: str
    """What requests name."""
    tls: ssl.SSLContext | None
    tunnel: bytes | None
    """What has a proxy connect to the endpoint, before TLS."""
    connect_timeout: float | None
    """Seconds, for each of: the name's look-up, an address, the handshakes."""
    read_timeout: float | None
    """Seconds without a byte of the reply."""

    @classmethod
    def of(cls, session: Session) -> Route:
        """May read files: those of the certificates."""
        endpoint = urlsplit(session.endpoint)
        proxy = None if session.proxy is None else urlsplit(session.proxy)
        tls = session.tls()
        first = proxy or endpoint
        target, tunnel = endpoint.path or "/", None
        if proxy is not None and tls is None:
            target = session.endpoint  # such a proxy wants the whole of it
        elif proxy is not None:
            to = _place(endpoint)
            tunnel = message("CONNECT", to, {"Host": to, **session.proxy_headers}, b"")
        return cls(
            first.hostname or "",
            first.port or _PORTS[first.scheme],
            endpoint.hostname or "",
            target,
            tls,
            tunnel,
            session.connect_timeout,
            session.read_timeout,
        )

    def message(self, outgoing: Outgoing) -> bytes:
        """The request as it is sent."""
        return message("POST", self.target, outgoing.headers, outgoing.body)

    def unreachable(self, error: Exception) -> Unreachable:
        """What a failure to connect means."""
        reason = str(error) or "it took too long"  # asyncio's timeouts say nothing
        return Unreachable(redacted(f"no connection to {self.host}:{self.port}: {reason}"))

    def fault(self, error: Exception, limit: Limit) -> Fault:
        """What a failure means after sending has begun."""
        if isinstance(error, (ConnectionError, http.client.IncompleteRead)):
            return Disconnected(redacted(f"the connection broke: {error!r}"))
        if isinstance(error, TimeoutError):
            if limit.has_passed or self.read_timeout is None:
                return NoReply("no whole reply before the operation's time was up")
            return NoReply(f"no reply within {self.read_timeout:g} seconds")
        return NoReply(redacted(f"{type(error).__name__}: {error}"))


def check_tunnel(received: Received) -> None:
    """Raises `OSError` where the proxy did not connect."""
    status = received.reply.status
    if not 200 <= status < 300:
        raise OSError(f"the proxy answered CONNECT with status {status}")


def check_time(limit: Limit) -> None:
    """Raises `Unreachable` where nothing is to be sent any more."""
    if limit.has_passed:
        raise Unreachable("the operation's time was up before it was sent")


def _place(endpoint: SplitResult) -> str:
    name = endpoint.hostname or ""
    name = f"[{name}]" if ":" in name else name
    return f"{name}:{endpoint.port or _PORTS['https']}"
