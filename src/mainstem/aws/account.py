"""The AWS account that a stack is deployed to: clients, and what is there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from hashlib import sha256
from typing import Any, Final

import botocore.exceptions
import botocore.session

from mainstem.aws.own_buckets import only_own
from mainstem.aws.refusals import in_words
from mainstem.dynamodb.url import StoreUrl, parse
from mainstem.errors import DeploymentFailed, InvalidInput
from mainstem.text.printable import quoted

STORE_TAG: Final = "mainstem:store"
"""Of a stack and of what it makes: the store's name."""
_LONGEST: Final = 100
"""Characters of a store's name that a stack's name repeats; CloudFormation takes 128."""


class Account:
    """One region of the account that the URL and the environment lead to.

    What AWS refuses, and what keeps it from being reached, is raised as an error of ours.
    """

    def __init__(self, url: str) -> None:
        """Raises `InvalidInput` where no region is known, `StoreDenied` where the profile is not there."""
        self.place: StoreUrl = parse(url)
        settings = self.place.settings
        with in_words("find the region"):
            self._session = botocore.session.Session(profile=settings.profile)
            region = settings.region or self._session.get_config_variable("region")
        if not region:
            raise InvalidInput(
                "No region is known. Put region=... into the URL, or set AWS_DEFAULT_REGION."
            )
        self.region: str = region

    @property
    def name(self) -> str:
        """The store's."""
        return self.place.name

    @property
    def stack(self) -> str:
        """The name of its stack: another for each store's name.

        CloudFormation allows letters, digits and hyphens. Where the store's name has other characters, a
        part of its digest makes up for them.
        """
        plain = re.sub("[^A-Za-z0-9-]", "-", self.name)
        if plain == self.name and len(plain) <= _LONGEST:
            return f"mainstem-{plain}"
        return f"mainstem-{plain[:_LONGEST]}-{sha256(self.name.encode()).hexdigest()[:12]}"

    @cached_property
    def number(self) -> str:
        """The account's number."""
        with in_words("see whose credentials they are"):
            found: str = self.client("sts").get_caller_identity()["Account"]
        return found

    @cached_property
    def cloudformation(self) -> Any:
        return self.client("cloudformation")

    @cached_property
    def s3(self) -> Any:
        """Uses buckets of this account only."""
        return only_own(self.client("s3"), lambda: self.number)

    @cached_property
    def dynamodb(self) -> Any:
        return self.client("dynamodb")

    def client(self, service: str) -> Any:
        """A client of botocore's."""
        endpoint = self.place.settings.endpoint if service == "dynamodb" else None
        with in_words(f"use {service}"):
            return self._session.create_client(service, self.region, endpoint_url=endpoint)

    def described_stack(self) -> Mapping[str, Any] | None:
        """The store's stack as CloudFormation has it; None where there is none.

        Raises `DeploymentFailed` where the stack of that name is not this store's.
        """
        found = self.find_stack()
        # What is left of a first change set that was never carried out is no stack yet.
        return None if found is None or found["StackStatus"] == "REVIEW_IN_PROGRESS" else found

    def find_stack(self) -> Mapping[str, Any] | None:
        """As `described_stack`, and also one that was never made, of which there is nothing but a change
        set.
        """
        with in_words(f"look at the stack {self.stack}"):
            try:
                found = self.cloudformation.describe_stacks(StackName=self.stack)["Stacks"]
            except botocore.exceptions.ClientError as error:
                if "does not exist" in str(error):
                    return None
                raise
        stack: Mapping[str, Any] = found[0]
        self._check_owner(stack)
        return stack

    def described_table(self, table: str) -> Mapping[str, Any] | None:
        """The table as DynamoDB has it; None where there is none."""
        with in_words(f"look at the table {table}"):
            try:
                found: Mapping[str, Any] = self.dynamodb.describe_table(TableName=table)["Table"]
            except self.dynamodb.exceptions.ResourceNotFoundException:
                return None
        return found

    def _check_owner(self, stack: Mapping[str, Any]) -> None:
        """A stack of the right name is not changed and not deleted unless it says that it is this store's."""
        parameters = {
            each["ParameterKey"]: each.get("ParameterValue") for each in stack.get("Parameters", ())
        }
        tags = {each["Key"]: each["Value"] for each in stack.get("Tags", ())}
        said = {
            "its parameter StoreName": parameters.get("StoreName"),
            f"its tag {STORE_TAG}": tags.get(STORE_TAG),
        }
        if stack["StackStatus"] == "REVIEW_IN_PROGRESS":  # which need not say anything yet
            said = {what: name for what, name in said.items() if name is not None}
        for what, name in said.items():
            if name != self.name:
                is_what = "is not there" if name is None else f"is {quoted(name)}"
                raise DeploymentFailed(
                    f"The stack {self.stack} in {self.region} is not the stack of the store "
                    f"{quoted(self.name)}: {what} {is_what}. Nothing was done. Look at it in CloudFormation, "
                    "and give the store of one of the two another name."
                )
