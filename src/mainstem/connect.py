"""URLs to stores: `connect` and `connect_async`."""

from __future__ import annotations

from typing import Any, Final

from mainstem.aio.store import AsyncStore
from mainstem.blocking.store import Store
from mainstem.codec import Codec, JsonCodec
from mainstem.errors import InvalidInput
from mainstem.sqlite.open import open_async as open_sqlite_async
from mainstem.sqlite.open import open_blocking as open_sqlite
from mainstem.telemetry.port import Telemetry
from mainstem.text.printable import quoted
from mainstem.text.redaction import shown

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

    ``sqlite:///shop.db`` is a file in the working directory, ``sqlite:////var/lib/shop.db`` one by
    its whole path, ``sqlite://:memory:`` a store that lives as long as its `Store`; made where there
    is none, unless ``create=False``. Options follow a ``?``: ``mode`` (``rwc``: made if missing, the
    default; ``rw``; ``ro``), ``synchronous`` (``FULL``: what was acknowledged survives a power cut,
    the default; ``NORMAL``: faster, the last commits may be lost in one, the store stays whole),
    ``timeout`` (seconds to wait for others' locks, 30 by default).

    ``dynamodb://shop`` is the tables ``shop-events`` and ``shop-log``, made by ``mainstem
    create-tables``, never by connecting. Options: ``region``, ``endpoint`` and ``profile`` (by
    default as everywhere with AWS), ``timeout`` (seconds after which an operation stops trying
    again, 30 by default), ``connect_timeout`` and ``read_timeout`` (seconds, of each single
    request), ``partitions`` (has to be what the tables were made with), ``sequencing``
    (``transactional``: the log is written with the append, the default; ``stream``: an append is one
    put, and a worker, `mainstem.dynamodb.sequence`, writes the log from the table's change stream).
    ``client`` may be a DynamoDB client of boto3 or botocore, which is then used as it is, with its hooks,
    retries, proxies and timeouts, and stays open; an append takes about four times the CPU time of
    Mainstem's own client then. Or it may be a session of theirs, whose credentials and settings are used.

    ``codec`` encodes and decodes payloads; plain JSON by default. ``telemetry`` is told what is
    measured, such as a `mainstem.telemetry.EmbeddedMetrics`; nobody is by default.

    Raises `InvalidInput` for a URL that can't be understood, `StoreNotFound`, `StoreFormatError`
    for what is not a store of this format, `StoreDenied` without credentials or permission,
    `StoreBusy` where it can't be reached, or others lock it, for the whole timeout.
    """
    if is_dynamodb(url):
        from mainstem.dynamodb.open import open_blocking as open_dynamodb

        return open_dynamodb(url, codec or JsonCodec(), client=client, telemetry=telemetry)
    _refuse_client(client)
    return open_sqlite(url, codec or JsonCodec(), create=create, telemetry=telemetry)


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
    if is_dynamodb(url):
        from mainstem.dynamodb.open import open_async as open_dynamodb_async

        return open_dynamodb_async(url, codec or JsonCodec(), client=client, telemetry=telemetry)
    _refuse_client(client)
    return open_sqlite_async(url, codec or JsonCodec(), create=create, telemetry=telemetry)


def is_dynamodb(url: str) -> bool:
    """Whether it is a DynamoDB URL, or else a SQLite one. Raises `InvalidInput`."""
    if isinstance(url, str) and url.startswith("sqlite:"):
        return False
    if not isinstance(url, str) or not url.startswith("dynamodb:"):
        told = shown(url) if isinstance(url, str) else url
        raise InvalidInput(
            f"{quoted(told, 200)} is not the URL of a store. Give one such as {_EXAMPLES}."
        )
    # Not imported with Mainstem: whoever uses the embedded store needs none of it.
    try:
        import mainstem.dynamodb  # noqa: F401
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"{shown(url)!r:.200} needs {error.name}, which is not installed: "
            "pip install 'mainstem[dynamodb]'"
        ) from error
    return True


def _refuse_client(client: Any) -> None:
    if client is not None:
        raise InvalidInput("A client is for stores on DynamoDB; leave it out here.")
