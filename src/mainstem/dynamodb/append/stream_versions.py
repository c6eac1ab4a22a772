"""At which versions a commit is to be written, and whether its streams are as expected."""

from __future__ import annotations

from collections.abc import Sequence

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.trust import Moment
from mainstem.dynamodb.streams.stream_end import Streams
from mainstem.dynamodb.streams.versions import Known, KnownVersions
from mainstem.errors import VersionConflict
from mainstem.port import Op, StreamWrite
from mainstem.values.expected import EXISTS, is_as_expected
from mainstem.values.positions import Version


class StreamVersions:
    """The versions of streams: as this process knows them, or looked up."""

    def __init__(self, streams: Streams, versions: KnownVersions) -> None:
        self._streams = streams
        self._versions = versions

    def to_write_at(
        self, attempts: Attempts, writes: Sequence[StreamWrite], relies_on: list[Moment]
    ) -> Op[tuple[list[int], VersionConflict | None]]:
        """The version of each stream to write at, or what to raise where one is not as expected.

        To ``relies_on`` is added when those were asked that have events below.
        """
        versions: list[int] = []
        for stream_id, _, expected in writes:
            if expected == 0:
                versions.append(0)  # nothing is below
                continue
            known = self._versions.get(stream_id)
            if known is None or (isinstance(expected, int) and known.version < expected):
                known = yield from self.look_up(attempts, stream_id)
                if isinstance(expected, int) and known.version != expected:
                    return versions, VersionConflict(stream_id, expected, Version(known.version))
            if known.version == 0 and expected is EXISTS:
                return versions, VersionConflict(stream_id, expected, Version(0))
            versions.append(expected if isinstance(expected, int) else known.version)
            relies_on.append(known.asked)
        return versions, None

    def of_all(
        self, attempts: Attempts, writes: Sequence[StreamWrite]
    ) -> Op[tuple[dict[str, int], VersionConflict | None]]:
        """The versions of all streams, and what to raise for the first that is not as expected."""
        versions: dict[str, int] = {}
        conflict: VersionConflict | None = None
        for stream_id, _, expected in writes:
            version, _ = yield from self.look_up(attempts, stream_id)
            versions[stream_id] = version
            if conflict is None and not is_as_expected(expected, version):
                conflict = VersionConflict(stream_id, expected, Version(version))
        return versions, conflict

    def look_up(self, attempts: Attempts, stream_id: str) -> Op[Known]:
        """The version that a stream has now."""
        lowest = self._versions.lowest(stream_id)
        found = yield from self._streams.settled_version(attempts, stream_id)
        self._versions.see(stream_id, found.version, found.asked, lowest)
        return found
