"""What an append's caller is told with an exception that came from outside: Ctrl-C, a signal handler's, a
cancellation. The exception stays what it is; what became of the append stands in a note on it.
"""

from __future__ import annotations

from enum import Enum

from mainstem.errors import AppendOutcomeUnknown
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
