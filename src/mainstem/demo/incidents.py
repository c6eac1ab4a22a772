"""The demo's domain: what an incident is, how its changes are recorded, and a read model of them all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mainstem import Decider, NewEvent, RecordedEvent


class Incident(NamedTuple):
    """An incident as its events have made it."""

    changes: int = 0
    """How many of its changes are recorded."""
    fields: Mapping[str, Any] = {}

    def changed(self, payload: Mapping[str, Any]) -> Incident:
        """With one more change: an event's payload has the fields that are different now."""
        return Incident(self.changes + 1, {**self.fields, **payload})


class RecordChanges(NamedTuple):
    """A command: record these changes, which begin with the incident's change number ``first``."""

    first: int
    changes: Sequence[NewEvent]


class ChangeMissing(Exception):
    """A change can't be recorded before the one that precedes it."""


def evolve(incident: Incident, event: RecordedEvent | NewEvent) -> Incident:
    """The incident after one more event."""
    return incident.changed(event.payload)


def decide(command: RecordChanges, incident: Incident) -> Sequence[NewEvent]:
    """Record the changes once. Nothing is left to do if another writer was first."""
    if incident.changes > command.first:
        return []
    if incident.changes < command.first:
        raise ChangeMissing(f"Change {incident.changes} comes before change {command.first}.")
    return command.changes


RECORDER = Decider(initial=Incident, evolve=evolve, decide=decide)


class ServiceDesk:
    """The read model: every incident as it is now, and how many events of each name there were."""

    def __init__(self) -> None:
        self._incidents: dict[str, Incident] = {}
        self._names: Counter[str] = Counter()

    def apply(self, stream_id: str, name: str, payload: Mapping[str, Any]) -> None:
        """Take in one event."""
        self._names[name] += 1
        self._incidents[stream_id] = self._incidents.get(stream_id, Incident()).changed(payload)

    def results(self) -> dict[str, int]:
        """The figures that are published of the data, under the same names; zeros are left out."""
        incidents = [incident.fields for incident in self._incidents.values()]
        figures = {
            **self._names,
            "incidents": len(incidents),
            "in state Closed": sum(
                fields.get("incident_state") == "Closed" for fields in incidents
            ),
            "sum of reassignment_count": _sum(incidents, "reassignment_count"),
            "sum of reopen_count": _sum(incidents, "reopen_count"),
            "sum of sys_mod_count": _sum(incidents, "sys_mod_count"),
            "made_sla": sum(bool(fields.get("made_sla")) for fields in incidents),
            "with resolved_at": sum(bool(fields.get("resolved_at")) for fields in incidents),
            **Counter(f"priority {fields.get('priority')}" for fields in incidents),
        }
        return {name: figure for name, figure in figures.items() if figure}


def _sum(incidents: Sequence[Mapping[str, Any]], field: str) -> int:
    return sum(fields.get(field) or 0 for fields in incidents)
