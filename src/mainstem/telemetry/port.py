"""The interface for metrics and spans. Nothing is reported unless a telemetry is given.

Measurements contain no payload, metadata or stream id of an event, and no credentials.
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
    """Reported for an error that ended a span, instead of the error, whose message may name streams."""

    def __init__(self, kind: str, meaning: str = "") -> None:
        super().__init__(f"{kind}: {meaning}" if meaning else kind)
        self.kind = kind
        """The error's class: ``mainstem.errors.VersionConflict``."""
        self.meaning = meaning
        """What errors of this class mean, if it is one of Mainstem's."""


class Telemetry(Protocol):
    """Receives metrics and spans. Calls must return quickly and never raise; they come from any thread."""

    def record(self, metric: Metric, value: float, attributes: Attributes | None = None) -> None:
        """A value was measured: of a counter what was added, of a gauge what it is now."""
        ...

    def span(self, name: str, attributes: Attributes | None = None) -> AbstractContextManager[None]:
        """A piece of work, from entering to leaving; a `Failure` that leaves it is noted."""
        ...

    def flush(self) -> None:
        """Hand over what was recorded. Called at the end of each invocation of a Lambda function."""
        ...


class Record(Protocol):
    """Reports one measurement of a store, with attributes such as ``operation``, ``reason``. Never raises."""

    def __call__(self, metric: Metric, value: float, **attributes: str | int) -> None:
        """A value was measured."""
        ...


class NoTelemetry:
    """Reports nothing."""

    def record(self, metric: Metric, value: float, attributes: Attributes | None = None) -> None:
        """Nobody is told."""

    def span(self, name: str, attributes: Attributes | None = None) -> AbstractContextManager[None]:
        """Nobody is told."""
        return nullcontext()

    def flush(self) -> None:
        """There is nothing to hand over."""
