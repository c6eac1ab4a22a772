"""What a caller is told whose work had no answer: it was not begun or not ended in time, or the caller was
interrupted.

An exception from outside (Ctrl-C, a signal handler's, a cancellation) stays what it is; what became of the
append stands in a note on it.
"""

from __future__ import annotations

from enum import Enum

from mainstem.errors import AppendOutcomeUnknown, OutcomeUnknown, StoreBusy, StoreError
from mainstem.sqlite.settings import Settings
from mainstem.text.printable import quoted


class Fate(Enum):
    """What is known of an append whose caller was interrupted."""

    NOT_WRITTEN = "not written"
    WRITTEN = "written"
    UNKNOWN = "unknown"


def tell_fate(error: BaseException, fate: Fate, stream_id: str, commit_id: str) -> None:
    """Add to the exception what became of the append: a note and, where that is unknown, the
    `AppendOutcomeUnknown` as its cause.
    """
    append = f"The append of commit {quoted(commit_id)} to stream {quoted(stream_id)}"
    if fate is Fate.NOT_WRITTEN:
        error.add_note(f"{append} was interrupted. It was not written, and never will be.")
    elif fate is Fate.WRITTEN:
        error.add_note(f"{append} was interrupted when it was already written.")
    else:
        unknown = AppendOutcomeUnknown(
            stream_id,
            commit_id,
            f"it was interrupted by {type(error).__name__} while it was written",
        )
        error.add_note(str(unknown))
        error.__cause__ = unknown


def not_begun(settings: Settings) -> StoreBusy:
    """Of a work that was not begun before its deadline, and never will be."""
    return StoreBusy(
        f"Others kept {settings.place} for all of {settings.timeout:g} seconds. Nothing was written; "
        "try again, or give a longer timeout in the URL (?timeout=60)."
    )


def no_answer(settings: Settings) -> OutcomeUnknown:
    """Of a work that was begun, and had no answer in time."""
    return OutcomeUnknown(
        f"the last change of {settings.place}",
        f"its commit had no answer within {settings.timeout:g} seconds",
    )


def left_to_the_parent(settings: Settings) -> StoreError:
    """Of a work that a forked child has from its parent."""
    return StoreError(
        f"This process was forked while {settings.place} was being written by its parent, which does it. "
        "This process has not written it; look at the stream before you append it here."
    )
