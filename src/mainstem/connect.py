"""URLs to stores: `connect`, `connect_async` and `upgrade`."""

from __future__ import annotations

from typing import Any

from mainstem.aio.store import AsyncStore
from mainstem.blocking.store import Store
from mainstem.codec import Codec, JsonCodec
from mainstem.errors import InvalidInput
from mainstem.registry import scheme_name, scheme_of
from mainstem.schemes import Upgrading, async_store, blocking_store
from mainstem.telemetry.port import Telemetry
from mainstem.text.redaction import shown
from mainstem.verbs.formats import Upgraded


def connect(
    url: str,
    *,
    codec: Codec | None = None,
    create: bool = True,
    client: Any = None,
    telemetry: Telemetry | None = None,
) -> Store:
    """Open the store at a URL.

    ``sqlite:///shop.db`` is a file in the working directory, ``sqlite:////var/lib/shop.db`` a file by
    its absolute path, ``sqlite://:memory:`` a store that lives as long as its `Store`. It is created if
    there is none, unless ``create=False``. Options follow a ``?``: ``mode`` (``rwc``: created if missing,
    the default; ``rw``; ``ro``), ``synchronous`` (``FULL``: acknowledged appends survive a power cut,
    the default; ``NORMAL``: faster, but a power cut may lose the last commits; the store stays whole),
    ``timeout`` (seconds to wait for others' locks, 30 by default).

    ``dynamodb://shop`` is the tables ``shop-events`` and ``shop-log``, created by ``mainstem
    create-tables``, never by connecting. Options: ``region``, ``endpoint`` and ``profile`` (by
    default from AWS's usual places), ``timeout`` (seconds after which an operation stops trying
    again, 30 by default), ``connect_timeout`` and ``read_timeout`` (seconds for each single
    request), ``partitions`` (must be the number that the tables have), ``sequencing``
    (``transactional``: the log is written with the append, the default; ``stream``: an append is one
    put, and a worker, `mainstem.dynamodb.sequence`, writes the log from the table's change stream).
    ``client`` may be a DynamoDB client of boto3 or botocore, which is then used as it is, with its hooks,
    retries, proxies and timeouts, and stays open; an append then takes about four times the CPU time of
    Mainstem's own client. Or it may be a session of boto3 or botocore, whose credentials and settings are
    used.

    ``codec`` encodes and decodes payloads; plain JSON by default. ``telemetry`` gets metrics and spans,
    for example a `mainstem.telemetry.EmbeddedMetrics`; by default nothing is reported.

    Raises `InvalidInput` for a URL that can't be understood, `StoreNotFound`, `StoreFormatError`
    if it is not a store of this format, `StoreDenied` without credentials or permission, and
    `StoreBusy` if it can't be reached, or others lock it, for the whole timeout.
    """
    opened = scheme_of(url).open_blocking(url, create=create, client=client)
    return blocking_store(opened, codec or JsonCodec(), telemetry)


def connect_async(
    url: str,
    *,
    codec: Codec | None = None,
    create: bool = True,
    client: Any = None,
    telemetry: Telemetry | None = None,
) -> AsyncStore:
    """As `connect`, for asyncio. It is not awaited: a SQLite store is open at once, and one on DynamoDB
    after three requests, so connect where the program begins. ``client`` may also be a client of
    aiobotocore's, of the loop that the store is used on; one of boto3's is used in threads.
    """
    opened = scheme_of(url).open_async(url, create=create, client=client)
    return async_store(opened, codec or JsonCodec(), telemetry)


def upgrade(url: str, *, client: Any = None) -> Upgraded:
    """Upgrade the store at a URL from an older format to the one that this release reads and writes.

    Opening a store never does that: it refuses a store of another format. There is only one format yet.

    First stop everything that uses the store, and make a copy: an older release can't open it afterwards. On
    SQLite the upgrade is one transaction, and no other process may have the file open. On DynamoDB no process
    can open the store until it is done. If an upgrade broke off, call it again, and it continues; two calls
    at the same time do no harm. ``client`` is as for `connect`.

    Raises `StoreFormatError` if no steps lead to the newest format, `StoreBusy` if others have the
    file open for the whole timeout, and what `connect` raises.
    """
    scheme = scheme_of(url)
    if not isinstance(scheme, Upgrading):
        raise InvalidInput(
            f"{shown(url)!r:.200} is a store of the scheme {scheme_name(url)!r}, which has no upgrades."
        )
    return scheme.upgrade(url, client=client)
