"""The list of streams: filters, pages, and an order that stays."""

from __future__ import annotations

from typing import Any

import pytest

from mainstem.blocking.store import Store
from mainstem.testing.contract.backend import MakeBackend
from mainstem.testing.contract.base import Base, fill, kept, new
from mainstem.testing.contract.log import NASTY_IDS, PREFIXES
from mainstem.values.events import Append
from mainstem.values.expected import ANY
from mainstem.values.stream_ids import category


def _fill_nasty(store: Store) -> None:
    for number, stream_id in enumerate(NASTY_IDS):
        fill(store, stream_id, number % 3 + 1)


class ListingContract(Base):
    @pytest.fixture
    def listed(self, request: pytest.FixtureRequest, make_backend: MakeBackend) -> Store:
        return kept(request, make_backend, _fill_nasty)

    def test_an_empty_store_has_no_streams(self, store: Store) -> None:
        assert list(store.streams()) == []

    def test_each_stream_comes_once_with_its_version(self, listed: Store) -> None:
        found = list(listed.streams())
        assert len(found) == len(NASTY_IDS)
        assert dict(found) == {
            stream_id: number % 3 + 1 for number, stream_id in enumerate(NASTY_IDS)
        }

    def test_the_order_of_streams_stays_when_others_are_born(self, store: Store) -> None:
        _fill_nasty(store)
        before = [info.stream_id for info in store.streams()]
        for stream_id in ("order-2", "zzz", "0", "order-\U0010fffe", *NASTY_IDS[:4]):
            store.append(stream_id, new("more"), expected=ANY)
        after = [info.stream_id for info in store.streams()]
        assert [stream_id for stream_id in after if stream_id in before] == before

    @pytest.mark.parametrize("prefix", PREFIXES)
    def test_streams_by_prefix(self, listed: Store, prefix: str) -> None:
        wanted = [info for info in listed.streams() if info.stream_id.startswith(prefix)]
        assert list(listed.streams(prefix=prefix)) == wanted

    @pytest.mark.parametrize("wanted", ["order", "orders", "", "\0", "\U0010ffff", "ord", "%"])
    def test_streams_by_category(self, listed: Store, wanted: str) -> None:
        infos = [info for info in listed.streams() if category(info.stream_id) == wanted]
        assert list(listed.streams(category=wanted)) == infos

    def test_streams_by_both(self, listed: Store) -> None:
        wanted = ["order-1", "order-1-2", "order-10"]
        found = listed.streams(category="order", prefix="order-1")
        assert sorted(info.stream_id for info in found) == wanted

    @pytest.mark.parametrize("filters", [{}, {"category": "order"}, {"prefix": "order-"}])
    def test_a_walk_through_streams_goes_on_behind_any(
        self, listed: Store, filters: dict[str, Any]
    ) -> None:
        whole = list(listed.streams(**filters))
        for place, info in enumerate(whole):
            assert list(listed.streams(after=info.stream_id, **filters)) == whole[place + 1 :]

    @pytest.mark.parametrize("page", [1, 2, 5, 100])
    def test_streams_in_pages_are_the_same_list(self, listed: Store, page: int) -> None:
        found: list[str] = []
        while infos := list(listed.streams(after=found[-1] if found else None, max_count=page)):
            assert len(infos) <= page
            found += [info.stream_id for info in infos]
        assert found == [info.stream_id for info in listed.streams()]

    def test_at_most_as_many_streams_as_asked_for(self, listed: Store) -> None:
        whole = list(listed.streams())
        for max_count in (0, 1, len(whole) - 1, len(whole), len(whole) + 1):
            assert list(listed.streams(max_count=max_count)) == whole[:max_count]

    def test_more_than_a_page_of_streams(self, store: Store) -> None:
        ids = [f"s-{number:05}" for number in range(2_100)]
        step = min(100, store.limits.commit_streams)
        for start in range(0, len(ids), step):
            store.append_many(
                [Append(stream_id, new(0), 0) for stream_id in ids[start : start + step]]
            )
        found = [info.stream_id for info in store.streams()]
        assert sorted(found) == ids
        for max_count in (999, 1000, 1001, 2000):
            assert [i.stream_id for i in store.streams(max_count=max_count)] == found[:max_count]
