"""Taking a store's stack away. The data stays unless it is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import botocore.exceptions

from mainstem.aws.account import Account
from mainstem.aws.progress import Event, event_ids, follow
from mainstem.aws.refusals import in_words
from mainstem.errors import DeploymentFailed, InvalidInput
from mainstem.text.printable import quoted


class Remains(NamedTuple):
    """What stays after a stack is deleted, and what is deleted with it."""

    stack: str | None
    """Its ARN; None: there is none any more."""
    resources: Sequence[str]
    """Of the stack."""
    tables: Mapping[str, int]
    """Tables with data, and about how many items each has, as DynamoDB counts every six hours or so."""
    bucket: str | None
    dead_letters: int
    """Objects in the bucket."""


class Destruction:
    """`look`, then `carry_out`."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def look(self) -> Remains:
        """What there is. Raises `DeploymentFailed` where there is nothing at all, and where the stack is
        another store's.
        """
        with in_words(f"look at the stack {self._account.stack}"):
            return self._look()

    def _look(self) -> Remains:
        account = self._account
        stack = account.described_stack()
        tables = {}
        for name in (f"{account.name}-events", f"{account.name}-log"):
            found = account.described_table(name)
            if found is not None:
                tables[name] = int(found.get("ItemCount", 0))
        if stack is None and not tables:
            raise DeploymentFailed(
                f"There is no stack {account.stack}, and there are no tables of a store "
                f"{quoted(account.name)}, in {account.region}."
            )
        resources: list[str] = []
        bucket = None
        if stack is not None:
            for page in account.cloudformation.get_paginator("list_stack_resources").paginate(
                StackName=stack["StackId"]
            ):
                for each in page["StackResourceSummaries"]:
                    resources.append(each["LogicalResourceId"])
                    if each["LogicalResourceId"] == "DeadLetters":
                        bucket = each["PhysicalResourceId"]
        count = 0 if bucket is None else sum(1 for _ in self._objects(bucket))
        arn = None if stack is None else stack["StackId"]
        return Remains(arn, resources, tables, bucket, count)

    def carry_out(
        self,
        remains: Remains,
        *,
        data_of: str | None = None,
        tell: Callable[[Event], None] = lambda _: None,
    ) -> None:
        """Delete the stack; and the tables and the dead letters, for good, if ``data_of`` names the store.

        Raises `InvalidInput` where it names another. What another error has kept from being deleted, the same
        call deletes.
        """
        self.check_name(data_of)
        with in_words(f"delete the stack {self._account.stack}"):
            self._delete(remains, data_of, tell)

    def _delete(self, remains: Remains, data_of: str | None, tell: Callable[[Event], None]) -> None:
        account = self._account
        if remains.stack is not None:
            before = event_ids(account.cloudformation, remains.stack)
            account.cloudformation.delete_stack(StackName=remains.stack)
            follow(account.cloudformation, remains.stack, before, tell)
        if data_of is None:
            return
        for table in remains.tables:
            self._delete_table(table)
            tell(Event(table, "AWS::DynamoDB::Table", "DELETE_COMPLETE", ""))
        if remains.bucket is not None:
            for key in list(self._objects(remains.bucket)):
                account.s3.delete_object(Bucket=remains.bucket, Key=key)
            account.s3.delete_bucket(Bucket=remains.bucket)
            tell(Event(remains.bucket, "AWS::S3::Bucket", "DELETE_COMPLETE", ""))

    def check_name(self, data_of: str | None) -> None:
        """Raise `InvalidInput` unless it is the store's name, or None."""
        if data_of not in (None, self._account.name):
            raise InvalidInput(
                f"You asked to delete the data of {quoted(data_of)}, but the store is "
                f"{quoted(self._account.name)}. "
                "Nothing was done."
            )

    def _delete_table(self, name: str) -> None:
        dynamodb = self._account.dynamodb
        dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)
        dynamodb.get_waiter("table_exists").wait(TableName=name)
        dynamodb.delete_table(TableName=name)
        dynamodb.get_waiter("table_not_exists").wait(TableName=name)

    def _objects(self, bucket: str) -> Any:
        try:
            for page in self._account.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
                yield from (each["Key"] for each in page.get("Contents", ()))
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchBucket":
                raise
