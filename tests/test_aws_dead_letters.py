"""Dead letters: what is kept of records that could not be sequenced, and what redriving makes of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aws_help import Bucket, ShopPlace, event, items_of, record, records_of
from mainstem.aws.dead_letters import DeadLetters
from mainstem.aws.redriving import redrive
from mainstem.aws.sequencing import Sequencing
from repair_help import Shop


@pytest.fixture
def shop() -> Shop:
    made = Shop()
    made.fill(3, 4)
    return made


def by_lambda(records: list[Any], *, payload: str = "text") -> bytes:
    """An object as Lambda puts it into the bucket when a batch has used up its retries.

    https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
    """
    told: dict[str, Any] = {
        "requestContext": {
            "requestId": "c9b8fa9f-5a7f-xmpl-af9c-0c604cde93a5",
            "functionArn": "arn:aws:lambda:eu-west-1:000000000000:function:shop-sequence",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 1,
        },
        "version": "1.0",
        "DDBStreamBatchInfo": {"shardId": "shardId-1", "batchSize": len(records)},
    }
    if payload == "text":
        told["payload"] = json.dumps(event(records))
    elif payload == "object":
        told["payload"] = event(records)
    return json.dumps(told).encode()


def letters_of(bucket: Bucket) -> DeadLetters:
    return DeadLetters("letters", bucket)


@pytest.mark.parametrize("payload", ["text", "object"])
def test_a_batch_that_lambda_gave_up_is_sequenced_and_removed(shop: Shop, payload: str) -> None:
    bucket = Bucket()
    records = records_of(shop)
    bucket.objects["aws/lambda/1/shardId-1/a"] = by_lambda(records[:5], payload=payload)
    bucket.objects["aws/lambda/1/shardId-1/b"] = by_lambda(records[5:], payload=payload)
    done = redrive(ShopPlace(shop), letters_of(bucket))
    assert done == (2, 2, 12, [])
    assert bucket.objects == {}
    assert shop.in_log() == shop.in_table()


def test_what_is_in_the_log_already_is_passed_over(shop: Shop) -> None:
    bucket = Bucket()
    records = records_of(shop)
    Sequencing(ShopPlace(shop)).handle(event(records), None)
    bucket.objects["a"] = by_lambda(records)
    assert redrive(ShopPlace(shop), letters_of(bucket)).removed == 1
    shop.check(settled=False)
    assert shop.in_log() == shop.in_table()


def test_a_record_that_still_cannot_be_sequenced_stays(shop: Shop) -> None:
    bucket = Bucket()
    records = records_of(shop)
    item = items_of(shop, "order-0")[0]
    bad = record(shop.layout.events, {**item, "EventId": -1}, "2" * 21)
    bucket.objects["a"] = by_lambda([records[0], bad, records[1]])
    bucket.objects["b"] = by_lambda(records[2:])
    told: list[tuple[str, bool]] = []
    done = redrive(
        ShopPlace(shop), letters_of(bucket), lambda letter, ok: told.append((letter.key, ok))
    )
    assert done.left == ["a"]
    assert list(bucket.objects) == ["a"]
    assert told == [("a", False), ("b", True)]
    assert shop.in_log() == shop.in_table(), "the others are sequenced"


def test_objects_without_records_stay(shop: Shop) -> None:
    bucket = Bucket()
    bucket.objects = {
        "a": by_lambda([], payload="none"),
        "b": b"nonsense",
        "c": b"[]",
        "d": b'{"payload": "{}"}',
        "e": b'{"payload": {"Records": ["nonsense"]}}',
    }
    done = redrive(ShopPlace(shop), letters_of(bucket))
    assert done.left == ["a", "b", "c", "d", "e"]


def test_a_hole_that_was_mended_is_redriven(shop: Shop) -> None:
    bucket = Bucket()
    records = records_of(shop, "order-1")
    items = items_of(shop, "order-1")
    rows = shop.database.rows(shop.layout.events)
    kept = {key: states for key, states in rows.items.items() if key.hash == "order-1"}
    shop.delete("order-1", 1)
    function = Sequencing(ShopPlace(shop), letters_of(bucket))
    function.handle(event([records[0], *records[2:]]), None)
    assert shop.in_log() == {"order-1": [0]}
    assert redrive(ShopPlace(shop), letters_of(bucket)).left
    rows.items.update(kept)
    (mended,) = [states for key, states in kept.items() if key.sort == 1]
    rows.by_hash["order-1"][1] = mended
    done = redrive(ShopPlace(shop), letters_of(bucket))
    assert done.left == []
    assert shop.in_log() == {"order-1": list(range(len(items)))}


def test_a_dead_letter_tells_why(shop: Shop) -> None:
    bucket = Bucket()
    bucket.objects["a"] = by_lambda(records_of(shop))
    letters_of(bucket).keep({"raw": 1}, "123", "it is nonsense", 1_700_000_000_000_000)
    found = {letter.key: letter.reason for letter in letters_of(bucket)}
    assert found == {
        "a": "RetryAttemptsExhausted",
        "records/2023/11/14/123.json": "it is nonsense",
    }
