"""The demo's data: a week of real incidents. ``incidents-small.md`` has its origin and its licence."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from importlib import resources
from itertools import islice
from typing import Any, Final

import msgspec

EVENTS: Final = 15_098
"""How many events the file has."""

PUBLISHED: Final[Mapping[str, int]] = {
    "IncidentOpened": 2_073,
    "IncidentUpdated": 3_663,
    "IncidentReassigned": 3_431,
    "IncidentActivated": 795,
    "IncidentPutOnHold": 749,
    "IncidentResumed": 158,
    "IncidentReclassified": 88,
    "IncidentPriorityChanged": 17,
    "IncidentResolved": 2_002,
    "IncidentReopened": 47,
    "IncidentClosed": 2_075,
    "incidents": 2_073,
    "in state Closed": 2_073,
    "sum of reassignment_count": 3_244,
    "sum of reopen_count": 47,
    "sum of sys_mod_count": 18_322,
    "made_sla": 88,
    "with resolved_at": 1_978,
    "priority 1 - Critical": 13,
    "priority 2 - High": 26,
    "priority 3 - Moderate": 1_956,
    "priority 4 - Low": 78,
}
"""What is known of the whole file, counted when it was made and without Mainstem: events by name,
then the incidents as they are after their last event."""

_FILE: Final = "incidents-small.jsonl.gz"


class SourceEvent(msgspec.Struct, frozen=True):
    """One line of the file."""

    stream_id: str
    event_id: int
    event_name: str
    recorded_at: str
    payload: dict[str, Any]


def load(count: int = EVENTS) -> list[SourceEvent]:
    """The file's first ``count`` events, in the order of time. They are a complete log of their own."""
    decode = msgspec.json.Decoder(SourceEvent).decode
    file = resources.files("mainstem.demo") / _FILE
    with file.open("rb") as packed, gzip.open(packed) as lines:
        return [decode(line) for line in islice(lines, count)]
