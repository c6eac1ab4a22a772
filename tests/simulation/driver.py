"""Many processes, their operations interleaved, and everything that can happen to a request."""

from __future__ import annotations

import heapq
import itertools
import random
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from mainstem.dynamodb.client import faults
from mainstem.dynamodb.client.requests import Acquire, Aside, Compute, Transact
from mainstem.errors import StoreDenied
from mainstem.port import Op, Sleep
from simulation.database import Database

START_US = 1_700_000_000_000_000
"""Where the simulated clocks begin, in microseconds since 1970."""


@dataclass(frozen=True)
class Weather:
    """How often things go wrong, each a probability for a request."""

    throttled: float = 0.0
    lost_before: float = 0.0
    """Never arrives; its sender hears nothing."""
    lost_after: float = 0.0
    """Carried out; its sender hears nothing."""
    late: float = 0.0
    """Carried out after its sender has given it up."""
    cancelled: float = 0.0
    """The task that waits for it is cancelled."""
    crashes: float = 0.0
    """Its process dies."""
    denied: float = 0.0
    """Refused for want of a permission."""
    broken: float = 0.0
    """Carried out or not, its sender meets a `Broken`."""


CALM = Weather()


class Broken(Exception):
    """A mistake in the code that carries requests out: no error that anybody reckons with."""


class Lock:
    """A lock within one simulated process."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._held = False
        self._waiting: deque[Task] = deque()

    def take(self, task: Task) -> bool:
        """Whether the task has it now; otherwise it waits in the queue."""
        if not self._held:
            self._held = True
            return True
        self._waiting.append(task)
        return False

    def give_up(self, task: Task) -> None:
        """It waits no longer."""
        with suppress(ValueError):
            self._waiting.remove(task)

    def release(self) -> None:
        if not self._held:
            raise RuntimeError("released, but not held")
        while self._waiting:
            task = self._waiting.popleft()
            if task.is_running:
                self._simulation.resume(task, None)
                return
        self._held = False


class Process:
    """Lives until it crashes."""

    def __init__(
        self,
        number: int,
        crashed: Callable[[], None] | None = None,
        *,
        meets_errors: bool = False,
    ) -> None:
        """``crashed`` is called when it dies. ``meets_errors``: not only faults, which pass."""
        self.number = number
        self.meets_errors = meets_errors
        self.crashed = crashed
        self.is_alive = True


class Task:
    """One operation of a process, and who is told how it ended."""

    def __init__(
        self,
        process: Process,
        operation: Op[Any],
        done: Callable[[Any, BaseException | None], None],
    ) -> None:
        self.process = process
        self.operation = operation
        self.done = done
        self.is_running = True
        self.turn = 0
        """Counts its requests, so that a reply that was given up is not taken for another's."""


class Simulation:
    """The clock, the network and the processes on one database."""

    def __init__(self, seed: int, database: Database, weather: Weather, most_requests: int) -> None:
        self.random = random.Random(seed)
        self.database = database
        self.weather = weather
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._tasks: list[Task] = []
        self._most_requests = most_requests
        self.requests = 0
        self.trace: Callable[[str], None] | None = None

    @property
    def now(self) -> float:
        return self.database.now

    def clock_us(self) -> int:
        return START_US + int(self.now * 1e6)

    def new_lock(self) -> Lock:
        return Lock(self)

    def run(self) -> None:
        """Until nothing is left to happen, and every task has ended or died."""
        while self._events:
            at, _, event = heapq.heappop(self._events)
            self.database.now = max(self.now, at)
            event()
        stuck = [task for task in self._tasks if task.is_running and task.process.is_alive]
        assert not stuck, f"{len(stuck)} tasks wait for ever"
        self._tasks.clear()

    def run_until(self, second: float) -> None:
        """Everything that happens until then; what is under way stays so."""
        while self._events and self._events[0][0] <= second:
            at, _, event = heapq.heappop(self._events)
            self.database.now = max(self.now, at)
            event()
        self.database.now = max(self.now, second)

    def at(self, delay: float, event: Callable[[], None]) -> None:
        """Have something happen after so many seconds."""
        heapq.heappush(self._events, (self.database.now + delay, next(self._order), event))

    def start(
        self,
        process: Process,
        operation: Op[Any],
        done: Callable[[Any, BaseException | None], None],
    ) -> Task:
        task = Task(process, operation, done)
        self._tasks.append(task)
        self.resume(task, None)
        return task

    def resume(self, task: Task, answer: Any) -> None:
        turn = task.turn
        self.at(0.0, lambda: self._advance(task, turn, answer, None))

    def crash(self, process: Process) -> None:
        """Nothing that it had under way goes on, except requests that have left it."""
        if process.is_alive:
            process.is_alive = False
            if process.crashed is not None:
                process.crashed()

    def _advance(self, task: Task, turn: int, answer: Any, error: BaseException | None) -> None:
        if turn != task.turn or not task.is_running or not task.process.is_alive:
            return
        task.turn += 1
        try:
            step = task.operation
            request = step.send(answer) if error is None else step.throw(error)
        except StopIteration as stop:
            self._ended(task, stop.value, None)
        except (Exception, CancelledError) as raised:
            self._ended(task, None, raised)
        else:
            self._carry_out(task, request)

    def _ended(self, task: Task, result: Any, error: BaseException | None) -> None:
        task.is_running = False
        task.done(result, error)

    def _carry_out(self, task: Task, request: Any) -> None:
        if isinstance(request, Sleep):
            turn = task.turn
            self.at(request.seconds, lambda: self._advance(task, turn, None, None))
        elif isinstance(request, Acquire):
            if request.lock.take(task):
                self.resume(task, None)
            elif request.seconds is not None:
                self._give_up_after(task, request)
        elif isinstance(request, Compute):
            self.resume(task, request.work())
        elif isinstance(request, Aside):
            self.start(task.process, request.operation, _ended_aside)
            self.resume(task, None)
        else:
            self._send(task, request)

    def _give_up_after(self, task: Task, request: Acquire) -> None:
        turn = task.turn

        def give_up() -> None:
            if turn == task.turn:
                request.lock.give_up(task)
                self._advance(task, turn, None, None)

        assert request.seconds is not None
        self.at(request.seconds, give_up)

    def _send(self, task: Task, request: Any) -> None:
        """Decide what becomes of a request."""
        self.requests += 1
        assert self.requests < self._most_requests, "it goes on and on"
        weather, luck = self.weather, self.random.random
        there, back = 0.001 + 0.004 * luck(), 0.001 + 0.004 * luck()
        if luck() < weather.crashes:
            self.at(there * 2 * luck(), lambda: self.crash(task.process))
        if luck() < weather.cancelled:
            self._fail_after(task, there * 2 * luck(), CancelledError())
        if task.process.meets_errors and (error := self._error()) is not None:
            if isinstance(error, Broken) and luck() < 0.5:
                self.at(there, lambda: self._execute(task, None, request, back))
            self._fail_after(task, there + back, error)
            return
        fate = luck()
        if fate < weather.throttled:
            self._fail_after(task, there + back, faults.Throttled("too much"))
        elif (fate := fate - weather.throttled) < weather.lost_before:
            self._fail_after(task, 0.2, faults.NoReply("no reply"))
        elif (fate := fate - weather.lost_before) < weather.lost_after:
            self.at(there, lambda: self._execute(task, None, request, back))
            self._fail_after(task, 0.2, faults.NoReply("no reply"))
        elif fate - weather.lost_after < weather.late:
            self.at(0.2 + 0.5 * luck(), lambda: self._execute(task, None, request, back))
            self._fail_after(task, 0.2, faults.NoReply("no reply"))
        else:
            turn = task.turn
            self.at(there, lambda: self._execute(task, turn, request, back))

    def _error(self) -> Exception | None:
        fate = self.random.random()
        if fate < self.weather.denied:
            return StoreDenied("denied, for the moment")
        return Broken("in the middle") if fate - self.weather.denied < self.weather.broken else None

    def _execute(self, task: Task, turn: int | None, request: Any, back: float) -> None:
        """At the database; ``turn`` None: nobody hears of it."""
        answered = self.now + back * (self.random.random() if isinstance(request, Transact) else 0)
        answer, error = None, None
        try:
            answer = self.database.execute(request, answered)
        except Exception as raised:
            error = raised
        if self.trace is not None:
            told = error if error is not None else answer
            self.trace(f"{self.now:9.4f} p{task.process.number} {request} -> {told!r}")
        if turn is not None:
            self.at(back, lambda: self._advance(task, turn, answer, error))

    def _fail_after(self, task: Task, delay: float, error: BaseException) -> None:
        turn = task.turn
        self.at(delay, lambda: self._advance(task, turn, None, error))


def _ended_aside(result: Any, error: BaseException | None) -> None:
    """Nobody waits for it: it has dealt with every error that may pass."""
    if isinstance(error, Exception) and not isinstance(error, Broken):
        raise error
