"""Handlers for Lambda functions.

A handler is made when the module of a function is imported, and opens the store at the first call,
so that importing needs no AWS. Arguments that are not given come from the environment: see `environment`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Protocol, Unpack

from mainstem.aws import environment
from mainstem.aws.deadline import LambdaContext
from mainstem.aws.maintaining import Maintaining
from mainstem.aws.publishing.arns import parse
from mainstem.aws.publishing.publisher import Publisher, TooLargeChoice
from mainstem.aws.reading import Handle, Reading, Subscribed
from mainstem.aws.sequencing import Sequencing
from mainstem.aws.tables import Once
from mainstem.codec import Codec, JsonCodec
from mainstem.dynamodb.open import OpenTables, Tables, open_tables
from mainstem.errors import PublicationFailed
from mainstem.telemetry import Telemetry
from mainstem.values.filters import Filters, LogFilter
from mainstem.values.positions import BEGINNING, Position
from mainstem.verbs.options import (
    DEFAULT_BATCH,
    Batch,
    Options,
    check_subscription_name,
    checked_options,
)
from mainstem.verbs.starts import Start


class Handler(Protocol):
    """The function that Lambda calls, with an event and a context; it returns the answer for Lambda. Without
    a context it has no time limit.
    """

    def __call__(self, event: Any, context: LambdaContext | None, /) -> dict[str, Any]:
        """Deal with one invocation. What it raises makes Lambda try again, where the source does that."""
        ...


def sequencing_handler(
    url: str | None = None,
    *,
    dead_letters: str | None = None,
    telemetry: Telemetry | None = None,
    client: Any = None,
) -> Handler:
    """For the stream of the events table: puts the events of its records into the log.

    Returns partial batch failures (``ReportBatchItemFailures``), so that Lambda delivers again what could
    not be done. Records may come twice, out of order, only some of them or not at
    all: this does no harm. Changes and removals of events are ignored and counted. If a retry is useless for
    a record, it is kept in the bucket ``dead_letters`` (by default that of ``MAINSTEM_DEAD_LETTERS``). If
    there is none, it is reported as failed until Lambda gives it up.

    ``url`` names the store as for `mainstem.connect`, by default ``MAINSTEM_URL``. ``client`` is a
    DynamoDB client or a session, as for `mainstem.connect`. The handler raises what `mainstem.connect`
    raises; then Lambda delivers the batch again.
    """

    def make() -> Sequencing:
        letters = environment.dead_letters(dead_letters)
        return Sequencing(_open(url, client), letters, telemetry or environment.telemetry())

    made = Once(make)
    return lambda event, context: made().handle(event, context)


def projection_handler(
    subscription: str,
    handle: Callable[[Batch], None],
    *,
    url: str | None = None,
    codec: Codec | None = None,
    start: Start = BEGINNING,
    batch_size: int = DEFAULT_BATCH,
    telemetry: Telemetry | None = None,
    client: Any = None,
    **filters: Unpack[Filters],
) -> Handler:
    """A projection as a function: calls ``handle`` with the events of the log, in order, from the
    checkpoint of the subscription on, and moves the checkpoint when ``handle`` returns.

    Attach it to the log table's stream, which wakes it; a schedule, a queue or a call by hand also
    works. It always reads the log itself, up to the end or as long as the time allows, so it does not
    matter if a record never comes. Each batch has events of one partition, in
    the order of their positions. Events come at least once: those of a batch that failed, or whose
    checkpoint could not be saved, come again. So make ``handle`` idempotent, or save
    ``batch.next_position`` together with what it writes and skip batches below it.

    If ``handle`` raises, nothing after that batch is handled: the error is logged, and Lambda tries
    again. ``codec``, ``start``, the filters and ``batch_size`` are as for `mainstem.Store.subscribe`;
    the rest as for `sequencing_handler`. Raises `InvalidInput` at once for wrong arguments.
    """
    subscribed = _subscribed(subscription, codec, start, filters, batch_size)

    def handle_whole(batch: Batch, _out_of_time: Callable[[], bool]) -> Position:
        handle(batch)
        return batch.next_position

    return _reading_handler(subscribed, lambda _: handle_whole, url, telemetry, client)


def publisher_handler(
    target: str,
    *,
    subscription: str = "publisher",
    too_large: TooLargeChoice = "reference",
    max_bytes: int | None = None,
    url: str | None = None,
    start: Start = BEGINNING,
    batch_size: int = DEFAULT_BATCH,
    telemetry: Telemetry | None = None,
    client: Any = None,
    target_client: Any = None,
    **filters: Unpack[Filters],
) -> Handler:
    """Sends the events of the log to ``target``: the ARN of an EventBridge bus, an SNS topic, an SQS
    queue (FIFO or not, both) or a Kinesis data stream.

    Each event is sent at least once. A FIFO topic or queue gets the events of each stream in order, in a
    message group of their own, with a deduplication id from partition and position, so that a repeat
    within five minutes is dropped; Kinesis gets them in order, repeats included; the others keep no
    order. `mainstem.aws.publishing.envelope` says what is sent. If an event is larger than the target
    takes, ``too_large="reference"`` sends it without its payload; consumers read it from the store by
    stream and event id. ``"fail"`` stops there with `PublicationFailed`. ``max_bytes`` is the largest event
    that the target takes, if it was set to another size than the service's default.

    It reads like `projection_handler`; the checkpoint moves past the events that the target has accepted.
    ``target_client`` is a botocore client for the target's service. Raises `InvalidInput` at once
    if ``target`` is not one.
    """
    parse(target)
    subscribed = _subscribed(subscription, None, start, filters, batch_size)

    def handling(tables: Tables) -> Handle:
        publisher = Publisher(
            target,
            source=tables.name,
            too_large=too_large,
            max_bytes=max_bytes,
            client=target_client,
        )
        return lambda batch, out_of_time: _publish(publisher, batch, out_of_time)

    return _reading_handler(subscribed, handling, url, telemetry, client)


def _publish(publisher: Publisher, batch: Batch, out_of_time: Callable[[], bool]) -> Position:
    """How far it got. Raises the error that stops it if nothing was sent before."""
    try:
        count = publisher.publish(batch.events, out_of_time)
    except PublicationFailed as error:
        if not error.published:
            raise
        count = error.published
    if count == len(batch.events):
        return batch.next_position
    position = batch.events[count].position
    assert position is not None, "read from the log"
    return position


def maintenance_handler(
    url: str | None = None,
    *,
    reclaim: bool | None = None,
    read_units: float | None = None,
    watched: Collection[str] | None = None,
    telemetry: Telemetry | None = None,
    client: Any = None,
) -> Handler:
    """For a schedule: settles and segments the log, and verifies it.

    The event says what to do. ``{"task": "segment"}`` (the default) settles and segments. ``{"task":
    "verify"}`` is the quick verification of as many streams as there is time for, at no more than
    ``read_units`` a second; the next one continues after them. ``{"task": "watch"}`` reports the age of the
    oldest event that is not in the log, and gap and lag of the subscriptions ``watched`` (by default those
    of ``MAINSTEM_WATCH``); call it on its own schedule, each minute.

    ``reclaim`` empties batches whose events are in segments; by default
    as ``MAINSTEM_RECLAIM`` says. The rest is as for `sequencing_handler`. It may run at any time, also
    several times at once, and may be interrupted anywhere.
    """

    def make() -> Maintaining:
        wanted = environment.reclaim() if reclaim is None else reclaim
        units = environment.read_units() if read_units is None else read_units
        told = telemetry or environment.telemetry()
        names = environment.watched() if watched is None else watched
        return Maintaining(
            _open(url, client),
            reclaim=wanted,
            read_units=units,
            batching_seconds=environment.batching_seconds(),
            watched=names,
            telemetry=told,
        )

    made = Once(make)
    return lambda event, context: made().handle(event, context)


def _reading_handler(
    subscribed: Subscribed,
    handling: Callable[[Tables], Handle],
    url: str | None,
    telemetry: Telemetry | None,
    client: Any,
) -> Handler:
    def make() -> Reading:
        tables = _open(url, client)
        told = telemetry or environment.telemetry()
        return Reading(tables, subscribed, handling(tables), told)

    made = Once(make)
    return lambda event, context: made().handle(event, context)


def _subscribed(
    subscription: str,
    codec: Codec | None,
    start: Start,
    filters: Filters,
    batch_size: int,
) -> Subscribed:
    check_subscription_name(subscription)
    log_filter = LogFilter.of(**filters)
    options = checked_options(
        Options(subscription, start, log_filter, "auto", batch_size, live=False)
    )
    return Subscribed(subscription, options.start, log_filter, codec or JsonCodec(), batch_size)


def _open(url: str | None, client: Any) -> OpenTables:
    return open_tables(environment.url() if url is None else url, client=client)
