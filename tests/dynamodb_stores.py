"""Stores on DynamoDB Local for tests of their own."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import dynamodb_local
from mainstem import JsonCodec, Store
from mainstem.codec import Codec
from mainstem.dynamodb import create_tables
from mainstem.dynamodb.adapter import DynamoAdapter
from mainstem.dynamodb.client.context import system_clock
from mainstem.dynamodb.client.drivers import BlockingDriver
from mainstem.dynamodb.open import open_blocking
from mainstem.schemes import blocking_store


def new_url(server: dynamodb_local.Server, *, partitions: int = 1, **options: Any) -> str:
    """The URL of a store whose tables have just been made."""
    url = f"dynamodb://test-{uuid4().hex}?endpoint={server.endpoint}&partitions={partitions}"
    create_tables(url, stream=False, **options)
    return url


def open_store(url: str, *, codec: Codec | None = None, clock: Any = system_clock) -> Store:
    """A store as another process would open it: it knows nothing yet."""
    return blocking_store(open_blocking(url, clock=clock), codec or JsonCodec(), None)


def parts_of(store: Store) -> tuple[DynamoAdapter, BlockingDriver]:
    """What a store is made of, to run its operations step by step."""
    adapter, driver = store._adapter, store._driver
    assert isinstance(adapter, DynamoAdapter)
    assert isinstance(driver, BlockingDriver)
    return adapter, driver
