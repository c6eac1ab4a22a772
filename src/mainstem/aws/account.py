"""The AWS account that a stack is deployed to: clients, and what is there."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import botocore.exceptions
import botocore.session

from mainstem.dynamodb.open import Place, parse
from mainstem.errors import DeploymentFailed, InvalidInput


class Account:
    """One region of the account that the URL and the environment lead to."""

    def __init__(self, url: str) -> None:
        """Raises `InvalidInput` where no region is known."""
        self.place: Place = parse(url)
        settings = self.place.settings
        self._session = botocore.session.Session(profile=settings.profile)
        region = settings.region or self._session.get_config_variable("region")
        if not region:
            raise InvalidInput(
                "No region is known. Put region=... into the URL, or set AWS_REGION."
            )
        self.region: str = region

    @property
    def name(self) -> str:
        """The store's."""
        return self.place.name

    @property
    def stack(self) -> str:
        """The name of its stack; CloudFormation allows letters, digits and hyphens."""
        return "mainstem-" + "".join(char if char.isalnum() else "-" for char in self.name)

    @cached_property
    def number(self) -> str:
        """The account's number. Raises `DeploymentFailed` without credentials."""
        try:
            found: str = self.client("sts").get_caller_identity()["Account"]
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            raise DeploymentFailed(f"AWS can't be used: {error}") from error
        return found

    @cached_property
    def cloudformation(self) -> Any:
        return self.client("cloudformation")

    @cached_property
    def s3(self) -> Any:
        return self.client("s3")

    @cached_property
    def dynamodb(self) -> Any:
        return self.client("dynamodb")

    def client(self, service: str) -> Any:
        """A client of botocore's."""
        endpoint = self.place.settings.endpoint if service == "dynamodb" else None
        return self._session.create_client(service, self.region, endpoint_url=endpoint)

    def described_stack(self) -> Mapping[str, Any] | None:
        """The stack as CloudFormation has it; None where there is none."""
        try:
            found = self.cloudformation.describe_stacks(StackName=self.stack)["Stacks"]
        except botocore.exceptions.ClientError as error:
            if "does not exist" in str(error):
                return None
            raise DeploymentFailed(f"The stack {self.stack} can't be looked at: {error}") from error
        stack: Mapping[str, Any] = found[0]
        # What is left of a first change set that was never carried out is no stack yet.
        return None if stack["StackStatus"] == "REVIEW_IN_PROGRESS" else stack

    def described_table(self, table: str) -> Mapping[str, Any] | None:
        """The table as DynamoDB has it; None where there is none."""
        try:
            found: Mapping[str, Any] = self.dynamodb.describe_table(TableName=table)["Table"]
        except self.dynamodb.exceptions.ResourceNotFoundException:
            return None
        return found
