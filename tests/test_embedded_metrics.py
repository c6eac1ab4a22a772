"""Lines in CloudWatch's embedded metric format, checked against its specification."""

from __future__ import annotations

import io
import json
import threading
from typing import Any

import pytest

import mainstem
from mainstem import NewEvent, VersionConflict
from mainstem.errors import InvalidInput
from mainstem.telemetry import Attributes, EmbeddedMetrics, Metric
from mainstem.telemetry.metrics import (
    ALL,
    APPEND_COMMITS,
    APPEND_DURATION,
    APPEND_EVENTS,
    SPAN_DURATION,
    SUBSCRIPTION_GAP,
)

UNITS = {"Count", "Milliseconds", "Seconds", "None"}
NOW = 1_800_000_000.5


def printed(stream: io.StringIO) -> list[dict[str, Any]]:
    """What each line says. Every one of them has to be valid by the specification."""
    text = stream.getvalue()
    assert not text or text.endswith("\n")
    documents = [json.loads(line, parse_constant=pytest.fail) for line in text.splitlines()]
    for document in documents:
        check(document)
    return documents


def check(document: dict[str, Any]) -> None:
    """By "Specification: Embedded metric format" in the CloudWatch user guide."""
    meta = document["_aws"]
    assert set(meta) == {"Timestamp", "CloudWatchMetrics"}
    assert isinstance(meta["Timestamp"], int)
    for directive in meta["CloudWatchMetrics"]:
        assert set(directive) == {"Namespace", "Dimensions", "Metrics"}
        assert 1 <= len(directive["Namespace"]) <= 1024
        for dimension_set in directive["Dimensions"]:
            assert len(dimension_set) <= 30
            assert len(set(dimension_set)) == len(dimension_set)
            for name in dimension_set:
                value = document[name]
                assert isinstance(value, str)
                assert 1 <= len(value) <= 1024
        assert 1 <= len(directive["Metrics"]) <= 100
        names = [metric["Name"] for metric in directive["Metrics"]]
        assert len(set(names)) == len(names)
        for metric in directive["Metrics"]:
            assert set(metric) <= {"Name", "Unit", "StorageResolution"}
            assert metric["Unit"] in UNITS
            values = document[metric["Name"]]
            values = values if isinstance(values, list) else [values]
            assert 1 <= len(values) <= 100
            assert all(type(value) in (int, float) for value in values)


def metrics_of(document: dict[str, Any]) -> dict[str, Any]:
    (directive,) = document["_aws"]["CloudWatchMetrics"]
    return {each["Name"]: document[each["Name"]] for each in directive["Metrics"]}


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def embedded(stream: io.StringIO) -> EmbeddedMetrics:
    return EmbeddedMetrics(stream=stream, clock=lambda: NOW)


def test_a_line_has_sums_values_and_the_last_of_a_gauge(
    embedded: EmbeddedMetrics, stream: io.StringIO
) -> None:
    about = {"store": "shop"}
    for value in (1, 2, 3):
        embedded.record(APPEND_EVENTS, value, about)
        embedded.record(APPEND_DURATION, value + 0.12345, about)
        embedded.record(SUBSCRIPTION_GAP, value, about)
    assert printed(stream) == []
    embedded.flush()
    (document,) = printed(stream)
    assert metrics_of(document) == {
        "AppendEvents": 6,
        "AppendDuration": [1.123, 2.123, 3.123],
        "SubscriptionGap": 3,
    }
    assert document["_aws"]["Timestamp"] == 1_800_000_000_500
    (directive,) = document["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "Mainstem"
    assert directive["Dimensions"] == [["Store"]]
    assert document["Store"] == "shop"


def test_each_set_of_dimensions_has_a_line_of_its_own(
    embedded: EmbeddedMetrics, stream: io.StringIO
) -> None:
    for name in ("invoices", "totals"):
        embedded.record(SUBSCRIPTION_GAP, 1, {"store": "shop", "subscription": name})
    embedded.flush()
    assert [document["Subscription"] for document in printed(stream)] == ["invoices", "totals"]


def test_what_was_printed_is_not_printed_again(
    embedded: EmbeddedMetrics, stream: io.StringIO
) -> None:
    embedded.record(APPEND_EVENTS, 5)
    embedded.flush()
    embedded.flush()
    embedded.record(APPEND_EVENTS, 1)
    embedded.flush()
    assert [metrics_of(document)["AppendEvents"] for document in printed(stream)] == [5, 1]


def test_dimensions_of_the_users_own_are_added_to_every_line(stream: io.StringIO) -> None:
    embedded = EmbeddedMetrics("Shop/Events", {"Service": "orders", "Stage": "test"}, stream)
    embedded.record(APPEND_EVENTS, 1, {"store": "shop"})
    embedded.flush()
    (document,) = printed(stream)
    (directive,) = document["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "Shop/Events"
    assert directive["Dimensions"] == [["Service", "Stage", "Store"]]
    assert (document["Service"], document["Stage"]) == ("orders", "test")


def test_a_line_has_a_hundred_values_at_most(
    embedded: EmbeddedMetrics, stream: io.StringIO
) -> None:
    for value in range(250):
        embedded.record(APPEND_DURATION, value)
    embedded.flush()
    values = [metrics_of(document)["AppendDuration"] for document in printed(stream)]
    assert [len(each) for each in values] == [100, 100, 50]
    assert sum(values, []) == list(range(250))  # noqa: RUF017


def test_a_line_has_a_hundred_metrics_at_most(
    embedded: EmbeddedMetrics, stream: io.StringIO
) -> None:
    for number in range(250):
        embedded.record(Metric(f"number.{number}", "counter", "Count", "One of many."), number)
    embedded.flush()
    found = [metrics_of(document) for document in printed(stream)]
    assert [len(each) for each in found] == [100, 100, 50]


def test_a_line_has_thirty_dimensions_at_most(stream: io.StringIO) -> None:
    embedded = EmbeddedMetrics("Shop", {f"D{number}": "x" for number in range(25)}, stream)
    embedded.record(APPEND_EVENTS, 1, {f"of_{number}": number for number in range(10)})
    embedded.flush()
    (document,) = printed(stream)
    (directive,) = document["_aws"]["CloudWatchMetrics"]
    assert len(directive["Dimensions"][0]) == 30


def test_names_that_are_no_dimension_values_are_made_such(
    embedded: EmbeddedMetrics, stream: io.StringIO
) -> None:
    for name in ("Übersicht 📈", " ", "line\nbreak", "x" * 2000):
        embedded.record(SUBSCRIPTION_GAP, 1, {"subscription": name})
    embedded.flush()
    values = [document["Subscription"] for document in printed(stream)]
    assert values == [r"\xdcbersicht \U0001f4c8", "-", "line?break", "x" * 1024]


def test_what_is_no_number_is_left_out(embedded: EmbeddedMetrics, stream: io.StringIO) -> None:
    for value in (float("nan"), float("inf"), -float("inf")):
        embedded.record(APPEND_DURATION, value)
    embedded.flush()
    assert printed(stream) == []


def test_it_flushes_by_itself_after_a_while(stream: io.StringIO) -> None:
    now = NOW
    embedded = EmbeddedMetrics(stream=stream, flush_seconds=10, clock=lambda: now)
    embedded.record(APPEND_COMMITS, 1)
    now += 9
    embedded.record(APPEND_COMMITS, 1)
    assert printed(stream) == []
    now += 1
    embedded.record(APPEND_COMMITS, 1)
    assert [metrics_of(document) for document in printed(stream)] == [{"AppendCommits": 3}]


def test_no_more_than_a_thousand_series_are_held(
    embedded: EmbeddedMetrics, stream: io.StringIO
) -> None:
    for number in range(1001):
        embedded.record(SUBSCRIPTION_GAP, 1, {"subscription": f"of-{number}"})
    assert len(printed(stream)) == 1000


def test_it_flushes_when_it_is_left(stream: io.StringIO) -> None:
    with EmbeddedMetrics(stream=stream) as embedded:
        embedded.record(APPEND_COMMITS, 1)
    assert len(printed(stream)) == 1


def test_by_default_it_prints_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    with EmbeddedMetrics() as embedded:
        embedded.record(APPEND_COMMITS, 1)
    assert metrics_of(json.loads(capsys.readouterr().out)) == {"AppendCommits": 1}


def test_a_span_is_told_by_how_long_it_took(embedded: EmbeddedMetrics, stream: io.StringIO) -> None:
    attributes: Attributes = {"system": "dynamodb", "store": "shop", "partition": 3}
    with embedded.span("read", attributes):
        pass
    with pytest.raises(ZeroDivisionError), embedded.span("read", attributes):
        raise ZeroDivisionError
    embedded.flush()
    (document,) = printed(stream)
    assert len(metrics_of(document)["SpanDuration"]) == 2
    (directive,) = document["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [["Store", "Operation"]]


def test_many_threads_lose_nothing(stream: io.StringIO) -> None:
    embedded = EmbeddedMetrics(stream=stream)

    def work() -> None:
        for number in range(500):
            embedded.record(APPEND_COMMITS, 1, {"store": "shop"})
            embedded.record(APPEND_DURATION, number, {"store": "shop"})

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    embedded.flush()
    found = [metrics_of(document) for document in printed(stream)]
    assert sum(each.get("AppendCommits", 0) for each in found) == 2000
    durations = [each["AppendDuration"] for each in found if "AppendDuration" in each]
    assert sum(len(each) if isinstance(each, list) else 1 for each in durations) == 2000


def test_where_nothing_can_be_printed_nothing_is_raised(caplog: pytest.LogCaptureFixture) -> None:
    closed = io.StringIO()
    closed.close()
    embedded = EmbeddedMetrics(stream=closed)
    embedded.record(APPEND_COMMITS, 1)
    embedded.flush()
    assert "could not be printed" in caplog.text


@pytest.mark.parametrize("namespace", ["", "AWS/Lambda", ":shop", "a b", "x" * 256, None])
def test_namespaces_that_cloudwatch_does_not_take_are_refused(namespace: Any) -> None:
    with pytest.raises(InvalidInput, match="namespace"):
        EmbeddedMetrics(namespace)


@pytest.mark.parametrize(
    "dimensions",
    [
        {f"D{number}": "x" for number in range(26)},
        {"": "x"},
        {":stage": "x"},
        {"Bühne": "x"},
        {"Stage": ""},
        {"Stage": " "},
        {"Stage": 1},
        {"x" * 251: "x"},
        {"_aws": "x"},
        {"Store": "x"},
        {"AppendEvents": "x"},
    ],
)
def test_dimensions_that_cloudwatch_does_not_take_are_refused(dimensions: Any) -> None:
    with pytest.raises(InvalidInput, match="dimension"):
        EmbeddedMetrics(dimensions=dimensions)


def test_what_a_store_tells_is_valid_and_keeps_its_secrets(stream: io.StringIO) -> None:
    with (
        EmbeddedMetrics(stream=stream) as embedded,
        mainstem.connect("sqlite://:memory:", telemetry=embedded) as store,
    ):
        for number in range(150):
            store.append(f"patient-{number}", [NewEvent("Admitted", "hunter2")], expected=0)
        with pytest.raises(VersionConflict):
            store.append("patient-1", [NewEvent("Admitted", "hunter2")], expected=0)
        list(store.subscribe("wards", batch_size=10, live=False))
    found = [metrics_of(document) for document in printed(stream)]
    assert sum(each.get("AppendEvents", 0) for each in found) == 150
    assert sum(each.get("AppendConflicts", 0) for each in found) == 1
    assert sum(each.get("SubscriptionEvents", 0) for each in found) == 150
    for secret in ("hunter2", "patient", "Admitted"):
        assert secret not in stream.getvalue()


def test_the_names_in_cloudwatch_are_all_different() -> None:
    embedded = EmbeddedMetrics(stream=(stream := io.StringIO()))
    for metric in ALL:
        embedded.record(metric, 1)
    embedded.flush()
    (document,) = printed(stream)
    assert len(metrics_of(document)) == len(ALL)
    assert SPAN_DURATION in ALL
