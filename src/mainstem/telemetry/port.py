"""What Mainstem tells of its work, and to whom: nobody, unless asked for.

No event's payload, metadata or stream id goes this way, and no credentials.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, NamedTuple, Protocol, TypeAlias

Attributes: TypeAlias = Mapping[str, str | int | float]
"""What a measurement or a span is of. Few different values: each combination is a series of its own."""

Unit: TypeAlias = Literal["Count", "Milliseconds", "Seconds", "None"]
"""As Amazon CloudWatch names them."""


class Metric(NamedTuple):
    """One thing that is measured."""

    name: str
    """With dots between its parts: ``append.events``."""
    kind: Literal["counter", "histogram", "gauge"]
    """Whether values are added up, each counts, or the last one does."""
    unit: Unit
    """What values are counted in."""
    description: str
    """A sentence."""


class Failure(Exception):
    """What is told of an error that ended a span: never the error itself, whose message may name streams."""

    def __init__(self, kind: str, meaning: str = "") -> None:
        super().__init__(f"{kind}: {meaning}" if meaning else kind)
        self.kind = kind
        """The error's class: ``mainstem.errors.VersionConflict``."""
        self.meaning = meaning
        """What errors of this class mean, where it is one of Mainstem's."""


class Telemetry(Protocol):
    """Somebody who is told. Calls must be quick and never raise; they come from any thread."""

    def record(self, metric: Metric, value: float, attributes: Attributes | None = None) -> None:
        """So much was measured. A counter is told what was added, a gauge what it is now."""
        ...

    def span(self, name: str, attributes: Attributes | None = None) -> AbstractContextManager[None]:
        """A piece of work, from entering to leaving; a `Failure` that leaves it is noted."""
        ...

    def flush(self) -> None:
        """Hand over what was recorded. Called at the end of each invocation of a Lambda function."""
        ...


class Record(Protocol):
    """Tells one measurement of a store, with what it is of: ``operation``, ``reason``. Never raises."""

    def __call__(self, metric: Metric, value: float, **attributes: str | int) -> None:
        """So much was measured."""
        ...


class NoTelemetry:
    """Told to nobody."""

    def record(self, metric: Metric, value: float, attributes: Attributes | None = None) -> None:
        """Nobody is told."""

    def span(self, name: str, attributes: Attributes | None = None) -> AbstractContextManager[None]:
        """Nobody is told."""
        return nullcontext()

    def flush(self) -> None:
        """There is nothing to hand over."""
