"""Optional dependencies: a message that says how to install what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(extra: str, what: str) -> Iterator[None]:
    """Within, ``what`` imports optional libraries. If one is missing, the error says how to install it.

    It is still a `ModuleNotFoundError`, so that callers can test whether the library is there.
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
