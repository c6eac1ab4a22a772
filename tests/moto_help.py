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
def mocked_aws() -> Iterator[None]:
    """An empty account, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_PROFILE"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        before = list(botocore.handlers.BUILTIN_HANDLERS)
        try:
            moto: Any = importlib.import_module("moto")
            models: Any = importlib.import_module("moto.core.models")
            hook = ("before-send", models.botocore_stubber)
            if hook not in botocore.handlers.BUILTIN_HANDLERS:
                botocore.handlers.BUILTIN_HANDLERS.append(hook)
            with moto.mock_aws():
                yield
        finally:
            botocore.handlers.BUILTIN_HANDLERS[:] = [
                each for each in before if not type(each[1]).__module__.startswith("moto.")
            ]
