"""``mainstem redrive``: what the sequencing function could not sequence."""

from __future__ import annotations

import click

from mainstem.cli.options import json_option
from mainstem.cli.output import print_json, report_of, say
from mainstem.cli.store import ChosenStore, pass_chosen
from mainstem.text.printable import printable


@click.command(epilog="Example: mainstem redrive")
@click.option(
    "--bucket",
    metavar="NAME",
    help="The bucket with the dead letters.  [default: that of the store's stack]",
)
@json_option
@pass_chosen
def redrive(chosen: ChosenStore, bucket: str | None, *, for_programs: bool) -> int | None:
    """Sequence the change records in the dead letters, which the sequencing function could not sequence.

    It skips events that are in the log already, and deletes each dead letter that is finished. You can
    repeat it, and run it while events are written. The exit code is 1 if some dead letters are left.
    """
    chosen.check_needs("maintenance")
    from mainstem.aws.account import Account
    from mainstem.aws.dead_letters import DeadLetters
    from mainstem.aws.redriving import bucket_of
    from mainstem.aws.redriving import redrive as run
    from mainstem.dynamodb.open import open_tables

    account = Account(chosen.url)
    letters = DeadLetters(bucket or bucket_of(account), account.s3)
    with open_tables(chosen.url) as maintenance:
        done = run(maintenance, letters)
    with report_of("The dead letters are redriven as far as they could be."):
        if for_programs:
            print_json(done._asdict())
        else:
            say(
                f"{done.letters:,} dead letters with {done.records:,} records: {done.removed:,} are finished."
            )
            for key in done.left:
                say(f"  left: s3://{letters.bucket}/{printable(key)}")
    return 1 if done.left else None
