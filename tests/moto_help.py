"""moto, for as long as a test wants it.

Its import puts a hook into every client that botocore makes from then on. Other tests shall not see it.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

import botocore.handlers
import pytest


@contextlib.contextmanager
def imported_moto() -> Iterator[Any]:
    """moto, whose hook is in the clients that are made meanwhile."""
    handlers = botocore.handlers.BUILTIN_HANDLERS
    try:
        moto: Any = importlib.import_module("moto")
        models: Any = importlib.import_module("moto.core.models")
        hook = ("before-send", models.botocore_stubber)
        if hook not in handlers:
            handlers.append(hook)
        yield moto
    finally:
        handlers[:] = [each for each in handlers if _package(each[1]) != "moto"]


@contextlib.contextmanager
def mocked_aws() -> Iterator[None]:
    """An empty account, in this process."""
    with pytest.MonkeyPatch.context() as patch, imported_moto() as moto:
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_PROFILE"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        with moto.mock_aws():
            yield


def _package(handler: Any) -> str:
    return type(handler).__module__.partition(".")[0]
