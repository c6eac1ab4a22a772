"""How processes share the head of one partition's log: who goes ahead, who waits, and how long.

Of two transactions at one head the first wins, and the winner knows the new head before
all others. Without a rule the same process would win again and again. So a process that wins while
others wait stops after a few transactions, long enough for another to begin. A process that loses
sends no more transactions while the head moves. It reads the head, which costs half a read
unit, until the head has not moved for about one transaction.
"""

from __future__ import annotations

from typing import Final

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.items.block_items import Head
from mainstem.dynamodb.log.heads import Heads
from mainstem.port import Op

_IN_A_ROW: Final = 8
"""Transactions of one process while others wait. More are cheaper for all, and a longer wait for each."""
_ALONE_IN_A_ROW: Final = 64
"""The same where it knows of no others."""
_UNWANTED: Final = 8
"""When it has stopped so often and nobody else came, there are none."""

# In transactions, as long as one takes; each taken at random between half and one and a half.
_YIELD: Final = 5.0
"""How long it then stops: others need so long to see it and to begin."""
_STILL: Final = 0.5
"""Between two looks at a head, and as long as they take, it has to stand still."""
_AFTERWARDS: Final = 32.0
"""Between one's own run and the next look, if others wait: about one run of four others."""
_SOONER: Final = 0.7
"""Each look that finds the head moving makes the next wait so much shorter: who waits longest looks most."""
_LATER: Final = 2.0
"""Each transaction that was lost makes it so much longer: too many look."""
_SHORTEST: Final = 1.5
_CROWDED: Final = 1.3
_SHORTEST_OF_MANY: Final = 8.0
"""Where transactions are lost again and again, there are many, and each looks less often."""
_LONGEST: Final = 64.0
_FRESH: Final = 2.0
"""What was known so long ago of a head that others move is most likely wrong."""
_FIRST_GUESS: Final = 0.01
"""Seconds that a transaction takes, before one was measured."""

_OTHERS: Final = "other writers took the head of the log"


class Pace:
    """What one process knows of the others at one partition's head. Only spares requests."""

    def __init__(self, partition: int, heads: Heads, context: Context) -> None:
        self._partition = partition
        self._heads = heads
        self._context = context
        self._transaction_s = _FIRST_GUESS
        self._in_a_row = 0
        self._wait = self._shortest = _SHORTEST
        self._unwanted = 0
        self._is_shared = False
        """Others have moved it since this process had."""
        self._known_s = 0.0
        """When the head was learned."""

    def head(self, attempts: Attempts) -> Op[Head]:
        """The head to write at next, when it is this process's time."""
        known = self._heads.known(self._partition)
        if known is None:
            return (yield from self._ask(attempts))
        if self._context.monotonic() - self._known_s > _YIELD * self._transaction_s:
            self._in_a_row = 0  # there was time enough for others
        if not self._is_shared:
            if self._in_a_row >= _ALONE_IN_A_ROW:
                # Those who wait only look, so this one can't know of them.
                self._in_a_row = 0
                yield from self._pause(attempts, _YIELD)
            return known
        if self._in_a_row >= _IN_A_ROW:
            self._in_a_row = 0
            yield from self._pause(attempts, _YIELD)
            found = yield from self._ask(attempts)
            if found == known:
                self._unwanted += 1
                self._is_shared = self._unwanted < _UNWANTED
                return found
            self._unwanted = 0
            self._wait = _AFTERWARDS
            return (yield from self._when_it_stands(attempts))
        if self._context.monotonic() - self._known_s <= _FRESH * self._transaction_s:
            return known
        found = yield from self._ask(attempts)
        self._is_shared = found != known
        return found

    def won(self, began_s: float) -> None:
        """A transaction that began then was carried out."""
        now = self._context.monotonic()
        self._transaction_s += 0.2 * (now - began_s - self._transaction_s)
        self._in_a_row += 1
        if self._in_a_row == 1:
            self._shortest = max(_SHORTEST, self._shortest * _SOONER)
        self._known_s = now

    def lost(self, attempts: Attempts) -> Op[None]:
        """Another's transaction was first: wait until nobody is at it."""
        self._is_shared = True
        self._in_a_row = 0
        self._unwanted = 0
        self._shortest = min(_CROWDED * self._shortest, _SHORTEST_OF_MANY)
        self._wait = max(self._shortest, min(_LATER * self._wait, _LONGEST))
        yield from self._when_it_stands(attempts)

    def _when_it_stands(self, attempts: Attempts) -> Op[Head]:
        while True:
            yield from self._pause(attempts, self._wait, "HeadTaken")
            before = yield from self._ask(attempts)
            yield from self._pause(attempts, _STILL)
            found = yield from self._ask(attempts)
            if found == before:
                return found
            self._wait = max(self._shortest, self._wait * _SOONER)

    def _ask(self, attempts: Attempts) -> Op[Head]:
        found = yield from self._heads.find(attempts, self._partition)
        self._known_s = self._context.monotonic()
        return found

    def _pause(
        self, attempts: Attempts, transactions: float, reason: str | None = None
    ) -> Op[None]:
        """Wait for about so many transactions, a random time so that waiting processes spread out. A process
        with little time left waits for less.
        """
        seconds = transactions * self._transaction_s * (0.5 + self._context.random.random())
        left = attempts.left(_OTHERS)
        yield from attempts.pause_for(min(seconds, left / 4), _OTHERS, reason)
