"""The stack of a store as a construct of the AWS CDK, for apps in Python.

Needs ``mainstem[cdk]``, and Node.js, which the CDK runs on.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from mainstem.extras import needs
from mainstem.text.printable import quoted

with needs("cdk", "mainstem.aws.cdk"):
    from aws_cdk import Duration, Token
    from aws_cdk import aws_dynamodb as dynamodb
    from aws_cdk import aws_iam as iam
    from aws_cdk import aws_kms as kms
    from aws_cdk import aws_lambda as lambda_
    from aws_cdk import aws_s3 as s3
    from aws_cdk import aws_s3_assets as s3_assets
    from aws_cdk import cloudformation_include as include
    from constructs import Construct

from mainstem.aws.bundle import build
from mainstem.aws.stack.functions import NEW_BATCHES
from mainstem.aws.stack.parameters import PARAMETERS
from mainstem.aws.stack.template import template
from mainstem.dynamodb.items.layout import AttributeNames
from mainstem.errors import InvalidInput

__all__ = ["EventStore"]

_OWN: Final = ("StoreName", "Partitions", "Sequencing", "CodeBucket", "CodeKey")
"""Parameters of the template that are arguments here, or follow from them."""
_ARNS: Final = ("PublishTo", "AlarmTopicArn", "KmsKeyArn", "EventsStreamArn", "LogStreamArn")
"""Those whose values may be known at deployment only."""
_NOTHING: Final = {"Ref": "AWS::NoValue"}


class EventStore(Construct):
    """A store: its two tables, the functions that sequence, maintain and publish, their alarms, and policies
    for readers and writers. The same resources as `mainstem deploy` makes.
    """

    events_table: dynamodb.ITable
    """The events."""
    log_table: dynamodb.ITable
    """The log, and everything else."""
    log_stream_arn: str
    """The log table's stream, which wakes projections."""
    dead_letters: s3.IBucket
    """Records that could not be sequenced."""
    reader_policy: iam.IManagedPolicy
    """For roles that read the log and keep checkpoints."""
    writer_policy: iam.IManagedPolicy
    """For roles that append and read."""
    code: s3_assets.Asset
    """The functions' bundle. Another store with the same runtime and architecture can use it too."""

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - the CDK's name for it
        *,
        store_name: str,
        partitions: int = 1,
        sequencing: Literal["stream", "transactional"] = "stream",
        parameters: Mapping[str, str] | None = None,
        attributes: AttributeNames | None = None,
        code: s3_assets.Asset | None = None,
    ) -> None:
        """Define it. ``store_name`` is 1 to 48 letters, digits, ``-`` and ``_``, one store for each
        name in a region; ``partitions`` 1 to 1,024, fixed when the tables are made.

        ``parameters`` are the others of the template, by name; those that are not given have its defaults.
        Values are text as `mainstem deploy` takes them, and those of ARNs may be tokens. For tables that
        are there already, give ``EventsStreamArn`` and ``LogStreamArn``.

        ``attributes`` are what the attributes of the events table are called. ``code`` is the functions'
        bundle; None: it is built, with pip or uv, each time the app is synthesised.

        Raises `InvalidInput` for a parameter that there is not, or a value that it does not take,
        `DeploymentFailed` where the bundle can't be built.
        """
        super().__init__(scope, id)
        own = {
            "StoreName": store_name,
            "Partitions": str(partitions),
            "Sequencing": sequencing,
        }
        values = _values(own, parameters or {})
        if code is None:
            code = self._built(str(values["Runtime"]), str(values["Architecture"]))
        self.code = code
        values |= {"CodeBucket": code.s3_bucket_name, "CodeKey": code.s3_object_key}
        with _file(template(attributes), values) as path:
            included = include.CfnInclude(
                self,
                "Stack",
                template_file=path,
                parameters=values,
                # Of the path of each: there may be several stores in one stack.
                preserve_logical_ids=False,
            )
        self._store_name = store_name
        self._refer(included, values)

    def grant_read(self, grantee: iam.IGrantable) -> None:
        """Let a role, user or group, or what has a role, such as a function, read the log and keep
        checkpoints, by attaching `reader_policy`.

        Raises `InvalidInput` for what no policy can be attached to. To a role from outside of the app the
        CDK attaches nothing, and warns.
        """
        _attach(self.reader_policy, grantee)

    def grant_write(self, grantee: iam.IGrantable) -> None:
        """Let it append and read, by attaching `writer_policy`. As `grant_read`."""
        _attach(self.writer_policy, grantee)

    def add_projection(
        self,
        function: lambda_.IFunction,
        *,
        batch_size: int = 100,
        batching_window: Duration | None = None,
    ) -> None:
        """Have new batches of the log wake a function made with `projection_handler`, and let it read.

        ``batch_size`` is how many wake-ups it gets at once, 1 to 10,000; ``batching_window`` for how long
        they are gathered, whole seconds, at most 5 minutes; None: one second. Failed ones are tried again
        until they succeed, or DynamoDB has forgotten them after 24 hours.

        Raises `InvalidInput` for values out of bounds, for a function that has no role, and for one that
        was added before.
        """
        window = Duration.seconds(1) if batching_window is None else batching_window
        if not (1 <= batch_size <= 10_000 and 0 <= window.to_seconds() <= 300):
            raise InvalidInput(
                f"batch_size={quoted(batch_size)}, batching_window={window.to_seconds()} s: give 1 to "
                "10,000, and 0 to 300 s."
            )
        name = f"Projection of {self._store_name}"
        if function.node.try_find_child(name) is not None:
            raise InvalidInput(
                f"{function.node.path} is a projection of {self._store_name} already."
            )
        self.grant_read(function)
        # Under the function: its stack may depend on the store's, not the other way round.
        mapping = function.add_event_source_mapping(
            name,
            event_source_arn=self.log_stream_arn,
            # LATEST may miss batches while the mapping is made.
            starting_position=lambda_.StartingPosition.TRIM_HORIZON,
            batch_size=batch_size,
            max_batching_window=window,
            report_batch_item_failures=True,
            filters=[{"pattern": NEW_BATCHES}],
        )
        made = mapping.node.default_child
        assert isinstance(made, lambda_.CfnEventSourceMapping)
        # Not every version of the CDK takes it above.
        made.maximum_retry_attempts = -1

    def _built(self, runtime: str, architecture: str) -> s3_assets.Asset:
        bundle = build(runtime.removeprefix("python"), architecture)
        with tempfile.TemporaryDirectory(prefix="mainstem-bundle-") as folder:
            path = Path(folder, "bundle.zip")
            path.write_bytes(bundle.data)
            # It is copied into the app's output at once.
            return s3_assets.Asset(self, "Code", path=str(path))

    def _refer(self, included: include.CfnInclude, values: Mapping[str, Any]) -> None:
        """Make what others use of it."""
        key = (
            kms.Key.from_key_arn(self, "Key", values["KmsKeyArn"]) if values["KmsKeyArn"] else None
        )

        def table(name: str, resource: str, stream: str, **more: Any) -> dynamodb.ITable:
            known: dict[str, Any] = {"table_stream_arn": values[stream]}
            if values["EventsStreamArn"]:
                known["table_name"] = f"{self._store_name}-{name}"
            else:
                made = included.get_resource(resource)
                assert isinstance(made, dynamodb.CfnTable)
                known = {"table_arn": made.attr_arn, "table_stream_arn": made.attr_stream_arn}
            return dynamodb.Table.from_table_attributes(
                self, name.title(), encryption_key=key, **known, **more
            )

        self.events_table = table("events", "EventsTable", "EventsStreamArn")
        self.log_table = table("log", "LogTable", "LogStreamArn", global_indexes=["listing"])
        stream = self.log_table.table_stream_arn
        assert stream is not None
        self.log_stream_arn = stream
        bucket = included.get_resource("DeadLetters")
        self.dead_letters = s3.Bucket.from_bucket_attributes(
            self, "DeadLetters", bucket_name=bucket.ref, encryption_key=key
        )
        self.reader_policy, self.writer_policy = (
            iam.ManagedPolicy.from_managed_policy_arn(self, name, included.get_resource(name).ref)
            for name in ("ReaderPolicy", "WriterPolicy")
        )


def _values(own: Mapping[str, str], given: Mapping[str, str]) -> dict[str, Any]:
    """A value for each parameter of the template but the code's, checked as CloudFormation would do it."""
    for name in given:
        if name not in PARAMETERS or name in _OWN:
            known = sorted(PARAMETERS.keys() - set(_OWN))
            raise InvalidInput(
                f"There is no parameter {quoted(name)}. There are {', '.join(known)}."
            )
    if bool(given.get("EventsStreamArn")) != bool(given.get("LogStreamArn")):
        raise InvalidInput("Give both EventsStreamArn and LogStreamArn, or none of them.")
    said = {**given, **own}
    return {
        name: _checked(name, said[name]) if name in said else PARAMETERS[name]["Default"]
        for name in PARAMETERS
        if name not in ("CodeBucket", "CodeKey")
    }


def _checked(name: str, text: str) -> Any:
    """The value; the template's own checks vanish with its parameters."""
    if name in _ARNS and Token.is_unresolved(text):
        return text
    wanted = PARAMETERS[name]
    value: Any = text
    if wanted["Type"] == "Number" and re.fullmatch(r"-?[0-9]{1,9}", text):
        value = int(text)
    fits = wanted["Type"] == "String" or isinstance(value, int)
    if "AllowedValues" in wanted:
        fits = fits and value in wanted["AllowedValues"]
    if "AllowedPattern" in wanted:
        fits = fits and re.fullmatch(wanted["AllowedPattern"], text) is not None
    if "MinValue" in wanted:
        fits = fits and wanted["MinValue"] <= value <= wanted["MaxValue"]
    if not fits:
        raise InvalidInput(f"{name}={quoted(text, 200)} is not allowed: {_bounds(wanted)}")
    return value


def _bounds(wanted: Mapping[str, Any]) -> str:
    if "MinValue" in wanted:
        return f"{wanted['MinValue']} to {wanted['MaxValue']}."
    if "AllowedValues" in wanted:
        return f"one of {', '.join(map(str, wanted['AllowedValues']))}."
    return f"{wanted.get('ConstraintDescription', wanted.get('AllowedPattern'))}."


@contextmanager
def _file(made: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    """The template in a file, without what belongs to the whole stack, and with its conditions and mappings
    decided: all that they ask for is known here, and CloudFormation's conditions may not ask for what another
    resource gives, such as the ARN of a topic.
    """
    met = {name: _is_met(each, values) for name, each in made["Conditions"].items()}

    def decided(part: Any) -> Any:
        match part:
            case {"Fn::If": [condition, then, otherwise]}:
                return decided(then if met[condition] else otherwise)
            case {"Fn::FindInMap": [mapping, {"Ref": parameter}, key]}:
                return made["Mappings"][mapping][values[parameter]][key]
            case dict():
                found = {name: decided(each) for name, each in part.items()}
                return {name: each for name, each in found.items() if each != _NOTHING}
            case list():
                return [each for each in map(decided, part) if each != _NOTHING]
        return part

    kept = {"Parameters": made["Parameters"]}
    for section in ("Resources", "Outputs"):
        kept[section] = {
            name: decided({key: each[key] for key in each if key != "Condition"})
            for name, each in made[section].items()
            if met.get(each.get("Condition"), True)
        }
    with tempfile.TemporaryDirectory(prefix="mainstem-template-") as folder:
        path = Path(folder, "template.json")
        path.write_text(json.dumps(kept))
        yield str(path)


def _is_met(condition: Any, values: Mapping[str, Any]) -> bool:
    match condition:
        case {"Fn::Not": [negated]}:
            return not _is_met(negated, values)
        case {"Fn::Equals": [{"Ref": name}, value]}:
            return bool(values[name] == value)
    # Of ours, all are made by `is_given`, `equals` and `differs`.
    raise AssertionError(f"a condition of another kind in the template: {condition}")


def _attach(policy: iam.IManagedPolicy, grantee: iam.IGrantable) -> None:
    attach = getattr(grantee.grant_principal, "add_managed_policy", None)
    if attach is None:
        raise InvalidInput(
            f"{grantee} has no role, user or group that a policy can be attached to."
        )
    attach(policy)
