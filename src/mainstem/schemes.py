"""From the scheme of a URL to the adapter that opens the store, also for adapters in other packages.

An adapter in a package of its own names an object with these functions (a module will do) as an entry
point of the group ``mainstem.schemes``, under the name of its scheme::

    [project.entry-points."mainstem.schemes"]
    memory = "mainstem_memory.scheme"

`mainstem.connect` then opens ``memory://…`` like any other store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from mainstem.aio.store import AsyncStore
from mainstem.blocking.store import Store
from mainstem.codec import Codec
from mainstem.port import Adapter, AsyncDriver, Driver
from mainstem.telemetry.adapter import Counted, observed
from mainstem.telemetry.observer import Observer
from mainstem.telemetry.port import Telemetry

__all__ = ["Opened", "Scheme", "async_store", "blocking_store"]

AnyDriver = TypeVar("AnyDriver")


@dataclass(frozen=True, slots=True)
class Opened(Generic[AnyDriver]):
    """A store's storage, opened and checked."""

    adapter: Adapter
    driver: AnyDriver
    system: str
    """The kind of storage, for telemetry: ``sqlite``, ``dynamodb``."""
    name: str
    """The store's name, for telemetry: without folders and without what may be secret."""
    counted: Counted | None = None
    """Reports what a running operation costs, if there is something to count."""


class Scheme(Protocol):
    """How the stores of one URL scheme are opened. ``create=False``: a missing store is not created.
    ``client`` is what the caller gave to `mainstem.connect`; the scheme decides what it means.

    Both raise `InvalidInput` for a wrong URL or client, `StoreNotFound` and the other
    `StoreError`s.
    """

    @property
    def LACKS(self) -> Mapping[str, str]:  # noqa: N802
        """What such stores have no need of (``tables``, ``deployment``, ``maintenance``), and what a command
        says to who asks for it.
        """
        ...

    def open_blocking(self, url: str, *, create: bool, client: Any) -> Opened[Driver]: ...

    def open_async(self, url: str, *, create: bool, client: Any) -> Opened[AsyncDriver]: ...


def blocking_store(opened: Opened[Driver], codec: Codec, telemetry: Telemetry | None) -> Store:
    """The store as its users see it."""
    observer = Observer(telemetry, system=opened.system, store=opened.name)
    adapter = observed(opened.adapter, observer, opened.counted)
    store = Store(adapter, opened.driver, codec)
    store._observer = observer
    return store


def async_store(
    opened: Opened[AsyncDriver], codec: Codec, telemetry: Telemetry | None
) -> AsyncStore:
    """As `blocking_store`."""
    observer = Observer(telemetry, system=opened.system, store=opened.name)
    adapter = observed(opened.adapter, observer, opened.counted)
    store = AsyncStore(adapter, opened.driver, codec)
    store._observer = observer
    return store
