"""Sequencing what the dead letters hold."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mainstem.aws.account import Account
from mainstem.aws.dead_letters import DeadLetter, DeadLetters
from mainstem.aws.records import received
from mainstem.aws.refusals import in_words
from mainstem.aws.sequencing import Sequencing
from mainstem.dynamodb.open import Tables
from mainstem.errors import DeploymentFailed, InvalidInput

_log = logging.getLogger("mainstem")


class Redriven(NamedTuple):
    """What became of the dead letters."""

    letters: int
    """Objects that were looked at."""
    removed: int
    """Objects whose events are all in the log, and that are gone."""
    records: int
    """Records in them."""
    left: Sequence[str]
    """The keys of the objects that are left, since something in them can't be sequenced."""


def redrive(
    tables: Tables, letters: DeadLetters, tell: Callable[[DeadLetter, bool], None] = lambda *_: None
) -> Redriven:
    """Sequence all that the dead letters hold, and remove each object when that is done.

    Events that are in the log already are passed over, so to repeat it is safe, also while the function
    runs. An object with a record that still can't be sequenced stays, its other records are sequenced.
    """
    with in_words(f"redrive what the bucket {letters.bucket} has"):
        return _redrive(tables, letters, tell)


def _redrive(
    tables: Tables, letters: DeadLetters, tell: Callable[[DeadLetter, bool], None]
) -> Redriven:
    seen = records = 0
    left: list[str] = []
    for letter in letters:
        seen += 1
        records += len(letter.records or ())
        done = letter.records is not None and _sequence(tables, letter.records)
        if done:
            letters.remove(letter.key)
        else:
            left.append(letter.key)
        tell(letter, done)
    return Redriven(seen, seen - len(left), records, left)


def bucket_of(account: Account) -> str:
    """The bucket of a store's stack. Raises `DeploymentFailed` where there is none, or another store's."""
    stack = account.described_stack()
    for output in () if stack is None else stack.get("Outputs", ()):
        if output["OutputKey"] == "DeadLettersBucket":
            return str(output["OutputValue"])
    raise DeploymentFailed(
        f"There is no stack {account.stack} with a bucket for dead letters. Give it with --bucket."
    )


def _sequence(tables: Tables, records: Sequence[Any]) -> bool:
    """Whether all of it is in the log."""
    numbered = [each for each in received({"Records": records}) if each.sequence_number is not None]
    try:
        answer = Sequencing(tables).handle({"Records": [each.raw for each in numbered]}, None)
    except InvalidInput as error:  # records of another store, which another one's log must not get
        _log.warning("A dead letter is left: %s", error)
        return False
    return not answer["batchItemFailures"] and len(numbered) == len(records)
