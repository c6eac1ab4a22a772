"""What the functions measure."""

from __future__ import annotations

from typing import Final

from mainstem.telemetry import Metric

EVENTS_SEQUENCED: Final = Metric(
    "EventsSequenced", "counter", "Count", "Events put into the log by the sequencing function."
)
SEQUENCING_DELAY: Final = Metric(
    "SequencingDelay",
    "histogram",
    "Milliseconds",
    "Age of the oldest event of an invocation when it is in the log: how late the log is.",
)
RECORDS_IGNORED: Final = Metric(
    "RecordsIgnored",
    "counter",
    "Count",
    "Changes and removals of events, which nothing but erasure should do. The log takes no notice.",
)
RECORDS_REPEATED: Final = Metric(
    "RecordsRepeated",
    "counter",
    "Count",
    "Records answered as failures, to be delivered again: throttled, out of time, or an error.",
)
DEAD_LETTERS: Final = Metric(
    "DeadLetters",
    "counter",
    "Count",
    "Records that can't be sequenced, kept for `mainstem redrive`.",
)
EVENTS_HANDLED: Final = Metric(
    "EventsHandled", "counter", "Count", "Events handled by a projection or published."
)
GAP: Final = Metric(
    "Gap", "gauge", "Count", "Events of the log that a subscription has not handled yet."
)
LAG: Final = Metric(
    "Lag",
    "gauge",
    "Milliseconds",
    "How long ago the last event was recorded that a subscription handled; 0 where it is at the end.",
)
EVENTS_IN_SEGMENTS: Final = Metric(
    "EventsSegmented",
    "counter",
    "Count",
    "Events copied into segments by the maintenance function.",
)
STREAMS_BEHIND: Final = Metric(
    "StreamsBehind",
    "gauge",
    "Count",
    "Streams that have events that are not in the log, found by the quick verification.",
)
STREAMS_DAMAGED: Final = Metric(
    "StreamsDamaged", "gauge", "Count", "Findings of damage by the quick verification."
)
STREAMS_VERIFIED: Final = Metric(
    "StreamsVerified", "gauge", "Count", "Streams that the quick verification has looked at."
)
