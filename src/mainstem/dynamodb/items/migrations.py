"""From an older format of the tables to the next one: a step for each.

There is only one format yet, so there are no steps. To raise `table_item.FORMAT_VERSION`, add the step
from the format before, and items of that format to the tests.

While a step is under way, the store says so in the place of its format, as ``"1 to 2"``. No release can open
it then, an older one included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.items.layout import Layout
from mainstem.port import Op
from mainstem.verbs import formats

Step: TypeAlias = Callable[[Layout, Context], Op[None]]
"""Changes the items to the next format. Of the layout only the names of the tables are known.

It may be interrupted at any request, and begun again, so it skips what it has done. It may also run in
two processes, one of which is late: then the store is open again and written in the next format. So each of
its writes has a condition that only an item of the older format meets. What it says of items stands in the
step itself: the modules that know the newest format change, and a step must not.
"""

STEPS: Final[Mapping[int, Step]] = {}
"""By the format that each leads from."""


def under_way(number: int) -> str:
    """The format of a store while the step from that format is under way."""
    return f"{number} to {number + 1}"


def begun_from(found: object) -> int | None:
    """The format whose step is under way, or None."""
    return next((number for number in STEPS if found == under_way(number)), None)


def advice(found: object, newest: int) -> str:
    """What to do with a store of that format."""
    if begun_from(found) is not None:
        return "An upgrade was begun and is not done: call mainstem.upgrade with the store's URL to go on."
    return formats.advice(found, newest, STEPS)
