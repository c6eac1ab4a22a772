"""What OpenTelemetry's SDK gets."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import dynamodb_local
import mainstem
from dynamodb_stores import new_url
from mainstem import Decider, NewEvent, VersionConflict
from mainstem.errors import InvalidInput
from mainstem.telemetry import OpenTelemetry
from mainstem.telemetry.metrics import ALL

pytestmark = pytest.mark.usefixtures("no_time_passes")

SECRET = "hunter2"
STREAM = "patient-4711"
EVENTS = [NewEvent("Admitted", {"word": SECRET}, {"by": SECRET})]


class Sdk:
    """Providers that export to memory."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.exporter = InMemorySpanExporter()
        self.meters = MeterProvider([self.reader])
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.telemetry = OpenTelemetry(self.meters, self.tracers)

    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def metrics(self) -> dict[str, Any]:
        data = self.reader.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: metric
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def value(self, name: str) -> Any:
        (point,) = self.metrics()[name].data.data_points
        return point.value


@pytest.fixture
def sdk() -> Iterator[Sdk]:
    made = Sdk()
    yield made
    made.meters.shutdown()
    made.tracers.shutdown()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ward.db"


def test_what_a_store_does_becomes_metrics(sdk: Sdk, url: str) -> None:
    with mainstem.connect(url, telemetry=sdk.telemetry) as store:
        store.append(STREAM, EVENTS * 3, expected=0)
        with pytest.raises(VersionConflict):
            store.append(STREAM, EVENTS, expected=0)
        list(store.subscribe("wards", live=False))
    found = sdk.metrics()
    assert found["mainstem.append.events"].unit == "{event}"
    assert found["mainstem.append.duration"].unit == "ms"
    assert found["mainstem.subscription.lag"].unit == "s"
    (events,) = found["mainstem.append.events"].data.data_points
    assert (events.value, dict(events.attributes)) == (3, {"db.namespace": "ward"})
    (conflicts,) = found["mainstem.append.conflicts"].data.data_points
    assert conflicts.value == 1
    (duration,) = found["mainstem.append.duration"].data.data_points
    assert duration.count == 2
    (gap,) = found["mainstem.subscription.gap"].data.data_points
    assert gap.value == 0
    assert dict(gap.attributes) == {"db.namespace": "ward", "mainstem.subscription": "wards"}


def test_an_operation_becomes_a_span(sdk: Sdk, url: str) -> None:
    with mainstem.connect(url, telemetry=sdk.telemetry) as store:
        store.append(STREAM, EVENTS, expected=0)
    (span,) = sdk.spans()
    assert span.name == "append ward"
    assert span.kind is SpanKind.INTERNAL
    assert span.status.status_code is StatusCode.UNSET
    assert dict(span.attributes or {}) == {
        "db.system.name": "sqlite",
        "db.namespace": "ward",
        "db.operation.name": "append",
    }


def test_on_dynamodb_it_is_a_clients_span_and_capacity_is_counted(
    sdk: Sdk, dynamodb: dynamodb_local.Server
) -> None:
    with mainstem.connect(new_url(dynamodb), telemetry=sdk.telemetry) as store:
        store.append(STREAM, EVENTS, expected=0)
    (span,) = sdk.spans()
    assert span.kind is SpanKind.CLIENT
    assert (span.attributes or {})["db.system.name"] == "dynamodb"
    (units,) = sdk.metrics()["mainstem.write_units"].data.data_points
    assert units.value == 7
    assert units.attributes["db.operation.name"] == "append"


def test_a_conflict_is_an_error_by_its_class_and_what_that_means(sdk: Sdk, url: str) -> None:
    with mainstem.connect(url, telemetry=sdk.telemetry) as store, pytest.raises(VersionConflict):
        store.append(STREAM, EVENTS, expected=7)
    (span,) = sdk.spans()
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "mainstem.errors.VersionConflict"
    (event,) = span.events
    assert event.name == "exception"
    assert dict(event.attributes or {}) == {
        "exception.type": "mainstem.errors.VersionConflict",
        "exception.message": "The stream is not at the expected version. Nothing was written.",
    }


def test_spans_are_within_the_users_own(sdk: Sdk, url: str) -> None:
    tracer = sdk.tracers.get_tracer("user")
    with (
        mainstem.connect(url, telemetry=sdk.telemetry) as store,
        tracer.start_as_current_span("request") as request,
    ):
        store.append(STREAM, EVENTS, expected=0)
        list(store.read_all())
    for span in sdk.spans()[:2]:
        assert span.parent is not None
        assert span.parent.span_id == request.get_span_context().span_id


def test_between_the_items_of_an_iteration_the_users_span_is_the_current_one(
    sdk: Sdk, url: str
) -> None:
    tracer = sdk.tracers.get_tracer("user")
    with mainstem.connect(url, telemetry=sdk.telemetry) as store:
        store.append(STREAM, EVENTS * 3, expected=0)
        with tracer.start_as_current_span("request") as request:
            for _ in store.read_all():
                assert trace.get_current_span() is request
                break
            for _ in store.subscribe("wards", live=False):
                assert trace.get_current_span() is request
                break
            assert trace.get_current_span() is request


def test_a_batch_of_a_subscription_is_a_consumers_span(sdk: Sdk, url: str) -> None:
    with mainstem.connect(url, telemetry=sdk.telemetry) as store:
        store.append(STREAM, EVENTS * 3, expected=0)
        sdk.exporter.clear()
        list(store.subscribe("wards", batch_size=2, live=False))
    assert [span.name for span in sdk.spans()] == ["subscription.batch ward"] * 2
    for span in sdk.spans():
        assert span.kind is SpanKind.CONSUMER
        assert (span.attributes or {})["mainstem.subscription"] == "wards"


def test_the_asynchronous_store_tells_the_same(
    sdk: Sdk, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with mainstem.connect_async(url, telemetry=sdk.telemetry) as store:
            await asyncio.gather(
                *(store.append(f"{STREAM}-{number}", EVENTS, expected=0) for number in range(5))
            )
            async for _ in store.read_all():
                assert not trace.get_current_span().get_span_context().is_valid
                break  # its end comes later, in another context
            async for _ in store.subscribe("wards", live=False):
                break
            async for _ in store.subscribe("beds", live=False):
                pass

    asyncio.run(main())
    names = [span.name for span in sdk.spans()]
    assert sorted(set(names)) == ["append ward", "read_all ward", "subscription.batch ward"]
    assert names.count("append ward") == 5
    assert sdk.value("mainstem.append.commits") == 5
    assert caplog.text == ""


def test_no_payload_metadata_or_stream_id_reaches_it(sdk: Sdk, url: str) -> None:
    def refuse(command: str, state: int) -> NoReturn:
        raise ValueError(f"{STREAM} may not {SECRET}")

    decider = Decider(lambda: 0, lambda state, _: state, refuse)
    with mainstem.connect(url, telemetry=sdk.telemetry) as store:
        store.append(STREAM, EVENTS, expected=0)
        with pytest.raises(VersionConflict):
            store.append(STREAM, EVENTS, expected=0)
        with pytest.raises(InvalidInput):
            store.append(STREAM, SECRET, expected=0)
        with pytest.raises(ValueError, match=SECRET):
            store.handle(decider, STREAM, SECRET)
        list(store.read_all(prefix=STREAM))
        list(store.subscribe("wards", live=False))
    data = sdk.reader.get_metrics_data()
    assert data is not None
    everything = "".join(span.to_json() for span in sdk.spans()) + data.to_json()
    assert "ValueError" in everything
    for secret in (SECRET, STREAM, "Admitted"):
        assert secret not in everything


def test_every_metric_of_the_catalogue_has_a_unit_of_its_own(sdk: Sdk) -> None:
    for metric in ALL:
        sdk.telemetry.record(metric, 1)
    found = sdk.metrics()
    assert set(found) == {f"mainstem.{metric.name}" for metric in ALL}
    assert all(metric.unit != "1" for metric in found.values())


def test_without_providers_it_uses_the_global_ones(url: str) -> None:
    telemetry = OpenTelemetry()
    with mainstem.connect(url, telemetry=telemetry) as store:
        store.append(STREAM, EVENTS, expected=0)
    telemetry.flush()


def test_flush_flushes_the_providers(sdk: Sdk, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed = []
    monkeypatch.setattr(sdk.meters, "force_flush", lambda timeout_millis: flushed.append("meters"))
    monkeypatch.setattr(
        sdk.tracers, "force_flush", lambda timeout_millis: flushed.append("tracers")
    )
    sdk.telemetry.flush()
    assert flushed == ["meters", "tracers"]


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(InvalidInput, match=r"pip install 'mainstem\[opentelemetry\]'"):
        OpenTelemetry()


def test_nothing_of_it_is_imported_before_it_is_used() -> None:
    from sqlite_help import run_script

    run_script(
        "import sys, mainstem, mainstem.telemetry\n"
        "mainstem.connect('sqlite://:memory:').close()\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
