"""Forks: the embedded store works in a child, or says at once that it can't; nothing is lost or doubled."""

from __future__ import annotations

import sys
from pathlib import Path

from sqlite_help import run_script, url_of

FORK = """
import os, sys, mainstem
from mainstem import ANY, NewEvent
store = mainstem.connect(sys.argv[1])
store.append("a", [NewEvent("X", "parent")], expected=0)
list(store.read_all())
def in_child(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(type(error).__name__, error, flush=True)
            os._exit(1)
    return os.waitpid(pid, 0)[1]
"""


def test_a_forked_child_opens_connections_of_its_own(tmp_path: Path) -> None:
    script = """
def work():
    assert [e.payload for e in store.read_all()] == ["parent"]
    store.append("a", [NewEvent("X", "child")], expected=1)
    assert len(list(store.subscribe("s", live=False))) == 2
    store.close()
print(in_child(work))
store.append("a", [NewEvent("X", "parent again")], expected=2)
print([event.payload for event in store.read_all()])
store.close()
"""
    out = run_script(FORK + script, url_of(tmp_path / "shop.db"))
    assert out == "0\n['parent', 'child', 'parent again']\n"


def test_children_and_parent_may_all_write_at_once(tmp_path: Path) -> None:
    script = """
def work():
    for number in range(30):
        store.append("a", [NewEvent("X", number)], expected=ANY)
pids = []
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    pids.append(pid)
work()
print([os.waitpid(pid, 0)[1] for pid in pids], store.version("a"))
from mainstem.testing.invariants import check_invariants
check_invariants(store)
store.close()
"""
    assert run_script(FORK + script, url_of(tmp_path / "shop.db")) == "[0, 0, 0] 121\n"


def test_a_child_that_only_closes_leaves_its_parent_alone(tmp_path: Path) -> None:
    script = """
print(in_child(store.close))
store.append("a", [NewEvent("X", 2)], expected=1)
print(len(list(store.read_all())))
store.close()
"""
    assert run_script(FORK + script, url_of(tmp_path / "shop.db")) == "0\n2\n"


def test_a_store_in_memory_is_not_there_in_a_forked_child() -> None:
    script = """
print(in_child(lambda: store.append("a", [NewEvent("X", 2)], expected=1)))
print(in_child(lambda: store.read("a")))
print(len(store.read("a")))
store.close()
"""
    lines = run_script(FORK + script, "sqlite://:memory:").splitlines()
    assert [line.split()[0] for line in lines] == ["StoreError", "256", "StoreError", "256", "1"]
    assert "Use a file" in lines[0]


def test_a_child_goes_on_with_the_log_that_its_parent_has_closed(tmp_path: Path) -> None:
    """Or what the child acknowledges would be written to a log that the parent deleted, and be lost."""
    script = """
ready, go = os.pipe(), os.pipe()
pid = os.fork()
if pid == 0:
    store.append("a", [NewEvent("X", 1)], expected=1)
    os.write(ready[1], b"x")
    os.read(go[0], 1)
    for number in range(5):
        version = store.append("a", [NewEvent("X", number)], expected=ANY).version
    os._exit(version)
os.read(ready[0], 1)
store.close()
os.write(go[1], b"x")
acknowledged = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
with mainstem.connect(sys.argv[1]) as store:
    print(acknowledged, store.version("a"))
"""
    assert run_script(FORK + script, url_of(tmp_path / "shop.db")) == "7 7\n"


def test_forks_beside_threads_that_append_lose_and_double_nothing(tmp_path: Path) -> None:
    """A child writes nothing of what its parent's threads were waiting with, and never hangs."""
    script = """
import faulthandler, threading
from collections import Counter
faulthandler.dump_traceback_later(50, exit=True)
enough = threading.Event()
appended = []
def work(name):
    number = 0
    while not enough.is_set():
        events = [NewEvent("X", f"{name}-{number}")] * (1 + number % 2)
        store.append(f"s-{number % 3}", events, expected=ANY)
        list(store.read_all(max_count=10))
        appended.append((f"{name}-{number}", len(events)))
        number += 1
threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
for thread in threads:
    thread.start()
for child in range(15):
    def work_of_child():
        store.append("a", [NewEvent("X", f"child-{child}")], expected=ANY)
        store.append("a", [NewEvent("X", f"child-{child}-2")] * 2, expected=ANY)
    assert in_child(work_of_child) == 0
    appended += [(f"child-{child}", 1), (f"child-{child}-2", 2)]
enough.set()
for thread in threads:
    thread.join()
found = Counter(event.payload for event in store.read_all())
assert found == dict(appended) | {"parent": 1}
from mainstem.testing.invariants import check_invariants
check_invariants(store)
store.close()
print("done")
"""
    url = url_of(tmp_path / "shop.db", synchronous="NORMAL", timeout=20)
    assert run_script(FORK + script, url) == "done\n"


def test_processes_of_multiprocessing_share_a_store_that_was_opened_before(tmp_path: Path) -> None:
    script = """
import multiprocessing
def work(number):
    return store.append("a", [NewEvent("X", number)], expected=ANY).first_position
with multiprocessing.get_context("fork").Pool(3) as pool:
    positions = pool.map(work, range(30), chunksize=1)
print(sorted(positions) == list(range(1, 31)), store.version("a"))
"""
    assert run_script(FORK + script, url_of(tmp_path / "shop.db")) == "True 31\n"


ASYNC = """
import asyncio, os, sys, mainstem
from mainstem import ANY, NewEvent
store = mainstem.connect_async(sys.argv[1])
async def work():
    async with asyncio.timeout(20):
        await asyncio.gather(*(
            store.append("a", [NewEvent("X", 1)] * size, expected=ANY) for size in (1, 2, 1)
        ))
        return len([event async for event in store.read_all()])
print(asyncio.run(work()), flush=True)
pid = os.fork()
if pid == 0:
    try:
        print(asyncio.run(work()), flush=True)
        asyncio.run(store.close())
    except BaseException as error:
        print(type(error).__name__, error, flush=True)
    os._exit(0)
os.waitpid(pid, 0)
print(asyncio.run(work()))
asyncio.run(store.close())
"""


def test_an_asynchronous_store_works_in_a_child_too(tmp_path: Path) -> None:
    assert run_script(ASYNC, url_of(tmp_path / "shop.db")) == "4\n8\n12\n"


def test_an_asynchronous_store_in_memory_says_at_once_that_a_child_has_none() -> None:
    lines = run_script(ASYNC, "sqlite://:memory:").splitlines()
    assert [lines[0], lines[2]] == ["4", "8"]
    assert lines[1].startswith("StoreError A store in memory lives in the process that made it")


def test_a_child_of_a_process_that_reads_for_long_says_at_once_that_it_has_no_store(
    tmp_path: Path,
) -> None:
    """SQLite would believe in it that locks are held which its parent has."""
    script = """
import threading
from mainstem.sqlite import forks
forks._PATIENCE = 0.05
reading, go = threading.Event(), threading.Event()
def slow(connection):
    connection.execute("SELECT 1").fetchone()
    reading.set()
    assert go.wait(30)
thread = threading.Thread(target=lambda: store._driver._engine.read(slow))
thread.start()
reading.wait()
def both():
    for work in (
        lambda: store.append("a", [NewEvent("X", 2)], expected=1),
        lambda: store.read("a"),
        lambda: mainstem.connect(sys.argv[1]),
    ):
        try:
            work()
        except mainstem.StoreError as error:
            print("refused", "Fork when the store is idle" in str(error), flush=True)
    store.close()
print(in_child(both))
go.set()
thread.join()
store.append("a", [NewEvent("X", 2)], expected=1)
store.close()
"""
    out = run_script(FORK + script, url_of(tmp_path / "shop.db"))
    assert out == "refused True\n" * 3 + "0\n"


def test_a_signal_handler_that_forks_leaves_the_append_under_way_to_the_parent(
    tmp_path: Path,
) -> None:
    """The child is told so; one that was not yet asked for is the child's own, too."""
    script = """
import signal
children, is_child = [], []
def handler(*_):
    pid = os.fork()
    (children if pid else is_child).append(pid)
signal.signal(signal.SIGALRM, handler)
number = 0
while len(children) < 20:
    if is_child:
        os._exit(0)
    signal.setitimer(signal.ITIMER_REAL, 0.0002 + number % 7 * 0.0003)
    number += 1
    name = f"{os.getpid()}-{number}"
    try:
        store.append("a", [NewEvent("X", name)] * 2, expected=ANY)
    except mainstem.StoreError as error:
        assert is_child and "forked while" in str(error), error
    if is_child:
        os._exit(0)
signal.setitimer(signal.ITIMER_REAL, 0)
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
from collections import Counter
from mainstem.testing.invariants import check_invariants
check_invariants(store)
found = Counter(event.payload for event in store.read("a"))
del found["parent"]
assert set(found.values()) <= {2, 4}, found
assert all(found[f"{os.getpid()}-{n}"] for n in range(1, number + 1))
print(set(codes))
store.close()
"""
    url = url_of(tmp_path / "shop.db", synchronous="NORMAL", timeout=5)
    assert run_script(FORK + script, url) == "{0}\n"


# The end of a process

UNCLOSED = """
import sys, threading, mainstem
from mainstem import NewEvent
store = mainstem.connect(sys.argv[1])
store.append("a", [NewEvent("X", 1)] * 2, expected=0)
len(store.read("a"))
"""


def test_a_process_that_ends_without_closing_leaves_one_whole_file(tmp_path: Path) -> None:
    run_script(UNCLOSED, url_of(tmp_path / "shop.db"))
    assert [file.name for file in tmp_path.iterdir()] == ["shop.db"]


def test_what_is_appended_at_the_end_of_a_process_is_there(tmp_path: Path) -> None:
    """By a handler that runs after ours, too; and what comes too late is told so at once."""
    script = """
import atexit
class Late:
    def __del__(self):
        try:
            store.append("a", [NewEvent("X", 4)] * 2, expected=4)
        except mainstem.StoreError as error:
            assert "shutting down" in str(error)
            print("too late", flush=True)
late = Late()
late.kept = late
store.late = late
atexit._clear()
def last():
    try:
        store.append("a", [NewEvent("X", 3)] * 2, expected=2)
    except mainstem.StoreError as error:
        assert "interpreter shutdown" in str(error) and "Nothing was written" in str(error)
        print("refused", flush=True)
atexit.register(last)
atexit.register(mainstem.sqlite.forks._at_exit)
"""
    out = run_script(
        "import mainstem.sqlite.forks\n" + UNCLOSED + script, url_of(tmp_path / "a.db")
    )
    # Python 3.12.0 and 3.12.1 start no thread in such a handler, which is told so.
    refused = "refused\n" if sys.version_info[:2] == (3, 12) and out.startswith("refused") else ""
    assert out in (f"{refused}too late\n", refused)
    reopened = "import sys, mainstem; print(mainstem.connect(sys.argv[1]).version('a'))"
    assert run_script(reopened, url_of(tmp_path / "a.db")) == ("2\n" if refused else "4\n")
