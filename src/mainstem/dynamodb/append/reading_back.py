"""What became of a commit of which a try had no answer: read from the tables, when no time is left to try.

An append keeps a part of its timeout for this, so that it can mostly say what happened.
"""

from __future__ import annotations

from typing import Final

from mainstem.dynamodb.append.repeats import Repeats, is_first_of
from mainstem.dynamodb.append.stream_versions import StreamVersions
from mainstem.dynamodb.append.tries import Commit
from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.streams.stream_end import Streams
from mainstem.errors import AppendOutcomeUnknown, StoreBusy, VersionConflict
from mainstem.port import Op, StreamWrite
from mainstem.values.events import AppendResult
from mainstem.values.positions import Version

_READ_BACK_SECONDS: Final = 5.0
_READ_BACK_SHARE: Final = 0.25
"""Of an append's timeout, at most so long and such a part are kept for finding out what became of it."""
_READ_BACK_LEAST: Final = 0.01
"""Seconds. One look is worth a little lateness."""


class ReadingBack:
    """Looks for a commit where it was to be written."""

    def __init__(
        self, streams: Streams, repeats: Repeats, versions: StreamVersions, context: Context
    ) -> None:
        self._streams = streams
        self._repeats = repeats
        self._versions = versions
        self._context = context

    def seconds(self) -> float:
        """So many seconds of an append's timeout are kept for it."""
        return min(_READ_BACK_SECONDS, _READ_BACK_SHARE * self._context.timeout)

    def find(self, commit: Commit, problem: Exception, ends: float) -> Op[list[AppendResult]]:
        """The results, if the commit was written. ``problem`` is what the tries failed by, and ``ends`` when
        the append's time is up.

        Raises `VersionConflict` or the problem where it was not written and never will be, and
        `AppendOutcomeUnknown` where that can't be told.
        """
        left = max(ends - self._context.monotonic(), _READ_BACK_LEAST)
        attempts = Attempts(self._context, min(_READ_BACK_SECONDS, left))
        results: list[AppendResult] = []
        taken: StreamWrite | None = None
        try:
            for write, version in zip(commit.writes, commit.versions, strict=True):
                placed = yield from self._streams.at(attempts, write.stream_id, version)
                if placed is None:
                    raise commit.unknown(problem) from problem
                if not is_first_of(placed, commit.commit_id):
                    taken = write
                    break
                result = yield from self._repeats.result(attempts, write.stream_id, placed)
                results.append(result._replace(repeated=False))
            if taken is not None and isinstance(taken.expected, int):
                actual, _ = yield from self._versions.look_up(attempts, taken.stream_id)
                raise VersionConflict(taken.stream_id, taken.expected, Version(actual))
        except (VersionConflict, AppendOutcomeUnknown):
            raise
        except Exception as error:
            raise commit.unknown(problem) from error
        if taken is None:
            return results
        # Its place is taken, so what was sent can't be carried out any more.
        if isinstance(problem, StoreBusy):
            raise StoreBusy(
                f"Other writers to stream {taken.stream_id!r} were faster at every try. Nothing was "
                "written. Trying again is safe."
            ) from problem
        raise problem
