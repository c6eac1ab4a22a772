"""Trying again: throttles, conflicts between transactions, lost replies, under one deadline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mainstem.dynamodb.client import deadline, faults, metering
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.request_places import place_of, place_of_action
from mainstem.dynamodb.client.requests import (
    CHANGE_READS,
    THROTTLED_CODES,
    TRANSACTION_CONFLICT,
    TRANSIENT_CODES,
    BatchGet,
    BatchGot,
    Cancelled,
    Get,
    Item,
    Key,
    Query,
    QueryIndex,
    Request,
    Scan,
    Transact,
)
from mainstem.dynamodb.client.sizes import MAX_BATCH_GET
from mainstem.dynamodb.client.trust import Moment
from mainstem.errors import StoreBusy, StoreError, StoreNotFound
from mainstem.port import Op, Sleep

_FIRST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 1.0
"""Seconds. Doubled from the first to the longest, each taken at random between half and whole."""


class Outdated(Exception):
    """What a write relies on was learned too long ago, so it was not sent, or not sent again. The caller
    then asks again; no user sees this error.
    """


class Attempts:
    """The tries of one operation, all of its requests together."""

    def __init__(
        self, context: Context, timeout: float | None = None, *, long: bool = False
    ) -> None:
        """``timeout`` is in seconds, that of the context by default. A ``long`` operation may take
        longer as a whole, but only so long without getting any further.
        """
        self._context = context
        self._long = long
        self._timeout = context.timeout if timeout is None else timeout
        self._deadline = context.monotonic() + self._timeout
        self._pause = _FIRST_PAUSE
        self.lost_replies = 0
        """Writes that were left without an answer, so that they may have been carried out."""
        self.sent = self._heard = self._unbroken = context.trust.now()
        """When the last try was sent."""

    def left(self, problem: str) -> float:
        """Seconds until the deadline. Raises `StoreBusy` where it has passed."""
        seconds = self._deadline - self._context.monotonic()
        if seconds <= 0:
            raise self._too_late(problem)
        return seconds

    def progressed(self) -> None:
        """It is further than before: from here on a long operation has the whole time again."""
        if self._long:
            self._deadline = self._context.monotonic() + self._timeout
            self._pause = _FIRST_PAUSE

    def call(self, request: Request, is_trusted: Callable[[], bool] | None = None) -> Op[Any]:
        """The answer to a request, which is sent again as long as it fails for passing reasons.
        ``is_trusted`` is asked before each try. Raises `Outdated` where it says no.

        A write whose reply was lost is sent again too, so a condition may fail because the first
        try had succeeded. Raises `StoreBusy` at the deadline; `lost_replies` has grown where the
        write may have been carried out, whatever is raised.
        """
        meter = metering.current()
        is_write = not isinstance(request, (Get, BatchGet, Query, QueryIndex, Scan, *CHANGE_READS))
        lost = self.lost_replies
        problem = f"there was no time left for {place_of(request)}"
        tries = 0
        while True:
            deadline.allow(self.left(problem))
            self.sent = self._context.trust.now()
            if is_trusted is not None and not is_trusted():
                raise Outdated
            try:
                answer = yield request
            except faults.Fault as fault:
                if isinstance(fault, faults.Throttled):
                    self._hear()
                if is_write and isinstance(fault, (faults.NoReply, faults.InProgress)):
                    self.lost_replies += 1
                problem, reason = f"{fault} ({place_of(request)})", type(fault).__name__
                tries += not isinstance(fault, (faults.Conflicted, faults.InProgress))
                metering.count(meter, request, None)
            except StoreError as error:
                if isinstance(error, StoreNotFound):
                    self._context.trust.forget()
                raise  # it was refused, or nothing was sent
            except BaseException:
                if is_write:
                    self.lost_replies += 1  # nobody knows how far it had got
                raise
            else:
                self._hear()
                metering.count(meter, request, answer)
                passing = _passing(request, answer) if isinstance(answer, Cancelled) else None
                if passing is None:
                    return answer
                problem, reason = passing
            try:
                if tries == self._context.most_tries:
                    raise StoreBusy(
                        f"DynamoDB did not carry out the request in {tries} tries, which is what the "
                        f"settings for AWS allow (max_attempts): {problem}. Trying again is safe."
                    )
                yield from self.pause(problem, reason)
            except StoreBusy as busy:
                if self.lost_replies > lost:
                    raise StoreBusy(
                        f"DynamoDB left a write without an answer for {self._timeout:g} seconds "
                        f"({problem}), so it may have been carried out. Trying again is safe."
                    ) from busy
                raise

    def call_unbroken(self, request: Request, asked: Moment) -> Op[Any]:
        """As `call`, for a write of many that need the tables to be those that were ``asked``. Raises
        `StoreBusy` where they may have become others meanwhile.
        """
        try:
            return (yield from self.call(request, lambda: self.still_holds(asked)))
        except Outdated:
            raise StoreBusy(
                f"DynamoDB did not answer ({place_of(request)}) for so long that the tables may have been "
                "replaced. Trying again is safe."
            ) from None

    def still_holds(self, asked: Moment) -> bool:
        """Whether the tables are those that were asked then, by this operation or shortly before: they have
        answered again and again since, without a pause in which they could have become others.
        """
        trust = self._context.trust
        return trust.holds(asked) or (
            trust.holds(self._heard) and trust.reaches(asked, self._unbroken)
        )

    def _hear(self) -> None:
        """There is an answer to what was sent last."""
        if not self._context.trust.reaches(self._heard, self.sent):
            self._unbroken = self.sent
        self._heard = self.sent

    def pause(self, problem: str, reason: str | None = None) -> Op[None]:
        """Wait a little, longer each time. Raises `StoreBusy` where the deadline would pass.

        With a ``reason``, what comes next is counted as a retry.
        """
        seconds = self._pause * (0.5 + 0.5 * self._context.random.random())
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        yield from self.pause_for(seconds, problem, reason)

    def pause_for(self, seconds: float, problem: str, reason: str | None = None) -> Op[None]:
        """As `pause`, so long."""
        if self._context.monotonic() + seconds > self._deadline:
            raise self._too_late(problem)
        if reason is not None:
            metering.count_retry(metering.current(), reason)
        yield Sleep(seconds)

    def _too_late(self, problem: str) -> StoreBusy:
        return StoreBusy(
            f"DynamoDB did not carry out the request within {self._timeout:g} seconds: {problem}. "
            "Trying again is safe."
        )

    def batch_get(self, request: BatchGet) -> Op[dict[Key, Item]]:
        """The items of any number of keys that exist, however many requests it takes."""
        found: dict[Key, Item] = {}
        table = request.table
        left = list(dict.fromkeys(request.keys))
        while left:
            some, left = left[:MAX_BATCH_GET], left[MAX_BATCH_GET:]
            got: BatchGot = yield from self.call(request._replace(keys=tuple(some)))
            for item in got.items:
                found[Key.of(table, item)] = item
            if got.unprocessed:
                left += got.unprocessed
                if len(got.unprocessed) == len(some):
                    yield from self.pause(
                        f"DynamoDB left every key of a batch unprocessed ({place_of(request)})",
                        "Throttled",
                    )
        return found


def _passing(request: Request, answer: Cancelled) -> tuple[str, str] | None:
    """What stopped a transaction and will pass, and its name among retries; None where it will not."""
    if any(reason is not None and reason.code not in TRANSIENT_CODES for reason in answer.reasons):
        return None
    assert isinstance(request, Transact)
    in_the_way = [
        (reason.code, action)
        for reason, action in zip(answer.reasons, request.actions, strict=True)
        if reason is not None
    ]
    # Of several reasons the one that the user can do something about.
    in_the_way.sort(key=lambda each: each[0] not in THROTTLED_CODES)
    for code, action in in_the_way[:1]:
        where = place_of_action(action)
        if code in THROTTLED_CODES:
            return f"throttled: {code} ({where})", faults.Throttled.__name__
        if code == TRANSACTION_CONFLICT:
            return f"other transactions were under way on {where}", faults.Conflicted.__name__
        return f"{code} ({where})", faults.NotCarriedOut.__name__
    return "DynamoDB cancelled a transaction for no reason", faults.NotCarriedOut.__name__
