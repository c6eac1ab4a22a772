"""Several writers at once, in threads and in processes: one wins each version, nothing is lost."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from mainstem.blocking.store import Store
from mainstem.errors import VersionConflict
from mainstem.testing.contract.backend import Backend
from mainstem.testing.contract.base import Base, keys, new, values, whole_log
from mainstem.testing.contract.following import PATIENCE
from mainstem.testing.invariants import check_invariants
from mainstem.values.events import Append, AppendResult
from mainstem.values.expected import ANY

Answer = TypeVar("Answer")

WRITERS = 4


def at_once(works: list[Callable[[], Answer]]) -> list[Answer]:
    """Start all of them at the same moment, each in a thread; their answers."""
    barrier = threading.Barrier(len(works))

    def begin(work: Callable[[], Answer]) -> Answer:
        barrier.wait(PATIENCE)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(begin, works, timeout=PATIENCE))


def take_versions(store: Store, stream_id: str, writer: int, upto: int) -> list[int]:
    """Append at each version in turn as fast as the others let it; the versions that were won."""
    won = []
    version = 0
    while version < upto:
        try:
            store.append(stream_id, new(writer), expected=version)
            won.append(version)
            version += 1
        except VersionConflict as conflict:
            if conflict.actual <= version:
                raise
            version = conflict.actual
    return won


class RacingContract(Base):
    def test_of_writers_of_one_stream_one_wins_each_version(
        self, backend: Backend, store: Store
    ) -> None:
        stores = [store, *(backend.another(store) for _ in range(WRITERS - 1))]
        won = at_once(
            [
                partial(take_versions, own, "contended", writer, 50)
                for writer, own in enumerate(stores)
            ]
        )
        assert sorted(version for versions in won for version in versions) == list(range(50))
        by_version = dict(enumerate(values(store.read("contended"))))
        for writer, versions in enumerate(won):
            assert all(by_version[version] == writer for version in versions)
        check_invariants(store)

    def test_with_any_every_writer_gets_a_place(self, backend: Backend, store: Store) -> None:
        def write(own: Store, writer: int) -> list[AppendResult]:
            return [
                own.append("shared", new((writer, number)), expected=ANY) for number in range(25)
            ]

        results = at_once(
            [partial(write, backend.another(store), writer) for writer in range(WRITERS)]
        )
        by_id = {event.event_id: event.payload["n"] for event in store.read("shared")}
        assert len(by_id) == WRITERS * 25
        for writer, own in enumerate(results):
            ids = [result.first_event_id for result in own]
            assert ids == sorted(ids)
            assert [by_id[event_id] for event_id in ids] == [[writer, n] for n in range(25)]

    def test_a_commit_sent_many_times_at_once_is_written_once(
        self, backend: Backend, store: Store
    ) -> None:
        for version in range(0, 20, 2):
            results = at_once(
                [
                    partial(
                        backend.another(store).append,
                        "a",
                        new(version, version),
                        expected=version,
                        commit_id=f"commit-{version}",
                    )
                    for _ in range(WRITERS)
                ]
            )
            assert Counter(result.repeated for result in results) == {False: 1, True: WRITERS - 1}
            assert len({result._replace(repeated=False) for result in results}) == 1
        assert store.version("a") == 20

    def test_commits_of_several_streams_are_never_seen_in_part(
        self, backend: Backend, store: Store
    ) -> None:
        """Writers move two streams together, named in either order; readers see them level."""

        def move(own: Store, order: list[str]) -> int:
            moved = 0
            while (version := own.version("left")) < 30:
                try:
                    own.append_many([Append(side, new(version), version) for side in order])
                    moved += 1
                except VersionConflict:
                    pass
            return moved

        sides = ["left", "right"]
        moved = at_once(
            [partial(move, backend.another(store), sides[::turn]) for turn in (1, -1, 1)]
        )
        assert sum(moved) == 30
        assert values(store.read("left")) == values(store.read("right")) == list(range(30))
        commits = Counter(event.commit_id for event in whole_log(store))
        assert set(commits.values()) == {2}

    def test_streams_born_at_once_are_all_there(self, backend: Backend, store: Store) -> None:
        def give_birth(own: Store, writer: int) -> None:
            for number in range(20):
                own.append(f"born-{writer}-{number}", new(0, 1), expected=0)

        at_once([partial(give_birth, backend.another(store), writer) for writer in range(WRITERS)])
        assert len(list(store.streams(prefix="born-"))) == WRITERS * 20
        assert len(set(keys(whole_log(store)))) == WRITERS * 20 * 2
        check_invariants(store)


class ProcessContract(Base):
    """For backends whose data other processes can open by `Backend.url`."""

    def test_of_processes_that_write_one_stream_one_wins_each_version(
        self, backend: Backend, store: Store
    ) -> None:
        assert backend.url is not None, "ProcessContract needs a backend with a URL"
        script = (
            "import sys, mainstem\n"
            "from mainstem.testing.contract.racing import take_versions\n"
            "with mainstem.connect(sys.argv[1]) as store:\n"
            "    print('ready', flush=True)\n"
            "    sys.stdin.readline()\n"
            "    print(take_versions(store, 'contended', int(sys.argv[2]), 100))\n"
        )
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", script, backend.url, str(writer)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for writer in range(3)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        won = [process.communicate("go\n", PATIENCE)[0] for process in processes]
        assert [process.returncode for process in processes] == [0, 0, 0]
        versions = [int(text) for line in won for text in line.strip("[]\n").split(", ") if text]
        assert sorted(versions) == list(range(100))
        assert store.version("contended") == 100
        check_invariants(store)
