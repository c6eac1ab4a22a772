"""URLs to stores: `connect` and `connect_async`."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Final, cast

from mainstem.aio.store import AsyncStore
from mainstem.blocking.store import Store
from mainstem.codec import Codec, JsonCodec
from mainstem.errors import InvalidInput
from mainstem.schemes import Scheme, async_store, blocking_store
from mainstem.telemetry.port import Telemetry
from mainstem.text.printable import quoted
from mainstem.text.redaction import shown

_OURS: Final = {"sqlite": "mainstem.sqlite.open", "dynamodb": "mainstem.dynamodb.open"}
GROUP: Final = "mainstem.schemes"
"""Of the entry points by which others name theirs."""

_EXAMPLES: Final = (
    "sqlite:///shop.db, sqlite:////var/lib/shop.db, sqlite://:memory: or "
    "dynamodb://shop?region=eu-west-1"
)


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


def scheme_of(url: str) -> Scheme:
    """What opens the stores of the URL's scheme. Raises `InvalidInput` where nothing does."""
    name = url.partition(":")[0] if isinstance(url, str) else ""
    if name not in _OURS:
        found = list(entry_points(group=GROUP, name=name)) if name else []
        if not found:
            told = shown(url) if isinstance(url, str) else url
            raise InvalidInput(
                f"{quoted(told, 200)} is not the URL of a store. Give one such as {_EXAMPLES}."
            )
        scheme: Scheme = found[0].load()
        return scheme
    try:
        # Not imported with Mainstem: a program with the embedded store needs no libraries of the other.
        return cast("Scheme", import_module(_OURS[name]))
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"{shown(url)!r:.200} needs {error.name}, which is not installed: "
            f"pip install 'mainstem[{name}]'"
        ) from error
