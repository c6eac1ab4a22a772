"""One commit, and what is known of the tries to write it. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from mainstem.dynamodb.append.pending import InAir
from mainstem.errors import AppendOutcomeUnknown
from mainstem.port import StreamWrite
from mainstem.text.printable import quoted
from mainstem.values.events import AppendResult


class Commit:
    """What an append is asked to write, and what became of it so far."""

    def __init__(self, writes: Sequence[StreamWrite], commit_id: str, *, may_repeat: bool) -> None:
        self.writes = writes
        self.commit_id = commit_id
        self.may_repeat = may_repeat
        self.in_air = InAir()
        self.versions: Sequence[int] = ()
        """Those of the last try. What was tried at lower ones has met another's events there."""
        self.written = False

    @property
    def may_be_there(self) -> bool:
        """Whether an earlier try may be found, of this call or of one before."""
        return self.may_repeat or bool(self.in_air)

    def repeated(self, results: Sequence[AppendResult]) -> list[AppendResult]:
        """What was found; a repeat unless it may be of this very call."""
        repeated = self.may_repeat and not self.in_air.lost
        return [result._replace(repeated=repeated) for result in results]

    def unknown(self, problem: Exception) -> AppendOutcomeUnknown:
        return AppendOutcomeUnknown(self.writes[0].stream_id, self.commit_id, str(problem))

    def tell(self, error: BaseException) -> None:
        """Have what breaks the call off say what is known of the commit: it has no other way."""
        if isinstance(error, Exception):
            return
        which = f"Commit {quoted(self.commit_id)} to stream {self.writes[0].stream_id!r}"
        if self.written:
            error.add_note(f"{which} was written.")
        elif self.in_air:
            error.add_note(
                f"It is not known whether it was written: {which}. Append it again with the same "
                "commit_id and expected version: it is written once."
            )
