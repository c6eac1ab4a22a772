"""From the scheme of a URL to the adapter that opens the store, also for adapters in other packages.

An adapter in a package of its own names an object with the functions of `Scheme` (a module will do) as an
entry point of the group ``mainstem.schemes``, under the name of its scheme::

    [project.entry-points."mainstem.schemes"]
    journal = "mainstem_journal.scheme"

`mainstem.connect` and the command line then open ``journal://…`` like any other store. The object may also
have `Verifying`, `Sequenced`, `Upgrading`, ``TOOLS`` and ``LACKS``, which commands use.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

from mainstem.aio.store import AsyncStore
from mainstem.blocking.store import Store
from mainstem.codec import Codec
from mainstem.port import Adapter, AsyncDriver, Driver
from mainstem.telemetry.adapter import Counted, observed
from mainstem.telemetry.observer import Observer
from mainstem.telemetry.port import Telemetry
from mainstem.verbs.formats import Upgraded

__all__ = [
    "Opened",
    "Scheme",
    "Sequenced",
    "Tool",
    "Upgrading",
    "Verdict",
    "Verified",
    "VerifyOptions",
    "Verifying",
    "async_store",
    "blocking_store",
]

AnyDriver = TypeVar("AnyDriver")


@dataclass(frozen=True, slots=True)
class Opened(Generic[AnyDriver]):
    """A store's storage, opened and checked."""

    adapter: Adapter
    """Its operations."""
    driver: AnyDriver
    """What carries them out: a `mainstem.port.Driver` or an ``AsyncDriver``."""
    system: str
    """The kind of storage, for telemetry: ``sqlite``, ``dynamodb``."""
    name: str
    """The store's name, for telemetry: without folders and without what may be secret."""
    counted: Counted | None = None
    """Reports what a running operation costs, if there is something to count."""


@runtime_checkable
class Scheme(Protocol):
    """How the stores of one URL scheme are opened: what every scheme has.

    ``create=False``: a missing store is not created. ``client`` is what the caller gave to
    `mainstem.connect`; the scheme decides what it means. Both raise `InvalidInput` for a wrong URL or
    client, `StoreNotFound` and the other `StoreError`s. Their messages contain no secrets of the URL.
    """

    def open_blocking(self, url: str, *, create: bool, client: Any) -> Opened[Driver]:
        """For `mainstem.connect`."""
        ...

    def open_async(self, url: str, *, create: bool, client: Any) -> Opened[AsyncDriver]:
        """For `mainstem.connect_async`, which is not awaited."""
        ...


# What a scheme may also have

Verdict: TypeAlias = Literal["complete", "behind", "damaged"]
"""``complete``: nothing is missing. ``behind``: some events are not in the log yet. ``damaged``: something is
missing, changed or not understood."""


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """How a store is to be verified."""

    full: bool = False
    """Read everything, instead of what can be seen in little time."""
    workers: int = 4
    """Threads that may read at the same time, 1 to 64."""
    read_units: float | None = None
    """Read units a second to be used at most, where the storage counts them."""
    grace_seconds: float = 10.0
    """How long to look again for events that the log lacks, before the log counts as behind."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification has found, as ``mainstem verify`` prints it."""

    verdict: Verdict
    """The verdict on the whole store."""
    summary: Sequence[str]
    """Lines for people. The last one says what the verdict means, and what to do."""
    findings: Sequence[str] = ()
    """A sentence for each thing that is wrong; perhaps only the first thousand."""
    found: int = 0
    """How many things are wrong."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What ``--json`` prints."""


@runtime_checkable
class Verifying(Protocol):
    """A scheme whose stores can be verified, beyond what an append and a read check anyway."""

    def verify(self, url: str, options: VerifyOptions, progress: Callable[[str], None]) -> Verified:
        """Look for what is wrong with the store, and write nothing. ``progress`` gets a description of what
        is being checked. Raises what `Scheme.open_blocking` raises, and `InvalidInput` for an option that
        means nothing to such stores. Findings are returned, not raised.
        """
        ...


@runtime_checkable
class Sequenced(Protocol):
    """A scheme whose appends may leave the log to a worker."""

    def worker(self, url: str) -> Callable[[threading.Event], object] | None:
        """What must run at the same time as the writers, until the event is set, so that events get into the
        log; None if the appends of this URL write the log themselves.
        """
        ...


@runtime_checkable
class Upgrading(Protocol):
    """A scheme whose stores may be of an older format, from which there is a way to the newest."""

    def upgrade(self, url: str, *, client: Any) -> Upgraded:
        """As `mainstem.upgrade`, which says what has to be kept."""
        ...


Tool: TypeAlias = Literal["tables", "deployment", "maintenance"]
"""What some commands need: tables that are created before the store is used, a deployment, a log that is
sequenced, segmented or repaired. These commands know DynamoDB's tables only. They take the stores of schemes
that list the tool in ``TOOLS``, and refuse all others. A scheme may have a message in ``LACKS``, by tool,
which commands print after the store's URL."""

_LACKED: Final[Mapping[Tool, str]] = {
    "tables": "no tables to create",
    "deployment": "nothing to deploy",
    "maintenance": "no log to sequence, segment or repair",
}


def lacked(scheme: Scheme, name: str, tool: Tool) -> str | None:
    """The message, to print after the store's URL, that such stores do not need the tool; None if they do."""
    if tool in getattr(scheme, "TOOLS", ()):
        return None
    said: str | None = getattr(scheme, "LACKS", {}).get(tool)
    return said or f"is a store of the scheme {name!r}, which has {_LACKED[tool]}."


# For connect


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
