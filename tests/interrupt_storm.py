"""Several threads append while each is interrupted at random moments; prints what went wrong.

``python interrupt_storm.py URL SEED INTERRUPTS``. The main thread is interrupted by a signal, as by Ctrl-C;
the others by an exception that is thrown into them.
"""

from __future__ import annotations

import ctypes
import faulthandler
import random
import signal
import sys
import threading
from collections import Counter

import mainstem
from mainstem import ANY, AppendOutcomeUnknown, NewEvent, Store, VersionConflict
from mainstem.testing.invariants import check_invariants
from mainstem.values.expected import Expected

PATIENCE = 100
WRITERS = 4


class Interrupted(BaseException):
    """Somebody's own exception, not an error."""


class Writer:
    """Appends events that are told apart, and notes what it was told of each."""

    def __init__(self, store: Store, name: str, seed: int) -> None:
        self.store = store
        self.name = name
        self.random = random.Random(f"{seed} {name}")
        self.told: dict[str, set[int]] = {}
        """How often each event may be there."""
        self.errors: list[str] = []
        self.interrupts = 0

    def append(self, number: int) -> None:
        """Append one commit, and note what is told of it."""
        key = f"{self.name}/{number}"
        self.told[key] = {0, 1}
        stream = self.random.choice([f"shared-{number % 3}", self.name])
        size = self.random.choice([1, 1, 2])
        events = [NewEvent("Tried", [key, size])] * size
        # Without an id of its own a second writing could not be taken for a repeat.
        commit_id = self.random.choice([key, None])
        try:
            version = self.store.version(stream)
            expected: Expected = ANY if self.random.random() < 0.5 else version
            self.store.append(stream, events, expected=expected, commit_id=commit_id)
            self.told[key] = {1}
        except VersionConflict:
            self.told[key] = {0}
        except (Interrupted, KeyboardInterrupt) as error:
            self.interrupts += 1
            self.told[key] = told(error, commit_id)

    def run(self, enough: threading.Event) -> None:
        number = 0
        while not enough.is_set():
            number += 1
            try:
                self.append(number)
            except (Interrupted, KeyboardInterrupt):
                self.interrupts += 1
            except BaseException as error:
                self.errors.append(repr(error))
                return


def told(error: BaseException, commit_id: str | None) -> set[int]:
    """How often the event may be there, by what the exception says."""
    notes = " ".join(getattr(error, "__notes__", []))
    if isinstance(error.__cause__, AppendOutcomeUnknown):
        assert commit_id in (None, error.__cause__.commit_id)
        return {0, 1}
    if "never will be" in notes:
        return {0}
    return {1} if "already written" in notes else {0, 1}


def main(url: str, seed: int, interrupts: int) -> None:
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    store = mainstem.connect(url)
    enough = threading.Event()
    writers = [Writer(store, f"w{number}", seed) for number in range(WRITERS)]
    threads = [threading.Thread(target=each.run, args=(enough,)) for each in writers[1:]]
    moments = random.Random(seed)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def torment() -> None:
        tick = threading.Event()
        while sum(each.interrupts for each in writers) < interrupts:
            for thread in threads:
                tick.wait(moments.uniform(0.0, 0.002))
                if moments.random() < 0.5:
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(thread.ident or 0), ctypes.py_object(Interrupted)
                )
        enough.set()

    tormentor = threading.Thread(target=torment)
    signal.signal(signal.SIGUSR1, interrupt)
    for thread in [*threads, tormentor]:
        thread.start()
    while tormentor.is_alive():
        try:
            writers[0].run(enough)
            tormentor.join()
        except KeyboardInterrupt:
            continue
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    for thread in threads:
        thread.join()
    check(store, writers)


def check(store: Store, writers: list[Writer]) -> None:
    for writer in writers:
        assert not writer.errors, writer.errors
    found: Counter[str] = Counter()
    for event in store.read_all():
        key, size = event.payload
        found[key] += 1 if size == 1 else 0.5  # type: ignore[assignment]
    allowed = {key: times for writer in writers for key, times in writer.told.items()}
    assert set(found) <= set(allowed)
    wrong = {key: (times, found[key]) for key, times in allowed.items() if found[key] not in times}
    assert not wrong, wrong
    check_invariants(store)
    store.append("last", [NewEvent("Tried", "last")], expected=0)
    store.close()
    interrupts = sum(each.interrupts for each in writers)
    print(f"{interrupts} interrupts, {len(allowed)} appends, {len(found)} written")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
