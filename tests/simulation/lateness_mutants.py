"""What watches how far the log is behind, broken on purpose: each is to be seen by `lateness`."""

from __future__ import annotations

from simulation.mutation import Edit, Mutant

SCENARIO = "simulation.lateness"


def _mutant(name: str, old: str, new: str) -> Mutant:
    return Mutant(name, "lateness", [Edit("dynamodb.changes.lateness", old, new)])


MUTANTS = (
    _mutant(
        "the first event that the log lacks is taken to be in it",
        "counts[each.stream_id] <= each.last_id",
        "counts[each.stream_id] < each.last_id",
    ),
    _mutant(
        "what is not in the log is looked at once, and passed over",
        "                place.read = place.read[known:]\n",
        "                place.read = place.read[known:]\n"
        "            known, place.read = len(place.read), []\n",
    ),
    _mutant(
        "a place is saved behind what was read, not behind what is in the log",
        "last = place.read[known - 1]",
        "last = place.read[-1]",
    ),
    _mutant(
        "a shard that has ended is done with, though its last events are not in the log",
        "place.ended = page.ended and not place.read",
        "place.ended = page.ended",
    ),
    _mutant(
        "a shard that ended before it was seen is passed over",
        "if is_first and shard.last_sequence is not None:",
        "if shard.last_sequence is not None:",
    ),
    _mutant(
        "the youngest of what waits in the shards is told",
        "        oldest_s = min(\n",
        "        oldest_s = max(\n",
    ),
    _mutant(
        "where there is no time, nothing is late",
        "return self.seen_s if self.newest_s is None else max(self.seen_s, self.newest_s)",
        "return None",
    ),
    _mutant(
        "where there is no time, a shard that has told nothing is not late",
        "return self.seen_s if self.newest_s is None else max(self.seen_s, self.newest_s)",
        "return None if self.newest_s is None else max(self.seen_s, self.newest_s)",
    ),
    _mutant(
        "a look that came to an event that waits counts as one to the very end",
        "if place.seen_s is None:\n                    place.seen_s = place.read[0].created_s",
        "if True:\n                    place.seen_s = self._begun_s",
    ),
    _mutant(
        "a shard that was looked at to its end is not looked at again",
        "            place.at_end = place.ended\n        for",
        "            place.at_end = place.ended or place.at_end\n        for",
    ),
    _mutant(
        "the age is that of the event behind which the log has something",
        "return self.read[0].created_s",
        "return self.read[-1].created_s",
    ),
)
