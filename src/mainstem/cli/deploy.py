"""``mainstem template``, ``package``, ``deploy`` and ``destroy``: a store's stack on AWS."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table
from rich.text import Text

from mainstem.cli.options import json_option
from mainstem.cli.output import bytes_shown, console, print_json, report_of, say, tell, writing
from mainstem.cli.store import ChosenStore, pass_chosen
from mainstem.cli.tables import attributes_of
from mainstem.registry import scheme_of
from mainstem.text.printable import printable, quoted

if TYPE_CHECKING:
    from mainstem.aws.deployment import Plan
    from mainstem.aws.destruction import Remains
    from mainstem.aws.progress import Event

_ATTRIBUTE = click.option(
    "--attribute",
    "renamed",
    multiple=True,
    metavar="NAME=OTHER",
    help="Give an attribute of the events table another name, such as stream_id=AggregateId; repeatable.",
)
_YES = click.option("--yes", is_flag=True, help="Do it without asking.")


@click.command("template", epilog="Example: mainstem template --output store.template.json")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file.  [default: print it]"
)
@_ATTRIBUTE
def template(output: Path | None, renamed: Sequence[str]) -> None:
    """Print the CloudFormation template of a store, for pipelines of your own.

    It is the same for every store; only its parameters differ. It needs the functions' bundle, which
    `mainstem package` builds, in an S3 bucket. `mainstem deploy` does all of this at once.
    """
    _check_installed()
    import json

    from mainstem.aws.stack.template import template as made
    from mainstem.dynamodb import AttributeNames

    text = json.dumps(made(AttributeNames(**attributes_of(renamed))), indent=1) + "\n"
    if output is None:
        say(text.rstrip("\n"))
    else:
        with writing(output):
            output.write_text(text)


@click.command("package", epilog="Example: mainstem package --output mainstem.zip")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("mainstem-lambda.zip"),
    show_default=True,
    help="The zip file.",
)
@click.option("--python", default="3.13", show_default=True, help="The functions' Python.")
@click.option(
    "--architecture",
    type=click.Choice(["arm64", "x86_64"]),
    default="arm64",
    show_default=True,
    help="The functions' processor.",
)
@json_option
def package(output: Path, python: str, architecture: str, *, for_programs: bool) -> None:
    """Build the bundle for Lambda functions: Mainstem, and the libraries that Lambda's Python lacks.

    The same version makes the same bytes. Needs pip or uv, and a package index.
    """
    _check_installed()
    from mainstem.aws.bundle import build

    bundle = build(python, architecture)
    with writing(output):
        output.write_bytes(bundle.data)
    told = {
        "file": str(output),
        "bytes": len(bundle.data),
        "unpacked_bytes": bundle.unpacked_bytes,
        "files": bundle.files,
        "sha256": bundle.digest,
    }
    with report_of(f"{printable(str(output))} is written."):
        if for_programs:
            print_json(told)
        else:
            say(
                f"{output}: {bytes_shown(len(bundle.data))}, {bytes_shown(bundle.unpacked_bytes)} unpacked, "
                f"for Python {python} on {architecture}."
            )


@click.command("deploy", epilog="Example: mainstem deploy --parameter BatchingWindow=5")
@click.option(
    "--parameter",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a parameter of the template, such as AlarmTopicArn=arn:aws:sns:...; repeatable.",
)
@click.option(
    "--publish-to",
    metavar="ARN",
    help="Send every event to this EventBridge bus, SNS topic, SQS queue or Kinesis stream.",
)
@click.option(
    "--code-bucket",
    metavar="NAME",
    help="The account's bucket for the functions' bundle.  [default: that of the last deployment, or a new "
    "one]",
)
@_ATTRIBUTE
@click.option("--plan", "only_plan", is_flag=True, help="Show what would be done, and do nothing.")
@_YES
@json_option
@pass_chosen
def deploy(
    chosen: ChosenStore,
    given: Sequence[str],
    publish_to: str | None,
    code_bucket: str | None,
    renamed: Sequence[str],
    *,
    only_plan: bool,
    yes: bool,
    for_programs: bool,
) -> int | None:
    """Deploy a store: tables, functions, alarms and dashboard, as one CloudFormation stack.

    The URL names the store: dynamodb://shop is the stack mainstem-shop. Its options partitions and sequencing
    are parameters of the stack (with sequencing=stream a function puts events into the log). Deploy
    again to change something. Shows the plan first. Uses the AWS credentials of the environment.
    """
    chosen.check_needs("deployment")
    from mainstem.aws.account import Account
    from mainstem.aws.deployment import Deployment
    from mainstem.dynamodb import AttributeNames

    names = AttributeNames(**attributes_of(renamed)) if renamed else None
    deployment = Deployment(
        Account(chosen.url),
        _parameters(given, publish_to),
        attributes=names,
        code_bucket=code_bucket,
    )
    plan = deployment.plan(lambda text: None if for_programs else tell(f"{text} …"))
    if not for_programs:
        _show_plan(plan)
    if plan.change_set is None:
        if for_programs:
            print_json(_told(plan, deployed=False))
        return None
    try:
        agreed = not only_plan and (yes or _confirmed("Deploy it?", for_programs=for_programs))
    except BaseException:
        deployment.discard(plan)
        raise
    if not agreed:
        deployment.discard(plan)
        if for_programs:
            print_json(_told(plan, deployed=False))
        return None if only_plan else 1
    try:
        deployment.carry_out(plan, lambda event: None if for_programs else _tell_event(event))
    except KeyboardInterrupt:
        tell("Interrupted. CloudFormation goes on; the same command shows how far it got.")
        raise
    with report_of(f"The stack {plan.stack} is deployed."):
        if for_programs:
            print_json(_told(plan, deployed=True))
        else:
            say(f"The stack {plan.stack} is deployed. Try: mainstem --url '{chosen.url}' status")
    return None


@click.command("destroy", epilog="Example: mainstem destroy --delete-data shop")
@click.option(
    "--delete-data",
    "data_of",
    metavar="NAME",
    help="Also delete the tables with all events, and the dead letters: repeat the store's name.",
)
@click.option("--plan", "only_plan", is_flag=True, help="Show what would be done, and do nothing.")
@_YES
@json_option
@pass_chosen
def destroy(
    chosen: ChosenStore, data_of: str | None, *, only_plan: bool, yes: bool, for_programs: bool
) -> int | None:
    """Delete a store's stack: functions, alarms, dashboard. Its tables and dead letters stay.

    With --delete-data and the store's name, they are deleted, too, for good. Shows first what would be
    deleted and what would stay. Does not touch a stack of another store.
    """
    chosen.check_needs("deployment")
    from mainstem.aws.account import Account
    from mainstem.aws.destruction import Destruction

    destruction = Destruction(Account(chosen.url))
    destruction.check_name(data_of)
    remains = destruction.look()
    if not for_programs:
        _show_remains(remains, deletes_data=data_of is not None)
    if only_plan or not (yes or _confirmed("Go on?", for_programs=for_programs)):
        if for_programs:
            print_json(_remains_told(remains, data_of, destroyed=False))
        return None if only_plan else 1
    try:
        destruction.carry_out(
            remains,
            data_of=data_of,
            tell=lambda event: None if for_programs else _tell_event(event),
        )
    except KeyboardInterrupt:
        tell("Interrupted. CloudFormation goes on; the same command does the rest.")
        raise
    with report_of("The stack is deleted."):
        if for_programs:
            print_json(_remains_told(remains, data_of, destroyed=True))
        else:
            say(_destroyed(remains, deletes_data=data_of is not None))
    return None


def _destroyed(remains: Remains, *, deletes_data: bool) -> str:
    """What was done, and what is left of the store."""
    done = "There was no stack to delete." if remains.stack is None else "The stack is deleted."
    if deletes_data:
        return f"{done} Its data is deleted, too."
    kept = [f"the table {name}" for name in remains.tables]
    if remains.bucket is not None:
        kept.append(f"the bucket {remains.bucket}")
    if not kept:
        return f"{done} Nothing of the store is left."
    advice = " mainstem deploy uses the tables again." if remains.tables else ""
    return f"{done} Kept: {', '.join(kept)}.{advice}"


def _remains_told(remains: Remains, data_of: str | None, *, destroyed: bool) -> dict[str, Any]:
    return {**remains._asdict(), "deletes_data": data_of is not None, "destroyed": destroyed}


def _told(plan: Plan, *, deployed: bool) -> dict[str, Any]:
    changes = [each._asdict() for each in plan.changes]
    return {"stack": plan.stack, "changes": changes, "deployed": deployed}


def _parameters(given: Sequence[str], publish_to: str | None) -> dict[str, str]:
    from mainstem.aws.publishing.arns import parse

    found: dict[str, str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or name in found:
            raise click.UsageError(
                f"--parameter {quoted(each)}: give each name once, as NAME=VALUE."
            )
        found[name] = value
    if publish_to is not None:
        service = parse(publish_to).service if publish_to else "events"
        found |= {"PublishTo": publish_to, "PublishService": service}
    return found


def _show_plan(plan: Plan) -> None:
    what = "a new stack" if plan.is_new else "the stack as it is"
    say(f"\n{plan.stack}: {what}, functions from {plan.code}")
    if plan.makes_bucket:
        say("The bucket for them was made.")
    if plan.uses_tables:
        say("The store's tables exist already. The stack uses them but does not own them.")
    for name, value in sorted(plan.parameters.items()):
        say(f"  {name} = {printable(value) or '(none)'}")
    if not plan.changes:
        say("There is nothing to change.")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("", "resource", "kind"):
        table.add_column(heading)
    styles = {"Add": "green", "Modify": "yellow", "Remove": "red"}
    for change in plan.changes:
        action = f"{change.action}, replaced" if change.replaced else change.action
        style = "red" if change.replaced else styles.get(change.action, "")
        table.add_row(Text(action, style), change.name, change.kind.removeprefix("AWS::"))
    console().print(table)


def _show_remains(remains: Remains, *, deletes_data: bool) -> None:
    if remains.stack is None:
        say("There is no stack.")
    else:
        say(f"The stack's {len(remains.resources)} resources would be deleted.")
    verb = "would be DELETED FOR GOOD" if deletes_data else "would be kept"
    for table, items in remains.tables.items():
        say(f"  table {table}, some {items:,} items: {verb}")
    if remains.bucket is not None:
        say(f"  bucket {remains.bucket}, {remains.dead_letters:,} dead letters: {verb}")


def _tell_event(event: Event) -> None:
    reason = f": {printable(event.reason)}" if event.reason else ""
    tell(f"{event.status:<20} {event.name} ({event.kind.removeprefix('AWS::')}){reason}")


def _confirmed(question: str, *, for_programs: bool) -> bool:
    if for_programs or not sys.stdin.isatty():
        raise click.UsageError(
            "Standard input is not a terminal, so the command can't ask. Give --yes, or --plan to only "
            "see the plan."
        )
    return click.confirm(question)


def _check_installed() -> None:
    """Raises `InvalidInput` where what DynamoDB needs is not installed."""
    scheme_of("dynamodb://any")
