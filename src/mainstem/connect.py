"""URLs to stores: `connect` and `connect_async`."""

from __future__ import annotations

from typing import Final

from mainstem.async_store import AsyncStore
from mainstem.codec import Codec, JsonCodec
from mainstem.errors import InvalidInput
from mainstem.sqlite.open import open_async as open_sqlite_async
from mainstem.sqlite.open import open_blocking as open_sqlite
from mainstem.store import Store

_SCHEMES: Final = "sqlite:///shop.db, sqlite:////var/lib/shop.db or sqlite://:memory:"


def connect(url: str, *, codec: Codec | None = None, create: bool = True) -> Store:
    """Open the store at a URL, and make it where there is none.

    ``sqlite:///shop.db`` is a file in the working directory, ``sqlite:////var/lib/shop.db`` one by
    its whole path, ``sqlite://:memory:`` a store that lives as long as its `Store`. Options follow
    a ``?``: ``mode`` (``rwc``: made if missing, the default; ``rw``; ``ro``), ``synchronous``
    (``FULL``: what was acknowledged survives a power cut, the default; ``NORMAL``: faster, the last
    commits may be lost in one, the store stays whole), ``timeout`` (seconds to wait for others'
    locks, 30 by default).

    ``codec`` encodes and decodes payloads; plain JSON by default. With ``create=False`` a store
    that is not there is a `StoreNotFound`, whatever the URL says.

    Raises `InvalidInput` for a URL that can't be understood, `StoreNotFound`, `StoreFormatError`
    for what is not a store of this format, `StoreBusy` where others lock it for the whole timeout.
    """
    _check_scheme(url)
    return open_sqlite(url, codec or JsonCodec(), create=create)


def connect_async(url: str, *, codec: Codec | None = None, create: bool = True) -> AsyncStore:
    """As `connect`, for asyncio. Opening is quick and done at once, so it is not awaited."""
    _check_scheme(url)
    return open_sqlite_async(url, codec or JsonCodec(), create=create)


def _check_scheme(url: str) -> None:
    if not isinstance(url, str) or not url.startswith("sqlite:"):
        raise InvalidInput(f"{url!r:.200} is not the URL of a store. Give one such as {_SCHEMES}.")
