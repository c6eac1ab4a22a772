"""A CDK app for tests. To import this starts Node.js, so it is imported when a test needs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aws_cdk import App, Duration, Stack, assertions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3_assets as s3_assets
from aws_cdk import aws_sns as sns

from mainstem.aws import cdk

EMPTY_ZIP = b"PK\x05\x06" + bytes(18)


class Cdk:
    """An app, and what tests put into it."""

    def __init__(self, folder: Path) -> None:
        self.app = App(outdir=str(folder / "out"), analytics_reporting=False)
        self._asset = folder / "bundle.zip"
        self._asset.write_bytes(EMPTY_ZIP)

    def template(self, stack: Stack) -> dict[str, Any]:
        """Nothing can be added to the app from then on."""
        return dict(assertions.Template.from_stack(stack).to_json())

    def stack(self) -> Stack:
        return Stack(self.app, f"Stack{len(self.app.node.children)}")

    def store(self, stack: Stack, name: str = "Store", **more: Any) -> cdk.EventStore:
        """One whose bundle is an empty file."""
        code = s3_assets.Asset(stack, f"Code of {name}", path=str(self._asset))
        chosen: dict[str, Any] = {"store_name": "shop", "code": code, **more}
        return cdk.EventStore(stack, name, **chosen)

    def store_with_bundle(self, stack: Stack, **more: Any) -> cdk.EventStore:
        return cdk.EventStore(stack, "Store", store_name="shop", **more)

    def function(self, stack: Stack, name: str = "Projection") -> lambda_.Function:
        return lambda_.Function(
            stack,
            name,
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="shop.projection",
            code=lambda_.Code.from_inline("def projection(event, context): ..."),
        )

    def function_from_outside(self, stack: Stack) -> lambda_.IFunction:
        arn = "arn:aws:lambda:eu-west-1:123456789012:function:shop"
        return lambda_.Function.from_function_arn(stack, "Outside", arn)

    def topic(self, stack: Stack) -> sns.Topic:
        return sns.Topic(stack, "Topic")

    def key(self, stack: Stack) -> kms.Key:
        return kms.Key(stack, "Key")

    def user(self, stack: Stack) -> iam.User:
        return iam.User(stack, "User")

    def role(self, stack: Stack) -> iam.Role:
        return iam.Role(stack, "Role", assumed_by=iam.AccountRootPrincipal())

    def service(self) -> iam.ServicePrincipal:
        return iam.ServicePrincipal("ec2.amazonaws.com")

    def seconds(self, number: int) -> Duration:
        return Duration.seconds(number)
