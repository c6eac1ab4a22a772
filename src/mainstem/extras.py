"""What is installed only where it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(extra: str, what: str) -> Iterator[None]:
    """Within, ``what`` imports libraries of others; where one is missing, it says how to install it.

    Raises `ModuleNotFoundError`, as without it, so that whoever tries whether it is there still can.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "mainstem":
            raise
        raise ModuleNotFoundError(
            f"{what} needs {error.name}, which is not installed: pip install 'mainstem[{extra}]'",
            name=error.name,
            path=error.path,
        ) from error
