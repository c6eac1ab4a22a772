"""What stands behind the scheme of a URL: how the stores of an adapter are opened, wherever it comes from.

An adapter in a package of its own names an object with the functions of `Scheme` (a module will do) as an
entry point of the group ``mainstem.schemes``, under the name of its scheme::

    [project.entry-points."mainstem.schemes"]
    journal = "mainstem_journal.scheme"

`mainstem.connect` and the command line then open ``journal://…`` like any other store. The object may also
have the functions of `Verifying`, `Sequenced` and `Upgrading`; commands use them if they are there.
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
    """Tells what a running operation costs, where there is something to count."""


@runtime_checkable
class Scheme(Protocol):
    """How the stores of one URL scheme are opened: what every scheme has.

    ``create=False``: a store that is not there is not made. ``client`` is what the caller has handed to
    `mainstem.connect`, whatever that means to the scheme. Both raise `InvalidInput` for a URL or client
    that can't be, `StoreNotFound` and the other `StoreError`s; what they tell of the URL is without secrets.
    """

    def open_blocking(self, url: str, *, create: bool, client: Any) -> Opened[Driver]:
        """For `mainstem.connect`."""
        ...

    def open_async(self, url: str, *, create: bool, client: Any) -> Opened[AsyncDriver]:
        """For `mainstem.connect_async`, which is not awaited."""
        ...


# What a scheme may have besides

Verdict: TypeAlias = Literal["complete", "behind", "damaged"]
"""Of a whole store: nothing is missing; some events are not in the log yet; something is missing, changed or
not understood."""


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
    """For so long, what is missing from the log is looked for again before it is said to be behind."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification has found, as ``mainstem verify`` tells it."""

    verdict: Verdict
    """Of the whole store."""
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
        """Look for what is wrong with the store, and write nothing. ``progress`` is told what is being
        looked at. Raises what `Scheme.open_blocking` raises, and `InvalidInput` for an option that means
        nothing to such stores. What is found raises nothing.
        """
        ...


@runtime_checkable
class Sequenced(Protocol):
    """A scheme whose appends may leave the log to a worker."""

    def worker(self, url: str) -> Callable[[threading.Event], object] | None:
        """What has to run beside the writers until the event is set, so that events get into the log; None
        where the appends of this URL write the log themselves.
        """
        ...


@runtime_checkable
class Upgrading(Protocol):
    """A scheme whose stores may be of an older format, from which there is a way to the newest."""

    def upgrade(self, url: str, *, client: Any) -> Upgraded:
        """As `mainstem.upgrade`, which says what has to be kept."""
        ...


Tool: TypeAlias = Literal["tables", "deployment", "maintenance"]
"""What some commands are about: tables that are made before the store is used, a deployment, a log that is
sequenced, segmented or repaired. These commands know DynamoDB's tables only. They take the stores of schemes
that name it in ``TOOLS``, and refuse all others. A scheme may say in ``LACKS``, by tool, how its stores are
refused."""

_LACKED: Final[Mapping[Tool, str]] = {
    "tables": "no tables to be made",
    "deployment": "nothing to be deployed",
    "maintenance": "no log that has to be sequenced, segmented or repaired",
}


def lacked(scheme: Scheme, name: str, tool: Tool) -> str | None:
    """How a store is refused by a command about that tool, to be said after its URL; None if it is not."""
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
