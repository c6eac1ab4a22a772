"""A verification as one operation, with everything else going on beside it."""

from __future__ import annotations

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.paced import Paced
from mainstem.dynamodb.items.event_items import EventItems
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.streams import listing
from mainstem.dynamodb.verify.findings import Findings
from mainstem.dynamodb.verify.full import FullCheck
from mainstem.dynamodb.verify.quick import QuickCheck
from mainstem.port import Op
from mainstem.values.filters import LogFilter

GRACE_SECONDS = 5.0


def full_check(
    layout: Layout, context: Context, segments: int = 2, grace_s: float = GRACE_SECONDS
) -> Op[Findings]:
    """As `mainstem.dynamodb.verify_log` does it, one part after the other."""
    findings = Findings()
    check = FullCheck(layout, EventItems(layout), context, Paced(context), findings)
    try:
        for partition in range(layout.partitions):
            yield from check.read_log(partition)
        for segment in range(segments):
            yield from check.scan(segment, segments)
        for segment in range(segments):
            yield from check.scan_log(segment, segments)
        yield from check.wait(grace_s)
        for partition in range(layout.partitions):
            yield from check.check_end(partition)
        for account in check.tally.differing():
            yield from check.differences.look(account)
        if check.differences.altered():
            for partition in range(layout.partitions):
                yield from check.differences.compare(partition)
    finally:
        check.close()
    return findings


def quick_check(layout: Layout, context: Context, grace_s: float = GRACE_SECONDS) -> Op[Findings]:
    findings = Findings()
    check = QuickCheck(layout, EventItems(layout), context, Paced(context), findings)
    for partition in range(layout.partitions):
        yield from check.read_window(partition)
    yield from check.count_items()
    others = yield from check.unlisted()
    names = yield from listing.names(layout, Attempts(context), LogFilter(), None, 10_000)
    listed = yield from check.with_cursors(names)
    unlisted = [info for info in others if info.stream_id not in names]
    yield from check.look_at([*listed, *unlisted])
    if not (names or others):
        yield from check.look_at((yield from check.sample()))
    yield from check.wait(grace_s)
    yield from check.judge()
    return findings
