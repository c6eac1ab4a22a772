"""Everything that is measured, and what it is measured by.

Every measurement has the attribute ``store``: the name in a DynamoDB URL, or of a SQLite file without
its ending. What else it has is told beside each.
"""

from __future__ import annotations

from typing import Final

from mainstem.telemetry.port import Metric

APPEND_COMMITS: Final = Metric(
    "append.commits", "counter", "Count", "Commits written. Repeats of a commit are not counted."
)
APPEND_EVENTS: Final = Metric("append.events", "counter", "Count", "Events written by appends.")
APPEND_CONFLICTS: Final = Metric(
    "append.conflicts",
    "counter",
    "Count",
    "Appends that found a stream at another version, those of `handle` included.",
)
APPEND_DURATION: Final = Metric(
    "append.duration",
    "histogram",
    "Milliseconds",
    "How long an append took, with everything that was tried again, whether it succeeded or not.",
)

# By ``operation``: as the methods of `mainstem.port.Adapter` are called, or a worker's (``sequence.poll``,
# ``sequence.events``, ``sequence.care``). Only where the store is asked over a network.

REQUESTS: Final = Metric("requests", "counter", "Count", "Requests sent to the database.")
READ_UNITS: Final = Metric("read_units", "counter", "Count", "Read capacity used.")
WRITE_UNITS: Final = Metric("write_units", "counter", "Count", "Write capacity used.")
RETRIES: Final = Metric(
    "retries", "counter", "Count", "Requests that were tried again, also by `reason`."
)

# Of sequencing workers and functions.

SEQUENCE_RECORDS: Final = Metric("sequence.records", "counter", "Count", "Change records read.")
SEQUENCE_EVENTS: Final = Metric("sequence.events", "counter", "Count", "Events put into the log.")
SEQUENCE_DELAY: Final = Metric(
    "sequence.delay",
    "gauge",
    "Seconds",
    "How old the last change record was when it was read, of the shard furthest behind.",
)
SEQUENCE_WAITING: Final = Metric(
    "sequence.waiting", "gauge", "Count", "Records read and not dealt with yet."
)
SEQUENCE_HOLES: Final = Metric(
    "sequence.holes", "gauge", "Count", "Streams that lack an event although they have later ones."
)
SEQUENCE_UNREADABLE: Final = Metric(
    "sequence.unreadable", "counter", "Count", "Change records that could not be understood."
)
SEQUENCE_IGNORED: Final = Metric(
    "sequence.ignored",
    "counter",
    "Count",
    "Changes and removals of events among the records, which the log takes no notice of.",
)
SEQUENCE_REPEATED: Final = Metric(
    "sequence.repeated",
    "counter",
    "Count",
    "Records that a function has answered as failed, so that they come again.",
)
SEQUENCE_DEAD_LETTERS: Final = Metric(
    "sequence.dead_letters",
    "counter",
    "Count",
    "Records that no retry can help, kept for `mainstem redrive`.",
)
LOG_DELAY: Final = Metric(
    "log.delay",
    "histogram",
    "Seconds",
    "How late the log is: the age of the oldest event that a function has just put into it.",
)
LOG_AGE: Final = Metric(
    "log.age",
    "gauge",
    "Seconds",
    "The age of the oldest event that is not in the log; 0 where every event is. Told each minute, also when "
    "nothing is sequenced at all.",
)
SEQUENCE_UNCLEAR: Final = Metric(
    "sequence.unclear",
    "gauge",
    "Count",
    "Shards of the change stream that, as far as the worker has seen, nobody reads.",
)

# By ``subscription``: its name. A reader without a name (`Store.follow`) is not measured.

SUBSCRIPTION_EVENTS: Final = Metric("subscription.events", "counter", "Count", "Events handled.")
SUBSCRIPTION_GAP: Final = Metric(
    "subscription.gap",
    "gauge",
    "Count",
    "Events still to be read: from what is handled to the heads, summed over the partitions.",
)
SUBSCRIPTION_LAG: Final = Metric(
    "subscription.lag",
    "gauge",
    "Seconds",
    "How late it is: the age of the newest event handled while there is a gap, or 0.",
)

SUBSCRIPTION_RETRIES: Final = Metric(
    "subscription.retries",
    "counter",
    "Count",
    "Looks at the log and saves of the checkpoint that an outage made fail, and that are tried again.",
)

# Of the maintenance function.

SEGMENT_EVENTS: Final = Metric("segment.events", "counter", "Count", "Events copied into segments.")
VERIFY_STREAMS: Final = Metric(
    "verify.streams", "counter", "Count", "Streams that the verification has looked at."
)
VERIFY_BEHIND: Final = Metric(
    "verify.behind", "counter", "Count", "Streams with events that are not in the log."
)
VERIFY_DAMAGED: Final = Metric("verify.damaged", "counter", "Count", "Findings of damage.")

# By ``operation``: the name of the span.

SPAN_DURATION: Final = Metric(
    "span.duration",
    "histogram",
    "Milliseconds",
    "How long a span took. Recorded by what has no spans of its own.",
)

OF_FUNCTIONS: Final = (
    SEQUENCE_EVENTS,
    SEQUENCE_IGNORED,
    SEQUENCE_REPEATED,
    SEQUENCE_DEAD_LETTERS,
    LOG_AGE,
    LOG_DELAY,
    SUBSCRIPTION_EVENTS,
    SUBSCRIPTION_GAP,
    SUBSCRIPTION_LAG,
    SEGMENT_EVENTS,
    VERIFY_STREAMS,
    VERIFY_BEHIND,
    VERIFY_DAMAGED,
)
"""What alarms and dashboard of a stack go by."""

ALL: Final = (
    APPEND_COMMITS,
    APPEND_EVENTS,
    APPEND_CONFLICTS,
    APPEND_DURATION,
    REQUESTS,
    READ_UNITS,
    WRITE_UNITS,
    RETRIES,
    SEQUENCE_RECORDS,
    SEQUENCE_EVENTS,
    SEQUENCE_DELAY,
    SEQUENCE_WAITING,
    SEQUENCE_HOLES,
    SEQUENCE_UNREADABLE,
    SEQUENCE_IGNORED,
    SEQUENCE_REPEATED,
    SEQUENCE_DEAD_LETTERS,
    LOG_AGE,
    LOG_DELAY,
    SEQUENCE_UNCLEAR,
    SUBSCRIPTION_EVENTS,
    SUBSCRIPTION_GAP,
    SUBSCRIPTION_LAG,
    SUBSCRIPTION_RETRIES,
    SEGMENT_EVENTS,
    VERIFY_STREAMS,
    VERIFY_BEHIND,
    VERIFY_DAMAGED,
    SPAN_DURATION,
)
"""The whole catalogue."""
