"""Each item of the DynamoDB tables has one module that spells its attributes."""

from __future__ import annotations

import ast
import re

import pytest

from source_help import imports, modules

ITEMS = "mainstem.dynamodb.items"
CLIENT = "mainstem.dynamodb.client"  # knows no items: these words are DynamoDB's own there
STEPS = f"{ITEMS}.migrations"  # spell formats that nobody else knows any more

OWNED = {
    "layout": "pk sk Listing Name StreamId EventId EventName Payload Metadata RecordedAt CommitId "
    "CommitFirst CommitLast Position",
    "block_items": "Count Latest Events Sequenced",
    "cursor_item": "Count Last",
    "partition_item": "Settled Latest Segmented Reclaimed Settling",
    "marker_item": "CommitId First",
    "checkpoint_item": "Fence Position SavedAt",
    "snapshot_item": "Version State",
    "lease_item": "Owner Beat Fence Sequence Ended Losses Repaired Seen",
    "repair_items": "Run Began Segments Reason Finished Ended Items Events ReadUnits AfterStream AfterEvent "
    "Holes Unreadable Positions Markers",
    "table_item": "Format Partitions EpochBits Attributes Stream MadeAt Markers",
    "verification_item": "After",
    "lateness_item": "Stream Shards",
}
"""Each owner, and the attributes of its items. Every word here is stored: none can be changed."""

OWNERS = {f"{ITEMS}.{name}": set(words.split()) for name, words in OWNED.items()}
WORDS = set().union(*OWNERS.values())


def spelled(tree: ast.Module) -> set[str]:
    """The texts of a module, those of f-strings taken apart."""
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def handles_items(name: str, tree: ast.Module) -> bool:
    """Whether a module may make requests, or read what they are answered."""
    if name.startswith("mainstem.dynamodb"):
        return not name.startswith((CLIENT, STEPS))
    return f"{CLIENT}.requests" in imports(tree)


HANDLING = [name for name, tree in modules().items() if handles_items(name, tree)]


@pytest.mark.parametrize("name", HANDLING)
def test_an_attribute_is_spelled_only_where_its_item_is_owned(name: str) -> None:
    assert spelled(modules()[name]) & WORDS <= OWNERS.get(name, set())


@pytest.mark.parametrize("name", OWNERS)
def test_an_owner_spells_its_own_attributes_and_no_others(name: str) -> None:
    words = {text for text in spelled(modules()[name]) if re.fullmatch("[A-Z][A-Za-z]+", text)}
    assert words == OWNERS[name] - {"pk", "sk"}
