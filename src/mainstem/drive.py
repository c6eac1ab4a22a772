"""Carrying out operations: each loop stands here once.

An operation yields requests. A driver carries them out and sends the answers; what a request
raises is thrown in, and the operation may go on after that. Whatever ends the driving itself (Ctrl-C, a
cancellation) is thrown in as well, so that the operation lets go of what it holds and can say what became
of it; then it is over. An operation is closed in any case.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from mainstem.port import Op, Result

__all__ = ["BrokenOff", "forward", "in_thread", "on_loop"]


def in_thread(operation: Op[Result], carry_out: Callable[[Any], Any]) -> Result:
    """Drive it to its end in this thread, and answer its result. Raises what it raises."""
    try:
        request = next(operation)
        while True:
            try:
                answer = carry_out(request)
            except Exception as error:
                request = operation.throw(error)
            except BaseException as error:
                operation.throw(error)
                raise
            else:
                request = operation.send(answer)
    except StopIteration as stop:
        result: Result = stop.value
        return result
    finally:
        operation.close()


async def on_loop(operation: Op[Result], carry_out: Callable[[Any], Awaitable[Any]]) -> Result:
    """As `in_thread`, on the running event loop."""
    try:
        request = next(operation)
        while True:
            try:
                answer = await carry_out(request)
            except Exception as error:
                request = operation.throw(error)
            except BaseException as error:
                operation.throw(error)
                raise
            else:
                request = operation.send(answer)
    except StopIteration as stop:
        result: Result = stop.value
        return result
    finally:
        operation.close()


class BrokenOff(Exception):
    """Raised by what `forward` asks with, to end the operation before its next request."""


def forward(operation: Op[Result], ask: Callable[[Any], Op[Any]]) -> Op[Result]:
    """The operation, each of its requests asked by ``ask``. That is an operation itself: it may check, wait
    or count, yields the request, and returns its answer. By raising a `BrokenOff` it ends everything.
    """
    try:
        request = next(operation)
        while True:
            try:
                answer = yield from ask(request)
            except (BrokenOff, GeneratorExit):
                raise
            except Exception as error:
                request = operation.throw(error)
            except BaseException as error:
                operation.throw(error)
                raise
            else:
                request = operation.send(answer)
    except StopIteration as stop:
        result: Result = stop.value
        return result
    finally:
        operation.close()
