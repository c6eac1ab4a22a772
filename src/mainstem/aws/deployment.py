"""Deploying a store: template, bundle and stack in one go, with the plan shown before anything is done."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, Final, NamedTuple

import botocore.exceptions

from mainstem.aws.account import STORE_TAG, Account
from mainstem.aws.bundle import build
from mainstem.aws.bundles import Bundles
from mainstem.aws.progress import Event, event_ids, follow
from mainstem.aws.refusals import in_words
from mainstem.aws.stack.parameters import PARAMETERS
from mainstem.aws.stack.template import template
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.drivers import connect_blocking
from mainstem.dynamodb.items.layout import AttributeNames
from mainstem.dynamodb.items.tables import check
from mainstem.errors import DeploymentFailed, InvalidInput, StoreFormatError
from mainstem.text.printable import quoted

_ESTABLISHED: Final = (
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_COMPLETE",
)


class Change(NamedTuple):
    """One resource of the stack that is to be made, changed or removed."""

    action: str
    """``Add``, ``Modify`` or ``Remove``."""
    name: str
    kind: str
    replaced: bool
    """Whether the resource is deleted and created again."""


class Plan(NamedTuple):
    """What a deployment would do."""

    stack: str
    is_new: bool
    parameters: Mapping[str, str]
    """Those that are set by this deployment; the others stay as they are, or as the template has them."""
    code: str
    """Where the functions' bundle is put."""
    makes_bucket: bool
    uses_tables: bool
    """The tables are there already; the stack makes none."""
    changes: Sequence[Change]
    change_set: str | None
    """None: nothing is to be done."""


class Deployment:
    """One deployment: `plan` it, look at the plan, then `carry_out` or `discard`."""

    def __init__(
        self,
        account: Account,
        parameters: Mapping[str, str],
        *,
        attributes: AttributeNames | None = None,
        code_bucket: str | None = None,
    ) -> None:
        """``parameters`` of the template, by name. ``attributes`` are what the attributes of the events
        table are called; None: as before. Raises `InvalidInput` for a parameter that there is not.
        """
        if not re.fullmatch(PARAMETERS["StoreName"]["AllowedPattern"], account.name):
            raise InvalidInput(
                f"A store called {quoted(account.name)} can't be deployed: the names of its functions and "
                f"alarms contain its name, so it must be {PARAMETERS['StoreName']['ConstraintDescription']}."
            )
        for name in parameters:
            if name not in PARAMETERS or name in ("StoreName", "CodeBucket", "CodeKey"):
                raise InvalidInput(
                    f"There is no parameter {quoted(name)}. There are {', '.join(sorted(PARAMETERS))}."
                )
        self._account = account
        self._given = dict(parameters)
        self._attributes = attributes
        self._code_bucket = code_bucket

    def plan(self, tell: Callable[[str], None] = lambda _: None) -> Plan:
        """Build the bundle, put it into its bucket, and have CloudFormation say what would change.

        Nothing else is changed: where there is no bucket for bundles yet, it is made.
        """
        with in_words(f"plan the stack {self._account.stack}"):
            return self._plan(tell)

    def _plan(self, tell: Callable[[str], None]) -> Plan:
        account = self._account
        stack = account.described_stack()
        if stack is not None and stack["StackStatus"] not in _ESTABLISHED:
            raise DeploymentFailed(
                f"The stack {account.stack} is in state {stack['StackStatus']}. Wait until it is done. If "
                "it was never completely created, run `mainstem destroy`, and deploy again."
            )
        names = self._attribute_names(stack)
        parameters = self._parameters(stack)
        if stack is None:
            streams = self._existing_tables()
            if streams:
                names = self._take_up(parameters, names)
                parameters |= streams
        runtime = _chosen(parameters, stack, "Runtime").removeprefix("python")
        architecture = _chosen(parameters, stack, "Architecture")
        tell(f"Building the functions' bundle for Python {runtime} on {architecture}")
        bundle = build(runtime, architecture)
        bundles = Bundles(account)
        bucket, made = bundles.bucket(self._code_bucket, _chosen(parameters, stack, "CodeBucket"))
        key = f"{account.name}/{bundle.digest[:32]}.zip"
        tell(f"Putting it ({len(bundle.data):,} bytes) into the bucket {bucket}")
        bundles.put(bucket, key, bundle)
        parameters |= {"StoreName": account.name, "CodeBucket": bucket, "CodeKey": key}
        tell("Asking CloudFormation what would change")
        change_set = self._change_set(stack, parameters, names)
        changes = list(self._changes(change_set)) if change_set else []
        code = f"s3://{bucket}/{key}"
        shown = {name: value for name, value in parameters.items() if not name.startswith("Code")}
        return Plan(
            account.stack,
            stack is None,
            shown,
            code,
            made,
            "EventsStreamArn" in parameters,
            changes,
            change_set,
        )

    def carry_out(self, plan: Plan, tell: Callable[[Event], None] = lambda _: None) -> None:
        """Do it, and wait until it is done.

        Raises `DeploymentFailed` where CloudFormation has undone it. If another error comes of watching it,
        CloudFormation goes on with what was begun.
        """
        if plan.change_set is None:
            return
        with in_words(f"change the stack {plan.stack}"):
            cloudformation = self._account.cloudformation
            before = set() if plan.is_new else event_ids(cloudformation, plan.stack)
            cloudformation.execute_change_set(ChangeSetName=plan.change_set)
            follow(cloudformation, plan.stack, before, tell)

    def discard(self, plan: Plan) -> None:
        """Do nothing of it. What others have made of the stack meanwhile stays."""
        if plan.change_set is None:
            return
        with in_words(f"discard the plan for the stack {plan.stack}"):
            cloudformation = self._account.cloudformation
            cloudformation.delete_change_set(ChangeSetName=plan.change_set)
            left = self._account.find_stack()
            if left is None or left["StackStatus"] != "REVIEW_IN_PROGRESS":
                return
            others = cloudformation.list_change_sets(StackName=plan.stack)["Summaries"]
            if all(each["ChangeSetId"] == plan.change_set for each in others):
                cloudformation.delete_stack(StackName=left["StackId"])

    def _parameters(self, stack: Mapping[str, Any] | None) -> dict[str, str]:
        """What the URL and the caller say. A store on transactions needs no sequencing function."""
        place = self._account.place
        said = dict(self._given)
        if place.partitions is not None:
            said.setdefault("Partitions", str(place.partitions))
        if "sequencing=" in place.url or stack is None:
            said.setdefault("Sequencing", place.sequencing)
        return said

    def _attribute_names(self, stack: Mapping[str, Any] | None) -> AttributeNames:
        """Those that the stack was made with: with others, CloudFormation would make other tables."""
        wanted = self._attributes
        if stack is None:
            return wanted or AttributeNames()
        answer = self._account.cloudformation.get_template(StackName=stack["StackId"])
        body = answer["TemplateBody"]
        deployed = json.loads(body) if isinstance(body, str) else body
        names = AttributeNames(**deployed["Resources"]["Settings"]["Properties"]["Attributes"])
        if wanted not in (None, names):
            raise InvalidInput(
                f"The attributes of the events table are called {names.as_dict()}, and that can't be changed."
            )
        return names

    def _existing_tables(self) -> dict[str, str]:
        """The streams of tables that are there already, made by `create-tables` or by another stack."""
        account = self._account
        found = {}
        for parameter, name in (("EventsStreamArn", "events"), ("LogStreamArn", "log")):
            table = account.described_table(f"{account.name}-{name}")
            if table is not None:
                found[parameter] = table
        if not found:
            return {}
        if len(found) < 2:
            raise DeploymentFailed(
                f"Of the two tables of the store {account.name}, one is missing. Run mainstem "
                "create-tables, or restore it, and deploy again."
            )
        for parameter, table in found.items():
            if not (table.get("StreamSpecification") or {}).get("StreamEnabled"):
                view = "NEW_IMAGE" if parameter == "EventsStreamArn" else "KEYS_ONLY"
                raise DeploymentFailed(
                    f"The table {table['TableName']} exists already, and has no stream. Turn it on, and "
                    f"deploy again: aws dynamodb update-table --table-name {table['TableName']} "
                    f"--stream-specification StreamEnabled=true,StreamViewType={view}"
                )
        return {parameter: str(table["LatestStreamArn"]) for parameter, table in found.items()}

    def _take_up(self, parameters: dict[str, str], names: AttributeNames) -> AttributeNames:
        """The settings of tables that are there already, where nothing else is said."""
        with closing(connect_blocking(self._account.place.settings)) as driver:
            try:
                layout = driver.run(check(self._account.name, Context(driver.new_lock))).layout
            except StoreFormatError:
                return names  # the tables of a stack that was broken off say nothing yet
        parameters.setdefault("Partitions", str(layout.partitions))
        return layout.attributes if self._attributes is None else names

    def _change_set(
        self, stack: Mapping[str, Any] | None, said: Mapping[str, str], names: AttributeNames
    ) -> str | None:
        """The change set's ARN; None where nothing is to be changed."""
        cloudformation, account = self._account.cloudformation, self._account
        known = (
            set()
            if stack is None
            else {each["ParameterKey"] for each in stack.get("Parameters", ())}
        )
        parameters: list[dict[str, Any]] = [
            {"ParameterKey": name, "ParameterValue": value} for name, value in said.items()
        ]
        parameters += [
            {"ParameterKey": name, "UsePreviousValue": True}
            for name in sorted(known - said.keys())
            if name in PARAMETERS
        ]
        body = json.dumps(template(names), separators=(",", ":"))
        made = cloudformation.create_change_set(
            StackName=account.stack if stack is None else stack["StackId"],
            ChangeSetName=f"mainstem-{uuid.uuid4().hex}",
            ChangeSetType="CREATE" if stack is None else "UPDATE",
            TemplateBody=body,
            Parameters=parameters,
            Capabilities=["CAPABILITY_IAM"],
            Tags=[{"Key": STORE_TAG, "Value": account.name}],
        )["Id"]
        try:
            cloudformation.get_waiter("change_set_create_complete").wait(
                ChangeSetName=made, WaiterConfig={"Delay": 2, "MaxAttempts": 150}
            )
        except botocore.exceptions.WaiterError as error:
            reason = str(error.last_response.get("StatusReason", error))
            cloudformation.delete_change_set(ChangeSetName=made)
            if "didn't contain changes" in reason or "No updates are to be performed" in reason:
                return None
            raise DeploymentFailed(f"CloudFormation refuses the stack: {reason}") from error
        return str(made)

    def _changes(self, change_set: str) -> Iterator[Change]:
        pages = self._account.cloudformation.get_paginator("describe_change_set")
        for page in pages.paginate(ChangeSetName=change_set):
            for each in page.get("Changes", ()):
                found = each["ResourceChange"]
                yield Change(
                    found["Action"],
                    found["LogicalResourceId"],
                    found["ResourceType"],
                    found.get("Replacement") == "True",
                )


def _chosen(parameters: Mapping[str, str], stack: Mapping[str, Any] | None, name: str) -> str:
    """A parameter's value after the deployment."""
    if name in parameters:
        return parameters[name]
    for each in () if stack is None else stack.get("Parameters", ()):
        if each["ParameterKey"] == name:
            return str(each["ParameterValue"])
    return str(PARAMETERS[name].get("Default", ""))
