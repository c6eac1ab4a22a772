"""The bucket that the functions' bundles are put into, for CloudFormation to fetch them from."""

from __future__ import annotations

import secrets
from typing import Any, Final

import botocore.exceptions

from mainstem.aws.account import Account
from mainstem.aws.bundle import Bundle
from mainstem.errors import DeploymentFailed

_PREFIX: Final = "mainstem-code-"


class Bundles:
    """The account's buckets for bundles in its region.

    A name that follows from account and region could be guessed, and taken by somebody else, who would then
    hold the code of the functions. So a new bucket is called by chance, and a bucket is used only where S3
    confirms that it is the account's own.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._s3 = account.s3

    def bucket(self, wanted: str | None, before: str) -> tuple[str, bool]:
        """The bucket to use, and whether it was made for it: the one that is ``wanted``; that of the
        deployment ``before`` (empty: there was none); another of the account's; a new one.

        Raises `DeploymentFailed` where the one that is wanted can't be used.
        """
        if wanted is not None:
            problem = self._problem(wanted)
            if problem is None:
                return wanted, False
            raise DeploymentFailed(
                f"The bucket {wanted} can't be used: {problem}. Give one of the account's own with "
                "--code-bucket, or leave it out."
            )
        if before and self._problem(before) is None:
            return before, False
        for name in self._found():
            if self._problem(name) is None:
                return name, False
        return self._made(), True

    def put(self, bucket: str, key: str, bundle: Bundle) -> None:
        self._s3.put_object(Bucket=bucket, Key=key, Body=bundle.data, ContentType="application/zip")

    def _found(self) -> list[str]:
        """Buckets that this command has made before. S3 lists those of the account alone."""
        prefix = f"{_PREFIX}{self._account.region}-"
        try:
            found = self._s3.list_buckets().get("Buckets", ())
            return sorted(each["Name"] for each in found if each["Name"].startswith(prefix))
        except botocore.exceptions.ClientError as error:
            if _status(error) == 403:
                return []  # who may not list them makes one
            raise

    def _made(self) -> str:
        s3, region = self._s3, self._account.region
        name = f"{_PREFIX}{region}-{secrets.token_hex(8)}"
        more: dict[str, Any] = (
            {}
            if region == "us-east-1"
            else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        )
        s3.create_bucket(Bucket=name, **more)
        s3.put_public_access_block(
            Bucket=name,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "IgnorePublicAcls": True,
                "BlockPublicPolicy": True,
                "RestrictPublicBuckets": True,
            },
        )
        return name

    def _problem(self, name: str) -> str | None:
        """Why a bucket can't be used; None where it can."""
        try:
            self._s3.head_bucket(Bucket=name)
        except botocore.exceptions.ClientError as error:
            match _status(error):
                case 404:
                    return "there is none of that name"
                case 403:
                    return f"it is not the account {self._account.number}'s, or this user may not use it"
                case 301 | 400:
                    return f"it is not in {self._account.region}, or its name can't be"
            raise
        return None


def _status(error: botocore.exceptions.ClientError) -> int:
    status: int = error.response["ResponseMetadata"]["HTTPStatusCode"]
    return status
