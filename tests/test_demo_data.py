"""The demo's data, read model and sharing out, without any store."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest

from mainstem import NewEvent
from mainstem.demo.data import EVENTS, PUBLISHED, SourceEvent, load
from mainstem.demo.incidents import (
    ChangeMissing,
    Incident,
    RecordChanges,
    ServiceDesk,
    decide,
    evolve,
)
from mainstem.demo.sharing import Share, commits, share_out

SOURCE = load()


def results_of(source: Sequence[SourceEvent]) -> dict[str, int]:
    desk = ServiceDesk()
    for event in source:
        desk.apply(event.stream_id, event.event_name, event.payload)
    return desk.results()


def test_the_file_has_as_many_events_as_promised() -> None:
    assert len(SOURCE) == EVENTS


def test_folding_the_file_gives_the_published_results() -> None:
    assert results_of(SOURCE) == PUBLISHED


def test_results_depend_on_every_event() -> None:
    without_one = [
        event for event in SOURCE if (event.stream_id, event.event_id) != ("INC0003013", 2)
    ]
    assert results_of(without_one) != PUBLISHED


def test_the_first_lines_are_a_complete_log() -> None:
    versions: dict[str, int] = {}
    for event in load(1000):
        assert event.event_id == versions.get(event.stream_id, 0)
        versions[event.stream_id] = event.event_id + 1
    assert sum(versions.values()) == 1000


def test_a_change_is_recorded_once() -> None:
    change = NewEvent("IncidentOpened", {"active": True})
    new = Incident()
    assert decide(RecordChanges(0, [change]), new) == [change]
    assert decide(RecordChanges(0, [change]), evolve(new, change)) == []


def test_a_change_waits_for_those_before_it() -> None:
    with pytest.raises(ChangeMissing):
        decide(RecordChanges(1, [NewEvent("IncidentUpdated", {})]), Incident())


def test_an_incident_has_the_last_value_of_each_field() -> None:
    incident = Incident().changed({"priority": "3", "active": True}).changed({"active": None})
    assert incident == Incident(2, {"priority": "3", "active": None})


def test_a_commit_is_what_was_saved_of_an_incident_in_one_minute() -> None:
    all_commits = commits(SOURCE)
    assert [event for commit in all_commits for event in commit.events] == SOURCE
    assert any(len(commit.events) > 1 for commit in all_commits)
    for commit in all_commits:
        assert {(event.stream_id, event.recorded_at) for event in commit.events} == {
            (commit.stream_id, commit.events[0].recorded_at)
        }
        assert [event.event_id for event in commit.events] == list(
            range(commit.expected, commit.expected + len(commit.events))
        )


@pytest.mark.parametrize("writers", [2, 3, 4, 10, 11])
def test_every_commit_is_shared_out_once_and_met_ones_to_two_neighbours(writers: int) -> None:
    shares = share_out(SOURCE, writers)
    alone = [share.commit for own in shares for share in own if share.meeting is None]
    met = [
        (writer, share)
        for writer, own in enumerate(shares)
        for share in own
        if share.meeting is not None
    ]
    once = {(share.commit.stream_id, share.commit.expected) for _, share in met}
    assert len(met) == 2 * len(once)
    assert len(alone) + len(once) == len(commits(SOURCE))
    for writer, share in met:
        assert share.meeting in (writer, (writer - 1) % writers)
    assert not {commit.stream_id for commit in alone} & {stream_id for stream_id, _ in once}


@pytest.mark.parametrize("writers", [2, 3, 4, 10, 11])
def test_every_writer_has_about_as_much_to_do_and_keeps_each_streams_order(writers: int) -> None:
    shares = share_out(SOURCE, writers)
    for own in shares:
        assert len(own) == pytest.approx(len(SOURCE) / writers, rel=0.25)
        by_stream: dict[str, list[Share]] = {}
        for share in own:
            by_stream.setdefault(share.commit.stream_id, []).append(share)
        for steps in by_stream.values():
            for earlier, later in pairwise(steps):
                assert later.commit.expected == earlier.commit.expected + len(earlier.commit.events)


@pytest.mark.parametrize("writers", [2, 3, 4, 10, 11])
def test_both_writers_of_a_pair_meet_over_the_same_commits_in_the_same_order(writers: int) -> None:
    shares = share_out(SOURCE, writers)
    for first in range(writers):
        pair = [shares[first], shares[(first + 1) % writers]]
        meetings = [[share.commit for share in own if share.meeting == first] for own in pair]
        assert meetings[0] == meetings[1] != []
