"""``mainstem template``, ``package``, ``deploy`` and ``destroy``: a store's stack on AWS."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mainstem.cli.options import json_option
from mainstem.cli.output import bytes_shown, print_json
from mainstem.cli.store import Place, pass_place
from mainstem.cli.tables import attributes_of
from mainstem.connect import is_dynamodb

if TYPE_CHECKING:
    from mainstem.aws.deployment import Plan
    from mainstem.aws.destruction import Remains
    from mainstem.aws.progress import Event

_ATTRIBUTE = click.option(
    "--attribute",
    "renamed",
    multiple=True,
    metavar="NAME=OTHER",
    help="Name an attribute of the events table otherwise, such as stream_id=AggregateId; repeatable.",
)
_YES = click.option("--yes", is_flag=True, help="Do not ask, do it.")
_STATUS_STYLES: Final = {"COMPLETE": "green", "FAILED": "red", "PROGRESS": "dim"}


@click.command("template", epilog="Example: mainstem template --output store.template.json")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file.  [default: print it]"
)
@_ATTRIBUTE
def template(output: Path | None, renamed: Sequence[str]) -> None:
    """Print the CloudFormation template of a store, for pipelines of your own.

    It is the same for every store: what differs are its parameters. It needs the functions' bundle, which
    mainstem package builds, in an S3 bucket. mainstem deploy does it all in one go.
    """
    _check_installed()
    import json

    from mainstem.aws.stack import template as made
    from mainstem.dynamodb import AttributeNames

    text = json.dumps(made(AttributeNames(**attributes_of(renamed))), indent=1) + "\n"
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text)


@click.command("package", epilog="Example: mainstem package --output mainstem.zip")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("mainstem-lambda.zip"),
    show_default=True,
    help="The zip file.",
)
@click.option("--python", default="3.14", show_default=True, help="The functions' Python.")
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
    output.write_bytes(bundle.data)
    if for_programs:
        print_json(
            {
                "file": str(output),
                "bytes": len(bundle.data),
                "unpacked_bytes": bundle.unpacked_bytes,
                "files": bundle.files,
                "sha256": bundle.digest,
            }
        )
    else:
        click.echo(
            f"{output}: {bytes_shown(len(bundle.data))}, {bytes_shown(bundle.unpacked_bytes)} unpacked, for "
            f"Python {python} on {architecture}."
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
    help="The bucket for the functions' bundle.  [default: mainstem-code-ACCOUNT-REGION, which is made]",
)
@_ATTRIBUTE
@click.option("--plan", "only_plan", is_flag=True, help="Show what would be done, and do nothing.")
@_YES
@json_option
@pass_place
def deploy(
    place: Place,
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

    The URL names the store, dynamodb://shop the stack mainstem-shop; its options partitions and sequencing
    are parameters of the stack (with sequencing=stream events get into the log by a function). To deploy
    again changes what has changed. The plan is shown first. Uses the AWS credentials of the environment.
    """
    _check_dynamodb(place)
    from mainstem.aws.account import Account
    from mainstem.aws.deployment import Deployment
    from mainstem.dynamodb import AttributeNames

    names = AttributeNames(**attributes_of(renamed)) if renamed else None
    deployment = Deployment(
        Account(place.url),
        _parameters(given, publish_to),
        attributes=names,
        code_bucket=code_bucket,
    )
    console = Console(stderr=True)
    plan = deployment.plan(lambda text: None if for_programs else console.print(f"{text} …"))
    if not for_programs:
        _show_plan(plan)
    if plan.change_set is None:
        if for_programs:
            print_json({"stack": plan.stack, "changes": [], "deployed": False})
        return None
    if only_plan or not (yes or _confirmed("Deploy it?", for_programs=for_programs)):
        deployment.discard(plan)
        if for_programs:
            print_json(
                {
                    "stack": plan.stack,
                    "changes": [each._asdict() for each in plan.changes],
                    "deployed": False,
                }
            )
        return None if only_plan else 1
    deployment.carry_out(plan, lambda event: None if for_programs else _show_event(console, event))
    if for_programs:
        print_json(
            {
                "stack": plan.stack,
                "changes": [each._asdict() for each in plan.changes],
                "deployed": True,
            }
        )
    else:
        click.echo(f"The stack {plan.stack} is deployed. Try: mainstem --url '{place.url}' status")
    return None


@click.command("destroy", epilog="Example: mainstem destroy --delete-data shop")
@click.option(
    "--delete-data",
    "data_of",
    metavar="NAME",
    help="Delete the tables with all events, and the dead letters, too: repeat the store's name.",
)
@_YES
@pass_place
def destroy(place: Place, data_of: str | None, *, yes: bool) -> int | None:
    """Delete a store's stack: functions, alarms, dashboard. Its tables and dead letters stay.

    With --delete-data and the store's name, they are deleted, too, for good. What is shown first is what
    would be gone and what would stay.
    """
    _check_dynamodb(place)
    from mainstem.aws.account import Account
    from mainstem.aws.destruction import Destruction

    destruction = Destruction(Account(place.url))
    remains = destruction.look()
    destruction.check_name(data_of)
    _show_remains(remains, deletes_data=data_of is not None)
    if not (yes or _confirmed("Go on?", for_programs=False)):
        return 1
    console = Console(stderr=True)
    destruction.carry_out(remains, data_of=data_of, tell=lambda event: _show_event(console, event))
    click.echo(
        "Done." if data_of else "Done. The tables are kept: mainstem deploy takes them up again."
    )
    return None


def _parameters(given: Sequence[str], publish_to: str | None) -> dict[str, str]:
    from mainstem.aws.publishing.arns import parse

    found: dict[str, str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or name in found:
            raise click.UsageError(f"--parameter {each}: give each name once, as NAME=VALUE.")
        found[name] = value
    if publish_to is not None:
        service = parse(publish_to).service if publish_to else "events"
        found |= {"PublishTo": publish_to, "PublishService": service}
    return found


def _show_plan(plan: Plan) -> None:
    console = Console()
    what = "a new stack" if plan.is_new else "the stack as it is"
    console.print(f"\n[bold]{plan.stack}[/]: {what}, functions from {plan.code}")
    if plan.makes_bucket:
        console.print("The bucket for them was made.")
    if plan.uses_tables:
        console.print(
            "The store's tables are there already. They are used, and not a part of the stack."
        )
    for name, value in sorted(plan.parameters.items()):
        console.print(f"  {name} = {value or '(none)'}", highlight=False)
    if not plan.changes:
        console.print("Nothing is to be changed.")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("", "resource", "kind"):
        table.add_column(heading)
    styles = {"Add": "green", "Modify": "yellow", "Remove": "red"}
    for change in plan.changes:
        action = f"{change.action}, made anew" if change.replaced else change.action
        style = "red" if change.replaced else styles.get(change.action, "")
        table.add_row(Text(action, style), change.name, change.kind.removeprefix("AWS::"))
    console.print(table)


def _show_remains(remains: Remains, *, deletes_data: bool) -> None:
    if remains.stack is None:
        click.echo("There is no stack any more.")
    else:
        click.echo(f"The stack's {len(remains.resources)} resources would be gone.")
    verb = "would be DELETED FOR GOOD" if deletes_data else "would be kept"
    for table, items in remains.tables.items():
        click.echo(f"  table {table}, some {items:,} items: {verb}")
    if remains.bucket is not None:
        click.echo(f"  bucket {remains.bucket}, {remains.dead_letters:,} dead letters: {verb}")


def _show_event(console: Console, event: Event) -> None:
    style = next((style for end, style in _STATUS_STYLES.items() if event.status.endswith(end)), "")
    line = Text(f"{event.status:<20}", style)
    line.append(f" {event.name} ({event.kind.removeprefix('AWS::')})", "default")
    if event.reason:
        line.append(f": {event.reason}", "default")
    console.print(line)


def _confirmed(question: str, *, for_programs: bool) -> bool:
    if for_programs or not sys.stdin.isatty():
        raise click.UsageError(
            "Nobody can be asked here: say --yes, or --plan to see what would be done."
        )
    return click.confirm(question)


def _check_dynamodb(place: Place) -> None:
    if not is_dynamodb(place.url):
        raise click.UsageError(f"{place.url} is a SQLite store, which needs nothing deployed.")


def _check_installed() -> None:
    """Raises `InvalidInput` where what DynamoDB needs is not installed."""
    is_dynamodb("dynamodb://any")
