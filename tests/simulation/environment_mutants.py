"""What functions that read the log do, broken on purpose: each is to be seen by `environments`."""

from __future__ import annotations

from simulation.mutation import Edit, Mutant

SCENARIO = "simulation.environments"

MUTANTS = (
    Mutant(
        "a batch is handed out without a look at the claim",
        "fence first",
        [Edit("aws.reading", "        look()\n", "")],
    ),
    Mutant(
        "the claim is looked at before the page is read, not after",
        "fence first",
        [
            Edit(
                "aws.reading",
                "        page = self._tables.run(\n",
                "        turn = _Turn(lambda: self._look(progress), deadline)\n"
                "        page = self._tables.run(\n",
            ),
            Edit(
                "aws.reading",
                "        turn = _Turn(lambda: self._look(progress), deadline)\n"
                "        with self._observer",
                "        with self._observer",
            ),
        ],
    ),
    Mutant(
        "of the requests to a target only the first is sent behind a look",
        "fence first",
        [Edit("aws.reading", "if not self._just_looked:", "if False:")],
    ),
    Mutant(
        "requests to a target are sent two for each look",
        "fence first",
        [Edit("aws.reading", "self._just_looked = False", "self._just_looked ^= True")],
    ),
    Mutant(
        "a publisher does not ask before it sends",
        "fence first",
        [
            Edit(
                "aws.publishing.publisher",
                "            if out_of_time():\n                return sending.leading()\n",
                "",
            )
        ],
    ),
    Mutant(
        "the claim is read eventually consistently",
        "fence first",
        [
            Edit(
                "dynamodb.checkpoints",
                "attributes=FENCE,",
                "attributes=FENCE, consistent=False,",
            )
        ],
    ),
    Mutant(
        "a reset leaves the fencing number as it is",
        "fence first",
        [
            Edit(
                "dynamodb.items.checkpoint_item",
                '"SavedAt": stored.saved_us,\n        },\n        add={"Fence": 1},',
                '"SavedAt": stored.saved_us,\n        },\n        add={},',
            )
        ],
    ),
    Mutant(
        "a claim that was lost is kept",
        "progress",
        [Edit("aws.reading", "            del self._held[partition]\n", "")],
    ),
)
