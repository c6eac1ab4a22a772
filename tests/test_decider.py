"""`handle`: load, fold, decide, append; on a conflict again."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pydantic
import pytest

import mainstem
from mainstem import (
    ANY,
    AppendOutcomeUnknown,
    Decider,
    EncodeError,
    Handled,
    InvalidInput,
    NewEvent,
    RecordedEvent,
    Snapshots,
    StoreBusy,
    TooManyConflicts,
    VersionConflict,
)
from mainstem.codec import JsonCodec
from mainstem.drive import in_thread
from mainstem.port import Op, Sleep, StoredSnapshot, StreamPage
from mainstem.sqlite.adapter import SqliteAdapter
from mainstem.sqlite.tickets import Write
from mainstem.verbs.handle import handle


@dataclass(frozen=True)
class Account:
    balance: int = 0


class Overdrawn(Exception):
    pass


def evolve(account: Account, event: RecordedEvent) -> Account:
    return Account(account.balance + event.payload["amount"])


def decide(amount: int, account: Account) -> list[NewEvent]:
    if account.balance + amount < 0:
        raise Overdrawn
    return [NewEvent("Booked", {"amount": amount})] if amount else []


accounts: Decider[Account, int] = Decider(Account, evolve, decide)


@pytest.fixture
def store() -> Iterator[mainstem.Store]:
    with mainstem.connect("sqlite://:memory:") as store:
        yield store


def test_a_command_appends_what_was_decided(store: mainstem.Store) -> None:
    store.append("account-1", [NewEvent("Booked", {"amount": 5})], expected=0)
    handled = store.handle(accounts, "account-1", 7)

    assert handled.state == Account(12)
    assert handled.version == 2
    assert handled.attempts == 1
    assert handled.conflicts == 0
    assert not handled.repeated
    assert [event.payload for event in handled.events] == [{"amount": 7}]
    assert handled.events == store.read("account-1", from_version=1).events


def test_deciding_nothing_appends_nothing(store: mainstem.Store) -> None:
    handled = store.handle(accounts, "account-1", 0)
    assert (handled.version, handled.events, handled.result) == (0, [], None)
    assert store.head() == 0


def test_what_decide_raises_comes_through_and_nothing_is_written(store: mainstem.Store) -> None:
    with pytest.raises(Overdrawn):
        store.handle(accounts, "account-1", -1)
    assert store.head() == 0


def interrupted_by(
    store: mainstem.Store, rivals: int, stream_id: str = "account-1"
) -> Decider[Account, int]:
    """A decider that is overtaken by that many other writers, each while it decides."""
    left = iter(range(rivals))

    def overtaken(amount: int, account: Account) -> list[NewEvent]:
        events = decide(amount, account)
        if next(left, None) is not None:
            store.append(stream_id, [NewEvent("Booked", {"amount": -1})], expected=ANY)
        return events

    return Decider(Account, evolve, overtaken)


def test_after_a_conflict_the_rule_is_checked_on_what_is_new(store: mainstem.Store) -> None:
    store.append("account-1", [NewEvent("Booked", {"amount": 10})], expected=0)
    handled = store.handle(interrupted_by(store, 2), "account-1", -8)
    assert handled.attempts == 3
    assert handled.conflicts == 2
    assert handled.state == Account(0)


def test_a_rule_that_a_rival_has_broken_is_refused(store: mainstem.Store) -> None:
    store.append("account-1", [NewEvent("Booked", {"amount": 10})], expected=0)
    with pytest.raises(Overdrawn):
        store.handle(interrupted_by(store, 1), "account-1", -10)
    assert store.version("account-1") == 2


def test_conflicts_without_end_are_given_up(store: mainstem.Store) -> None:
    store.append("account-1", [NewEvent("Booked", {"amount": 100})], expected=0)
    with pytest.raises(TooManyConflicts, match="3 attempts") as caught:
        store.handle(interrupted_by(store, 9), "account-1", 1, attempts=3)
    assert (caught.value.stream_id, caught.value.attempts) == ("account-1", 3)
    assert store.version("account-1") == 4  # the first event and three rivals'


def test_only_what_is_new_is_loaded_after_a_conflict(
    store: mainstem.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[int] = []
    read_stream = SqliteAdapter.read_stream

    def noting(self: SqliteAdapter, stream_id: str, codec: Any, **options: Any) -> Op[Any]:
        page = yield from read_stream(self, stream_id, codec, **options)
        loaded.extend(event.event_id for event in page.events)
        return page

    rival = interrupted_by(store, 1)
    store.append("account-1", [NewEvent("Booked", {"amount": 100})] * 5, expected=0)
    monkeypatch.setattr(SqliteAdapter, "read_stream", noting)
    store.handle(Decider(Account, evolve, rival.decide), "account-1", 1)
    assert loaded == [0, 1, 2, 3, 4, 5, 6]


def failing_on(amount: int) -> Decider[Account, int]:
    def careful(account: Account, event: RecordedEvent) -> Account:
        if event.payload["amount"] == amount:
            raise ZeroDivisionError("evolve")
        return evolve(account, event)

    return Decider(Account, careful, decide)


@pytest.mark.parametrize("commit_id", [None, "deposit-1"])
@pytest.mark.parametrize("conflicts", [0, 2])
def test_where_evolve_fails_on_a_new_event_nothing_is_written(
    store: mainstem.Store, commit_id: str | None, conflicts: int
) -> None:
    rivals = interrupted_by(store, conflicts)
    decider = Decider(Account, failing_on(7).evolve, rivals.decide)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="evolve"):
            store.handle(decider, "account-1", 7, commit_id=commit_id)
    amounts = [event.payload["amount"] for event in store.read("account-1")]
    assert 7 not in amounts
    assert store.handle(decider, "account-1", 8, commit_id=commit_id).version == len(amounts) + 1


class OneWay(JsonCodec):
    """Writes what it can't read."""

    def decode(self, event: RecordedEvent) -> Any:
        if event.name == "Sealed":
            raise mainstem.DecodeError(event.stream_id, event.event_id, event.name, "it is sealed")
        return super().decode(event)


@pytest.mark.parametrize("looks", [False, True])
def test_an_event_that_could_not_be_read_back_is_not_written(tmp_path: Path, looks: bool) -> None:
    def seen(state: int, event: RecordedEvent) -> int:
        return state + (event.payload is None if looks else 1)

    sealing: Decider[int, int] = Decider(lambda: 0, seen, lambda n, _: [NewEvent("Sealed", n)])
    with mainstem.connect(f"sqlite:///{tmp_path}/shop.db", codec=OneWay()) as store:
        with pytest.raises(mainstem.DecodeError, match="sealed"):
            store.handle(sealing, "account-1", 1)
        assert store.head() == 0


@pytest.mark.parametrize("conflicts", [0, 1, 3])
@pytest.mark.parametrize("snapshots", [None, Snapshots(2, "s", dict[str, list[int]])])
def test_a_state_that_is_changed_in_place_has_each_event_once(
    store: mainstem.Store, conflicts: int, snapshots: Snapshots | None
) -> None:
    seen: list[list[int]] = []

    def grow(state: dict[str, list[int]], event: RecordedEvent) -> dict[str, list[int]]:
        state.setdefault("amounts", []).append(event.payload["amount"])
        return state

    rivals = interrupted_by(store, conflicts)

    def noting(amount: int, state: dict[str, list[int]]) -> Any:
        seen.append(list(state.get("amounts", [])))
        return rivals.decide(amount, Account(100))

    decider: Decider[dict[str, list[int]], int] = Decider(dict, grow, noting, snapshots)
    for _ in range(3):
        handled = store.handle(decider, "account-1", 7)
        written = [event.payload["amount"] for event in store.read("account-1")]
        assert handled.state == {"amounts": written}
        assert written[:-1] == seen[-1]


def test_the_state_is_what_a_reload_gives_also_where_it_has_times_and_places(
    store: mainstem.Store,
) -> None:
    def last(_: Any, event: RecordedEvent) -> Any:
        return event.recorded_at, event.position

    def kept(events: list[RecordedEvent], event: RecordedEvent) -> list[RecordedEvent]:
        return [*events, event]

    def pair(_: int, __: Any) -> list[NewEvent]:
        return [NewEvent("Booked", {"amount": 1}), NewEvent("Booked", {"amount": 2})]

    timed: Decider[Any, int] = Decider(lambda: None, last, pair)
    keeping: Decider[list[RecordedEvent], int] = Decider(list, kept, pair)
    for decider in (timed, keeping):
        for _ in range(2):
            handled = store.handle(decider, "account-1", 1)
            events = list(store.read("account-1"))
            assert handled.state == decider.fold(decider.initial(), events)
            assert handled.events == events[-2:]


def test_what_fails_once_it_is_written_does_not_look_as_if_it_was_not(
    store: mainstem.Store,
) -> None:
    """A state that depends on what is known only afterwards, and does not take it."""

    def strict(account: Account, event: RecordedEvent) -> Account:
        if event.position is not None:
            raise ZeroDivisionError("no place is good enough")
        return evolve(account, event)

    with pytest.raises(AppendOutcomeUnknown, match="no place is good enough") as caught:
        store.handle(Decider(Account, strict, decide), "account-1", 7)
    again = store.handle(accounts, "account-1", 7, commit_id=caught.value.commit_id)
    assert again.repeated
    assert store.version("account-1") == 1


def test_a_commit_id_that_was_used_for_other_events_is_a_repeat(store: mainstem.Store) -> None:
    def sent_twice(amount: int, account: Account) -> list[NewEvent]:
        if store.version("account-1") == 0:
            store.append(
                "account-1", [NewEvent("Booked", {"amount": 1})] * 2, expected=0, commit_id="c"
            )
        return decide(amount, account)

    handled = store.handle(Decider(Account, evolve, sent_twice), "account-1", 7, commit_id="c")
    assert handled.repeated
    assert (handled.version, handled.state) == (2, Account(2))


def test_many_threads_lose_no_update_and_break_no_rule(store: mainstem.Store) -> None:
    store.append("account-1", [NewEvent("Booked", {"amount": 15})], expected=0)

    def withdraw(_: int) -> bool:
        try:
            store.handle(accounts, "account-1", -1, attempts=100)
        except Overdrawn:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(withdraw, range(20)))
    assert done.count(True) == 15
    assert sum(event.payload["amount"] for event in store.read("account-1")) == 0


def test_pauses_double_up_to_a_bound_and_are_jittered() -> None:
    def pauses(jitter: float) -> list[float]:
        operation = handle(
            SqliteAdapter("test"),
            JsonCodec(),
            accounts,
            "account-1",
            1,
            attempts=12,
            jitter=lambda: jitter,
        )
        slept: list[float] = []

        def carry_out(request: object) -> object:
            if isinstance(request, Sleep):
                slept.append(request.seconds)
                return None
            if isinstance(request, Write):
                raise VersionConflict("account-1", 0, mainstem.Version(1))
            return StreamPage([], mainstem.Version(0), more=False)

        with pytest.raises(TooManyConflicts):
            in_thread(operation, carry_out)
        return slept

    assert pauses(1.0)[:4] == [0.002, 0.004, 0.008, 0.016]
    assert pauses(0.0)[:4] == [0.001, 0.002, 0.004, 0.008]
    assert max(pauses(1.0)) == 0.5
    assert len(pauses(0.5)) == 11


def test_metadata_is_added_to_every_event(store: mainstem.Store) -> None:
    def twice(_: int, __: Account) -> list[NewEvent]:
        return [
            NewEvent("Booked", {"amount": 1}),
            NewEvent("Booked", {"amount": 2}, {"by": "Eve", "via": "web"}),
        ]

    decider: Decider[Account, int] = Decider(Account, evolve, twice)
    handled = store.handle(decider, "account-1", 1, metadata={"by": "Ada", "request": "r-1"})
    assert [event.metadata for event in handled.events] == [
        {"by": "Ada", "request": "r-1"},
        {"by": "Eve", "request": "r-1", "via": "web"},
    ]


def test_a_command_that_was_handled_before_is_not_decided_again(store: mainstem.Store) -> None:
    store.append("account-1", [NewEvent("Booked", {"amount": 5})], expected=0)
    first = store.handle(accounts, "account-1", -5, commit_id="withdrawal-1")
    store.append("account-1", [NewEvent("Booked", {"amount": 1})], expected=2)

    again = store.handle(accounts, "account-1", -5, commit_id="withdrawal-1")
    assert again.repeated
    assert again.attempts == 0
    assert (again.version, again.state, again.events) == (2, Account(0), first.events)
    assert store.version("account-1") == 3


def test_a_repeat_that_races_with_its_first_attempt_takes_effect_once(
    store: mainstem.Store,
) -> None:
    first: list[object] = []

    def sent_twice(amount: int, account: Account) -> list[NewEvent]:
        if not first:  # the earlier attempt arrives while the repeat is deciding
            first.append(store.handle(accounts, "account-1", amount, commit_id="deposit-1"))
        return decide(amount, account)

    decider: Decider[Account, int] = Decider(Account, evolve, sent_twice)
    handled = store.handle(decider, "account-1", 5, commit_id="deposit-1")
    assert handled.repeated
    assert handled.state == Account(5)
    assert store.version("account-1") == 1


class Model(pydantic.BaseModel):
    balance: int = 0


def snapshot_accounts(
    every: int = 5, schema: str = "account-1", folded: list[int] | None = None
) -> Decider[Account, int]:
    def counting(account: Account, event: RecordedEvent) -> Account:
        if folded is not None:
            folded.append(event.event_id)
        return evolve(account, event)

    return Decider(Account, counting, decide, Snapshots(every, schema, Account))


def test_a_snapshot_spares_the_folding_of_what_is_before_it(store: mainstem.Store) -> None:
    for _ in range(12):
        store.handle(snapshot_accounts(), "account-1", 1)
    folded: list[int] = []
    handled = store.handle(snapshot_accounts(folded=folded), "account-1", 1)
    assert folded == [10, 11, 12]
    assert handled.state == Account(13)


def test_another_schema_name_ignores_old_snapshots(store: mainstem.Store) -> None:
    for _ in range(6):
        store.handle(snapshot_accounts(), "account-1", 1)
    folded: list[int] = []
    store.handle(snapshot_accounts(schema="account-2", folded=folded), "account-1", 1)
    assert folded == list(range(7))


def test_a_pydantic_model_can_be_the_state(store: mainstem.Store) -> None:
    def evolve_model(model: Model, event: RecordedEvent) -> Model:
        return Model(balance=model.balance + event.payload["amount"])

    decider: Decider[Model, int] = Decider(
        Model, evolve_model, lambda amount, _: decide(amount, Account()), Snapshots(2, "m", Model)
    )
    for _ in range(5):
        handled = store.handle(decider, "account-1", 1)
    assert handled.state == Model(balance=5)


def test_a_snapshot_that_does_not_fit_is_reported_and_folded_over(
    store: mainstem.Store, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(6):
        store.handle(snapshot_accounts(), "account-1", 1)
    broken = StoredSnapshot("account-1", "account-1", mainstem.Version(6), '{"balance": "?"}')
    store._driver.run(store._adapter.save_snapshot(broken))
    with caplog.at_level(logging.WARNING, "mainstem"):
        handled = store.handle(snapshot_accounts(), "account-1", 1)
    assert handled.state == Account(7)
    assert "Take a new schema name" in caplog.text


def test_a_command_is_handled_even_if_its_snapshot_cannot_be_kept(
    store: mainstem.Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def busy(self: SqliteAdapter, snapshot: StoredSnapshot) -> Any:
        raise StoreBusy("locked")

    monkeypatch.setattr(SqliteAdapter, "save_snapshot", busy)
    handled = store.handle(snapshot_accounts(every=1), "account-1", 1)
    assert handled.version == 1
    assert "No snapshot of stream 'account-1' was kept: locked" in caplog.text


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda store: store.handle(accounts, "account-1", 1, attempts=0), InvalidInput),
        (lambda store: store.handle(accounts, "account-1", 1, commit_id=""), InvalidInput),
        (lambda store: store.handle(accounts, "", 1), InvalidInput),
        (lambda store: store.handle(accounts, "a", 1, metadata={"$version": 1}), EncodeError),
        (lambda store: Snapshots(0, "s", Account), InvalidInput),
        (lambda store: Snapshots(1, "", Account), InvalidInput),
        (lambda store: Snapshots(1, "s", int | list[int] | set[int]), InvalidInput),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    store: mainstem.Store, call: Callable[[mainstem.Store], object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        call(store)
    assert store.head() == 0


def stepped(
    store: mainstem.Store, operation: Op[Handled[Account]], before: Callable[[int, object], None]
) -> Handled[Account]:
    """Run an operation request by request, with something else happening before each of them."""

    def one(request: object) -> Op[Any]:
        return (yield request)

    request = next(operation)
    for step in itertools.count():
        before(step, request)
        try:
            answer = store._driver.run(one(request))
        except mainstem.MainstemError as error:
            advance: Callable[[], object] = partial(operation.throw, error)
        else:
            advance = partial(operation.send, answer)
        try:
            request = advance()
        except StopIteration as done:
            handled: Handled[Account] = done.value
            return handled
    raise AssertionError


@pytest.mark.parametrize("conflict", [False, True])
@pytest.mark.parametrize("interrupted", range(8))
def test_a_command_sent_twice_takes_effect_once_wherever_the_two_meet(
    store: mainstem.Store, interrupted: int, conflict: bool
) -> None:
    store.append("account-1", [NewEvent("Booked", {"amount": 5})], expected=0)
    twin: list[Handled[Account]] = []
    rivals = iter([NewEvent("Booked", {"amount": 1})] if conflict else [])

    def meanwhile(step: int, request: object) -> None:
        if isinstance(request, Write):
            for rival in rivals:
                store.append("account-1", [rival], expected=ANY)
        if step == interrupted:
            twin.append(store.handle(accounts, "account-1", 7, commit_id="deposit-1"))

    operation = handle(store._adapter, store.codec, accounts, "account-1", 7, commit_id="deposit-1")
    handled = stepped(store, operation, meanwhile)
    amounts = [event.payload["amount"] for event in store.read("account-1")]
    assert amounts.count(7) == 1
    assert [event.payload["amount"] for event in handled.events] == [7]
    assert all(other.events == handled.events for other in twin)


def test_a_failure_to_read_back_does_not_claim_that_nothing_was_written(
    store: mainstem.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing_once_written(step: int, request: object) -> None:
        if store.version("account-1") == 1 and not isinstance(request, Write):
            monkeypatch.setattr(store._driver, "run", unreadable)

    def unreadable(operation: Op[Any]) -> Any:
        operation.close()
        raise StoreBusy("locked")

    operation = handle(store._adapter, store.codec, accounts, "account-1", 7)
    with pytest.raises(AppendOutcomeUnknown, match="locked") as caught:
        stepped(store, operation, failing_once_written)
    monkeypatch.undo()

    again = store.handle(accounts, "account-1", 7, commit_id=caught.value.commit_id)
    assert again.repeated
    assert again.state == Account(7)


@pytest.mark.parametrize("decided", [NewEvent("Booked", {"amount": 1}), "Booked", {"amount": 1}, 7])
def test_a_decision_that_is_no_list_of_events_is_refused(
    store: mainstem.Store, decided: Any
) -> None:
    careless: Decider[Account, int] = Decider(Account, evolve, lambda _, __: decided)
    with pytest.raises(InvalidInput, match=r"decide returned .* list"):
        store.handle(careless, "account-1", 1)
    assert store.head() == 0


def test_a_long_load_leaves_a_snapshot_even_if_nothing_is_decided(store: mainstem.Store) -> None:
    store.append("account-1", [NewEvent("Booked", {"amount": 1})] * 7, expected=0)
    store.handle(snapshot_accounts(), "account-1", 0)
    folded: list[int] = []
    assert store.handle(snapshot_accounts(folded=folded), "account-1", 0).state == Account(7)
    assert folded == []


def test_a_command_keeps_no_more_than_one_snapshot(
    store: mainstem.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    save = SqliteAdapter.save_snapshot

    def counting(self: SqliteAdapter, snapshot: StoredSnapshot) -> Op[None]:
        kept.append(snapshot.version)
        return save(self, snapshot)

    monkeypatch.setattr(SqliteAdapter, "save_snapshot", counting)
    store.append("account-1", [NewEvent("Booked", {"amount": 1})] * 7, expected=0)
    store.handle(snapshot_accounts(), "account-1", 1)
    assert kept == [7]


def test_a_state_that_would_come_back_changed_is_not_kept(
    store: mainstem.Store, caplog: pytest.LogCaptureFixture
) -> None:
    """Numbers as keys come back as text, so that the seat would be free again."""

    def sell(seat: int, sold: dict[int, str]) -> list[NewEvent]:
        return [] if seat in sold else [NewEvent("SeatSold", {"seat": seat})]

    seats: Decider[dict[int, str], int] = Decider(
        dict,
        lambda sold, event: {**sold, event.payload["seat"]: "sold"},
        sell,
        Snapshots(1, "seats", dict),
    )
    assert store.handle(seats, "concert-1", 5).result is not None
    assert store.handle(seats, "concert-1", 5).result is None
    assert "would come back from it as something else" in caplog.text

    typed = Decider(dict, seats.evolve, sell, Snapshots(1, "typed", dict[int, str]))
    assert store.handle(typed, "concert-1", 6).state == {5: "sold", 6: "sold"}
    assert store.handle(typed, "concert-1", 6).result is None


def test_a_state_that_cannot_be_encoded_does_not_make_the_command_fail(
    store: mainstem.Store, caplog: pytest.LogCaptureFixture
) -> None:
    class Moody(pydantic.BaseModel):
        @pydantic.model_serializer
        def fail(self) -> dict[str, Any]:
            raise KeyError("not today")

    moody: Decider[Moody, int] = Decider(
        Moody, lambda state, _: state, lambda n, _: decide(n, Account()), Snapshots(1, "m", Moody)
    )
    assert store.handle(moody, "account-1", 1).version == 1
    assert "not today" in caplog.text


def test_a_snapshot_of_events_that_are_gone_goes(
    store: mainstem.Store, caplog: pytest.LogCaptureFixture
) -> None:
    """As after the events, but not the snapshots, were restored from an older copy."""
    store.append("account-1", [NewEvent("Booked", {"amount": 1})] * 2, expected=0)
    later = StoredSnapshot("account-1", "account-1", mainstem.Version(9), '{"balance":90}')
    store._driver.run(store._adapter.save_snapshot(later))
    # Once the stream has so many events again, it would be taken for theirs.
    with caplog.at_level(logging.WARNING, "mainstem"):
        assert store.handle(snapshot_accounts(every=100), "account-1", 1).state == Account(3)
    assert "restored from an older copy" in caplog.text
    assert store._driver.run(store._adapter.load_snapshot("account-1", "account-1")) is None
    store.append("account-1", [NewEvent("Booked", {"amount": 1})] * 9, expected=3)
    assert store.handle(snapshot_accounts(every=100), "account-1", 1).state == Account(13)


def test_a_snapshot_that_can_not_be_removed_fails_nothing(
    store: mainstem.Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store.append("account-1", [NewEvent("Booked", {"amount": 1})] * 2, expected=0)
    later = StoredSnapshot("account-1", "account-1", mainstem.Version(9), '{"balance":9}')
    store._driver.run(store._adapter.save_snapshot(later))

    def denied(*_: object) -> Any:
        raise mainstem.StoreReadOnly("it can't be written")

    monkeypatch.setattr(SqliteAdapter, "delete_snapshot", denied)
    assert store.handle(snapshot_accounts(every=100), "account-1", 1).state == Account(3)
    assert "it can't be written" in caplog.text
