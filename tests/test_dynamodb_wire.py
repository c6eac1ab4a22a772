"""Requests and answers as JSON."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from mainstem.dynamodb.client.change_requests import (
    ChangeRecord,
    DescribeStream,
    GetRecords,
    GetShardIterator,
    IteratorExpired,
    Records,
    Shard,
    ShardGone,
    StreamDescription,
    Trimmed,
)
from mainstem.dynamodb.client.decoding import decode, decode_error
from mainstem.dynamodb.client.encoding import encode
from mainstem.dynamodb.client.failures import Place, answer_or_raise, place_of
from mainstem.dynamodb.client.faults import NoReply, Throttled
from mainstem.dynamodb.client.items import Index, Item, Key, Table
from mainstem.dynamodb.client.requests import (
    Absent,
    AtMost,
    BatchGet,
    BatchGot,
    Cancelled,
    Check,
    Control,
    Equals,
    Get,
    Got,
    Page,
    Put,
    PutNew,
    Query,
    QueryIndex,
    Reason,
    Refused,
    Request,
    Transact,
    Update,
)
from mainstem.dynamodb.client.write_encoding import MOST_SENT_BACK
from mainstem.errors import StoreDenied, StoreNotFound, StoreRejected

TABLE = Table("some-table", "pk", "sk")
INDEX = Index("by-group", "group", "entry")
KEY = {"pk": {"S": "a"}, "sk": {"N": "1"}}


def sent(request: Request) -> Any:
    return json.loads(encode(request)[1])


def failure(request: Request, code: str, message: str = "", **more: Any) -> Any:
    body = json.dumps({"__type": f"com.amazon.coral#{code}", "Message": message, **more}).encode()
    place = place_of(request, encode(request)[0], "eu-west-1")
    return answer_or_raise(decode_error(body), 400, request, place)


def test_values_by_their_types() -> None:
    put = Put(TABLE, {"pk": "a", "sk": -1, "text": "", "big": 10**37, "data": b"\x00\xff"})
    assert encode(put)[0] == "PutItem"
    assert sent(put) == {
        "TableName": "some-table",
        "Item": {
            "pk": {"S": "a"},
            "sk": {"N": "-1"},
            "text": {"S": ""},
            "big": {"N": "1" + "0" * 37},
            "data": {"B": "AP8="},
        },
    }


def test_get() -> None:
    assert sent(Get(TABLE, Key("a", 1), ("size", "#odd"), consistent=False)) == {
        "TableName": "some-table",
        "Key": KEY,
        "ConsistentRead": False,
        "ProjectionExpression": "#p0, #p1",
        "ExpressionAttributeNames": {"#p0": "size", "#p1": "#odd"},
        "ReturnConsumedCapacity": "TOTAL",
    }


def test_batch_get_asks_for_the_keys_once() -> None:
    asked = sent(BatchGet(TABLE, (Key("a", 1),), ("sk", "name")))["RequestItems"]["some-table"]
    assert asked["Keys"] == [KEY]
    assert asked["ExpressionAttributeNames"] == {"#p0": "pk", "#p1": "sk", "#p2": "name"}


@pytest.mark.parametrize(
    ("first", "last", "condition", "values"),
    [
        (None, None, "#h = :h", {}),
        (1, None, "#h = :h AND #s >= :f", {":f": {"N": "1"}}),
        (None, 2, "#h = :h AND #s <= :l", {":l": {"N": "2"}}),
        (0, 2, "#h = :h AND #s BETWEEN :f AND :l", {":f": {"N": "0"}, ":l": {"N": "2"}}),
    ],
)
def test_query_ranges(first: Any, last: Any, condition: str, values: Any) -> None:
    fields = sent(Query(TABLE, "a", first, last, backwards=True, limit=5, attributes=("n",)))
    assert fields["KeyConditionExpression"] == condition
    assert fields["ExpressionAttributeValues"] == {":h": {"S": "a"}, **values}
    assert fields["ScanIndexForward"] is False
    assert fields["Limit"] == 5
    assert fields["ExpressionAttributeNames"]["#p0"] == "n"


def test_a_kept_projection_is_not_changed_by_a_query() -> None:
    sent(Query(TABLE, "a", 1, attributes=("kept",)))
    assert sent(Get(TABLE, Key("a", 1), ("kept",)))["ExpressionAttributeNames"] == {"#p0": "kept"}


def test_query_index_goes_on_behind_an_entry() -> None:
    after: Item = {"pk": "a", "sk": 1, "group": "g", "entry": "e", "more": "x"}
    fields = sent(QueryIndex(TABLE, INDEX, "g", prefix="e", after=after, count_only=True))
    assert fields["KeyConditionExpression"] == "#h = :h AND begins_with(#s, :s)"
    assert fields["ExclusiveStartKey"] == KEY | {"group": {"S": "g"}, "entry": {"S": "e"}}
    assert fields["Select"] == "COUNT"
    assert "#s" not in sent(QueryIndex(TABLE, INDEX, "g"))["ExpressionAttributeNames"]


@pytest.mark.parametrize(
    ("condition", "expression", "value"),
    [
        (Absent(), "attribute_not_exists(#c)", None),
        (Equals("n", "x"), "#c = :c", {"S": "x"}),
        (AtMost("n", 3), "attribute_not_exists(#c) OR #c <= :c", {"N": "3"}),
    ],
)
def test_conditions_want_the_item_in_the_way_back(
    condition: Any, expression: str, value: Any
) -> None:
    put = Put(TABLE, {"pk": "a", "sk": 1}, condition)
    update = Update(TABLE, Key("a", 1), {"x": 1}, {}, (), condition)
    check = Check(TABLE, Key("a", 1), condition)
    actions = sent(Transact((put, update, check), "token"))["TransactItems"]
    for fields in (
        sent(put),
        sent(update),
        actions[0]["Put"],
        actions[1]["Update"],
        actions[2]["ConditionCheck"],
    ):
        assert fields["ConditionExpression"] == expression
        assert fields["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD"
        assert fields["ExpressionAttributeNames"]["#c"] == ("n" if value else "pk")
        assert fields.get("ExpressionAttributeValues", {}).get(":c") == value


def test_long_items_are_not_wanted_back() -> None:
    def wanted(size: int, condition: Any) -> str:
        put = Put(TABLE, {"pk": "a", "sk": 1, "data": bytes(size)}, condition)
        kept: str = sent(put)["ReturnValuesOnConditionCheckFailure"]
        return kept

    assert wanted(MOST_SENT_BACK, Absent()) == "ALL_OLD"
    assert wanted(MOST_SENT_BACK + 1, Absent()) == "NONE"
    assert wanted(MOST_SENT_BACK + 1, Equals("n", 1)) == "ALL_OLD"


def test_update() -> None:
    update = Update(TABLE, Key("a", 1), {"name": "x", "n": 2}, {"count": -3}, ("gone",))
    assert sent(update) == {
        "TableName": "some-table",
        "Key": KEY,
        "UpdateExpression": "SET #s0 = :s0, #s1 = :s1 ADD #a0 :a0 REMOVE #r0",
        "ExpressionAttributeNames": {"#s0": "name", "#s1": "n", "#a0": "count", "#r0": "gone"},
        "ExpressionAttributeValues": {
            ":s0": {"S": "x"},
            ":s1": {"N": "2"},
            ":a0": {"N": "-3"},
        },
        "ReturnValues": "ALL_NEW",
    }
    assert "ReturnValues" not in sent(Transact((update,), "t"))["TransactItems"][0]["Update"]


def test_a_kept_update_is_not_changed_by_a_condition() -> None:
    sent(Update(TABLE, Key("a", 1), {"kept": 1}, {}, (), Equals("other", 1)))
    assert sent(Update(TABLE, Key("a", 1), {"kept": 1}, {}))["ExpressionAttributeNames"] == {
        "#s0": "kept"
    }


def test_inserts_are_quoted() -> None:
    fields = sent(PutNew(TABLE, ({"pk": "it's", "sk": 1, "o'd": b"x"},)))
    assert fields["Statements"] == [
        {
            "Statement": "INSERT INTO \"some-table\" VALUE {'pk': ?, 'sk': ?, 'o''d': ?}",
            "Parameters": [{"S": "it's"}, {"N": "1"}, {"B": "eA=="}],
        }
    ]


def test_control_is_sent_and_answered_as_it_is() -> None:
    control = Control("DescribeTable", {"TableName": "some-table"})
    assert encode(control) == ("DescribeTable", b'{"TableName":"some-table"}')
    assert decode(control, b'{"Table":{"ItemCount":1}}') == {"Table": {"ItemCount": 1}}


def test_answers_have_text_numbers_and_bytes() -> None:
    item = {
        "text": {"S": ""},
        "n": {"N": "-12"},
        "data": {"B": "AP8="},
        "fraction": {"N": "1.5"},
        "list": {"L": [{"S": "x"}]},
        "map": {"M": {"a": {"N": "1"}}},
        "null": {"NULL": True},
        "set": {"SS": ["x"]},
    }
    body = json.dumps({"Item": item, "ConsumedCapacity": {"CapacityUnits": 1.5}}).encode()
    got = decode(Get(TABLE, Key("a", 1)), body)
    fraction = got.item["fraction"]
    assert (int(fraction), str(fraction)) == (1, "1.5"), "exact as text, such as for a key"
    assert got == Got({"text": "", "n": -12, "data": b"\x00\xff", "fraction": fraction}, 1.5)
    assert got.item.unread == {"list", "map", "null", "set"}


def test_batch_get_tells_what_was_left() -> None:
    other = {"pk": {"S": "b"}, "sk": {"N": "2"}}
    body = {
        "Responses": {"some-table": [KEY]},
        "UnprocessedKeys": {"some-table": {"Keys": [other], "ConsistentRead": True}},
        "ConsumedCapacity": [{"TableName": "some-table", "CapacityUnits": 2.0}],
    }
    assert decode(BatchGet(TABLE, (Key("a", 1), Key("b", 2))), json.dumps(body).encode()) == (
        BatchGot([{"pk": "a", "sk": 1}], (Key("b", 2),), 2.0)
    )


def test_pages() -> None:
    body = {"Items": [KEY], "Count": 1, "ScannedCount": 1, "LastEvaluatedKey": KEY}
    item: Item = {"pk": "a", "sk": 1}
    assert decode(Query(TABLE, "a"), json.dumps(body).encode()) == Page([item], 1, item, 0.0)
    counted = QueryIndex(TABLE, INDEX, "g", count_only=True)
    assert decode(counted, b'{"Count":7,"ScannedCount":7}') == Page([], 7, None, 0.0)


def test_a_failed_condition_is_an_answer() -> None:
    put = Put(TABLE, {"pk": "a", "sk": 1}, Absent())
    found = failure(put, "ConditionalCheckFailedException", Item=KEY)
    assert found == Refused({"pk": "a", "sk": 1})
    assert failure(put, "ConditionalCheckFailedException") == Refused(None)


def test_a_cancelled_transaction_is_an_answer() -> None:
    put = Put(TABLE, {"pk": "a", "sk": 1}, Absent())
    reasons = [
        {"Code": "None"},
        {"Code": "ConditionalCheckFailed", "Message": "x", "Item": KEY},
        {"Code": "TransactionConflict", "Message": "x"},
    ]
    transact = Transact((put, put, put), "token")
    code = "TransactionCanceledException"
    assert failure(transact, code, CancellationReasons=reasons) == Cancelled(
        (
            None,
            Reason("ConditionalCheckFailed", {"pk": "a", "sk": 1}),
            Reason("TransactionConflict", None),
        )
    )
    with pytest.raises(NoReply):
        failure(transact, code, CancellationReasons=reasons[:2])
    invalid = [{"Code": "None"}, {"Code": "ValidationError", "Message": "too big"}]
    with pytest.raises(StoreRejected, match="ValidationError: too big"):
        failure(transact, code, CancellationReasons=invalid)


def test_items_put_new_one_by_one() -> None:
    item: Item = {"pk": "a", "sk": 1}
    put = PutNew(TABLE, (item,) * 3)
    errors: list[Any] = [None, {"Code": "DuplicateItem"}, {"Code": "ThrottlingError"}]

    def answer() -> Any:
        replies = [{"TableName": "t"} if e is None else {"Error": e} for e in errors]
        return decode(put, json.dumps({"Responses": replies}).encode())

    assert answer() == (None, "DuplicateItem", "ThrottlingError")
    errors[0] = {"Code": "AccessDenied", "Message": "not you"}
    with pytest.raises(StoreDenied, match="PartiQLInsert"):
        answer()
    errors[0] = {"Code": "ValidationError", "Message": "too big"}
    with pytest.raises(StoreRejected, match="too big"):
        answer()


def test_errors_say_what_where_and_what_to_do() -> None:
    put = Put(TABLE, {"pk": "a", "sk": 1})
    with pytest.raises(StoreDenied, match=r"PutItem on some-table in eu-west-1.*dynamodb:PutItem"):
        failure(put, "AccessDeniedException", "User x is not authorized")
    with pytest.raises(StoreDenied, match="credentials"):
        failure(put, "UnrecognizedClientException")
    with pytest.raises(StoreNotFound, match=r"some-table in eu-west-1.*mainstem create-tables"):
        failure(put, "ResourceNotFoundException")
    check = Check(Table("other", "pk", "sk"), Key("a", 1), Equals("n", 1))
    with pytest.raises(StoreDenied, match="other, some-table"):
        failure(Transact((put, check), "t"), "AccessDeniedException")


def test_other_refusals_keep_their_code_across_processes() -> None:
    with pytest.raises(StoreRejected) as caught:
        failure(Put(TABLE, {}), "ValidationException", "One or more parameter values")
    again = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(again, StoreRejected)
    assert again.code == "ValidationException"
    assert str(again) == str(caught.value)


def test_places_name_the_table() -> None:
    assert place_of(Control("ListTables", {}), "ListTables", "r") == Place("ListTables", "*", "r")


# Changes

ARN = "arn:aws:dynamodb:eu-west-1:0:table/some-table/stream/2026"
DESCRIBE = DescribeStream(ARN)
OPEN = GetShardIterator(ARN, "shard-1", "TRIM_HORIZON")
READ = GetRecords("an iterator", 1000)


def test_change_streams_are_asked_for_by_their_names() -> None:
    assert encode(DESCRIBE) == (
        "DescribeStream",
        json.dumps({"StreamArn": ARN}).replace(" ", "").encode(),
    )
    assert sent(DescribeStream(ARN, "shard-1"))["ExclusiveStartShardId"] == "shard-1"
    assert sent(OPEN) == {
        "StreamArn": ARN,
        "ShardId": "shard-1",
        "ShardIteratorType": "TRIM_HORIZON",
    }
    behind = GetShardIterator(ARN, "shard-1", "AFTER_SEQUENCE_NUMBER", "7")
    assert sent(behind)["SequenceNumber"] == "7"
    assert encode(READ)[0] == "GetRecords"
    assert sent(READ) == {"ShardIterator": "an iterator", "Limit": 1000}


def test_shards_are_answered() -> None:
    ranges = {"StartingSequenceNumber": "1", "EndingSequenceNumber": "9"}
    body = {
        "StreamDescription": {
            "StreamArn": ARN,
            "StreamStatus": "ENABLED",
            "Shards": [
                {"ShardId": "a", "SequenceNumberRange": ranges},
                {
                    "ShardId": "b",
                    "ParentShardId": "a",
                    "SequenceNumberRange": {"StartingSequenceNumber": "10"},
                },
            ],
            "LastEvaluatedShardId": "b",
        }
    }
    assert decode(DESCRIBE, json.dumps(body).encode()) == StreamDescription(
        "ENABLED", (Shard("a", None, "1", "9"), Shard("b", "a", "10", None)), "b"
    )
    assert decode(OPEN, b'{"ShardIterator":"x"}') == "x"


def test_records_are_answered() -> None:
    removed = {"Keys": KEY, "SequenceNumber": "100", "ApproximateCreationDateTime": 1.7e9}
    written = {**removed, "NewImage": {**KEY, "data": {"B": "AP8="}}, "SequenceNumber": "99"}
    body = {
        "Records": [
            {"eventID": "1", "eventName": "INSERT", "awsRegion": "eu-west-1", "dynamodb": written},
            {"eventID": "2", "eventName": "REMOVE", "dynamodb": removed},
        ],
        "NextShardIterator": "y",
    }
    keys: Item = {"pk": "a", "sk": 1}
    image: Item = {**keys, "data": b"\x00\xff"}
    assert decode(READ, json.dumps(body).encode()) == Records(
        (
            ChangeRecord("INSERT", keys, image, "99", 1_700_000_000),
            ChangeRecord("REMOVE", keys, None, "100", 1_700_000_000),
        ),
        "y",
    )
    assert decode(READ, b'{"Records":[]}') == Records((), None)


def test_what_is_gone_from_a_change_stream_is_an_answer() -> None:
    assert failure(READ, "ExpiredIteratorException") == IteratorExpired()
    for request in (OPEN, READ):
        assert failure(request, "TrimmedDataAccessException") == Trimmed()
        assert failure(request, "ResourceNotFoundException") == ShardGone()
    with pytest.raises(StoreNotFound, match=ARN):
        failure(DESCRIBE, "ResourceNotFoundException")
    with pytest.raises(Throttled):
        failure(READ, "LimitExceededException")
    with pytest.raises(StoreDenied, match="dynamodb:GetRecords"):
        failure(READ, "AccessDeniedException")
