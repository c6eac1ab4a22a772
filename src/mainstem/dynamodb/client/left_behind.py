"""Connections whose event loop has ended, or belongs to the process that forked this one.

aiohttp and asyncio close a connection by way of its loop, which can't run any more. Left alone, each
loop that comes and goes (a test suite, a Lambda function that runs each call with ``asyncio.run``) would
keep its sockets open for as long as the process lives.
"""

from __future__ import annotations

from typing import Any

import aiohttp


def close_sockets(http: aiohttp.ClientSession) -> None:
    """Close a session's sockets from outside of its loop. Nobody uses it any more."""
    connector: Any = http.connector
    http.detach()  # so that nobody is warned of a session that was not closed
    if connector is None:
        return
    # aiohttp has no public names for these.
    waiting = [protocol for pool in connector._conns.values() for protocol, _ in pool]
    for protocol in [*waiting, *connector._acquired]:
        _close(getattr(protocol, "transport", None))
    connector._conns.clear()
    connector._acquired.clear()
    connector._closed = True


def _close(transport: Any) -> None:
    """Asyncio's transports have a socket; that of a TLS connection is below its own. Those of other
    loops (uvloop's) close theirs with their loop.
    """
    below: Any = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None)
    for each in (transport, below):
        if getattr(each, "_sock", None) is not None:
            each._sock.close()
            each._sock = None
