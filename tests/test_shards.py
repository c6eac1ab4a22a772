"""Which shards are read when and by whom, without any I/O."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.dynamodb.changes.shards import is_after, survey, to_take
from mainstem.dynamodb.client.requests import Shard
from mainstem.dynamodb.items.lease_item import Lease

# A tree: "a" has the children "b" and "c", and "c" has "d". The parent of "a" is long gone.
TREE = [
    Shard("a", "before", "1", "9"),
    Shard("b", "a", "10", None),
    Shard("c", "a", "10", "19"),
    Shard("d", "c", "20", None),
    Shard("e", None, "1", None),
]


def leases(**ended: bool) -> dict[str, Lease]:
    return {shard_id: Lease(shard_id, ended=value) for shard_id, value in ended.items()}


@pytest.mark.parametrize(
    ("ended", "readable"),
    [
        ({}, ("a", "e")),
        ({"a": False}, ("a", "e")),
        ({"a": True}, ("b", "c", "e")),
        ({"a": True, "b": True}, ("c", "e")),
        ({"a": True, "c": True}, ("b", "d", "e")),
    ],
)
def test_parents_are_read_to_their_end_before_their_children(
    ended: dict[str, bool], readable: tuple[str, ...]
) -> None:
    assert survey(TREE, leases(**ended)).readable == readable


def test_without_its_parent_a_shard_is_read_but_records_may_be_lost() -> None:
    assert survey(TREE, {}).unleased == (("a", True), ("e", True))
    assert survey(TREE, leases(a=True, e=False)).unleased == (("b", False), ("c", False))
    assert survey(TREE[1:], leases(a=True)).unleased == (("b", True), ("c", True), ("e", True))


def test_what_is_read_to_its_end_can_be_forgotten_once_it_is_described_no_more() -> None:
    found = survey(TREE[1:], leases(a=True, b=True))
    assert found.forgettable == ("a",)
    assert found.missing == frozenset()
    lost = Lease("a", ended=True, losses=2, repaired=1)
    assert survey(TREE[1:], {"a": lost}).forgettable == ()
    assert survey(TREE[1:], {"a": lost._replace(repaired=2)}).forgettable == ("a",)


def test_a_shard_that_vanished_unread_is_missing() -> None:
    found = survey(TREE[1:], leases(a=False))
    assert found.missing == {"a"}
    assert found.readable == ("b", "c", "e")


@given(st.integers(1, 12), st.data())
def test_any_tree_is_read_whole_and_in_order(size: int, data: st.DataObject) -> None:
    parents = [data.draw(st.sampled_from([None, *range(n)])) for n in range(size)]
    tree = [
        Shard(str(n), None if parent is None else str(parent), "0", None)
        for n, parent in enumerate(parents)
    ]
    known: dict[str, Lease] = {}
    while readable := survey(tree, known).readable:
        shard_id = data.draw(st.sampled_from(readable))
        parent = parents[int(shard_id)]
        assert parent is None or known[str(parent)].ended
        known[shard_id] = Lease(shard_id, ended=True)
    assert len(known) == size
    assert set(survey([], known).forgettable) == set(known)


OWNERS = st.sampled_from([None, "me", "one", "two"])


@given(st.lists(OWNERS, max_size=12), st.data())
def test_a_worker_takes_no_more_than_its_share(
    owners: list[str | None], data: st.DataObject
) -> None:
    given_leases = [Lease(str(n), owner) for n, owner in enumerate(owners)]
    silent = {lease.shard_id for lease in given_leases if data.draw(st.booleans())}
    silent = {each for each in silent if owners[int(each)] != "me"}
    taken = to_take(given_leases, "me", silent)
    free = [each for each in given_leases if each.owner is None or each.shard_id in silent]
    others = {each.owner for each in given_leases if each not in free} - {"me"}
    share = -(-len(owners) // (len(others) + 1))
    mine = owners.count("me")
    assert len(set(taken)) == len(taken)
    assert mine + len(taken) <= max(mine, share)
    if any(lease not in free for lease in taken):
        assert len(taken) == 1, "one at a time"
        assert not free


@given(st.integers(1, 5), st.integers(0, 20), st.randoms(use_true_random=False))
def test_workers_end_with_even_shares_and_rest(workers: int, shards: int, luck: object) -> None:
    owned: dict[str, str | None] = {str(n): None for n in range(shards)}
    names = [f"worker-{n}" for n in range(workers)]
    for _ in range(shards + 2 * workers):
        for name in names:
            for lease in to_take([Lease(*pair) for pair in owned.items()], name, ()):
                owned[lease.shard_id] = name
    counts = Counter(owned.values())
    assert None not in counts
    shares = [counts[name] for name in names]
    assert max(shares) - min(shares) <= 1
    for name in names:
        assert to_take([Lease(*pair) for pair in owned.items()], name, ()) == ()


def test_sequence_numbers_are_compared_as_numbers() -> None:
    assert is_after("100", "99")
    assert not is_after("99", "100")
    assert not is_after("7", "7")
    assert is_after("7", None)
