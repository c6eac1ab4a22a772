"""Whose things a deployment touches: the store's own stack, the account's own buckets; and what it says
where AWS is out of reach.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import botocore.exceptions
import botocore.session
import pytest

from guarded_server import free_port
from local_aws import ACCOUNT, REGION, LocalAws
from mainstem import DeploymentFailed, InvalidInput, StoreBusy, StoreDenied, StoreError
from mainstem.aws import deployment as deploying
from mainstem.aws import environment
from mainstem.aws.account import STORE_TAG, Account
from mainstem.aws.bundle import Bundle
from mainstem.aws.bundles import Bundles
from mainstem.aws.deployment import Deployment
from mainstem.aws.destruction import Destruction
from mainstem.aws.redriving import bucket_of
from mainstem.aws.refusals import in_words, translated
from mainstem.cli.app import run

SOURCE = Path(deploying.__file__).parent
BUNDLE = Bundle(b"zip", "0" * 64, 1, 3)


@pytest.fixture(autouse=True)
def account(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> LocalAws:
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL_DYNAMODB", raising=False)
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("mainstem.aws.progress.EVERY", 0.1)
    monkeypatch.setattr(deploying, "build", lambda *_: BUNDLE)
    return aws


@pytest.fixture
def name() -> str:
    return f"s{uuid4().hex[:10]}"


# Names


def test_stores_whose_names_differ_have_stacks_of_their_own() -> None:
    names = [
        *("a-b", "a_b", "a.b", "a--b", "a-_b", "a_-b", "A-B", "A_B", "a-b-", "a-b_", "a-b."),
        *("x" * 99 + end for end in ("", "y", "yz", "yzz", "-yzz", "_yzz", ".yzz")),
    ]
    stacks = [Account(f"dynamodb://{each}?region=eu-west-1").stack for each in names]
    assert len(set(stacks)) == len(names)
    assert all(len(each) <= 128 and each.replace("-", "").isalnum() for each in stacks)
    assert Account("dynamodb://shop?region=eu-west-1").stack == "mainstem-shop"


def test_a_name_that_functions_can_not_have_is_refused_at_once() -> None:
    for wrong in ("a.b", "x" * 49):
        with pytest.raises(InvalidInput, match="can't be deployed"):
            Deployment(Account(f"dynamodb://{wrong}?region=eu-west-1"), {})


# Stacks of others

SOMEBODYS = {
    "Parameters": {"StoreName": {"Type": "String"}},
    "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
}
NAMELESS = {"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}


def made_stack(
    account: LocalAws, stack: str, parameter: str | None, tag: str | None
) -> Iterator[None]:
    cloudformation = account.client("cloudformation")
    cloudformation.create_stack(
        StackName=stack,
        TemplateBody=json.dumps(NAMELESS if parameter is None else SOMEBODYS),
        Parameters=[]
        if parameter is None
        else [{"ParameterKey": "StoreName", "ParameterValue": parameter}],
        Tags=[] if tag is None else [{"Key": STORE_TAG, "Value": tag}],
    )
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=stack, WaiterConfig={"Delay": 1}
    )
    yield
    cloudformation.delete_stack(StackName=stack)


@pytest.mark.parametrize(
    ("parameter", "tag"),
    [
        *(("other", "own"), ("own", "other"), ("other", "other")),
        *(("own", None), (None, "own"), (None, None)),
    ],
)
def test_a_stack_of_another_is_neither_changed_nor_deleted(
    account: LocalAws,
    name: str,
    parameter: str | None,
    tag: str | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """That of another store, or of something else that is called so."""
    url, stack = f"dynamodb://{name}", f"mainstem-{name}"
    said = {"own": name, "other": f"{name}_", None: None}
    for _ in made_stack(account, stack, said[parameter], said[tag]):
        for arguments in (
            ["deploy", "--plan"],
            ["deploy", "--yes"],
            ["destroy", "--yes"],
            ["destroy", "--yes", "--delete-data", name],
            ["redrive"],
        ):
            assert run(["--url", url, *arguments]) == 1, arguments
            told = capsys.readouterr().err
            assert f"The stack {stack} in {REGION} is not the stack of the store {name!r}" in told
            assert "Nothing was done" in told
        found = account.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        assert [each["StackStatus"] for each in found] == ["CREATE_COMPLETE"]


def test_a_plan_that_is_discarded_leaves_what_others_have_made_meanwhile(
    account: LocalAws, name: str
) -> None:
    mine = Account(f"dynamodb://{name}")
    plan = Deployment(mine, {}).plan()
    cloudformation = account.client("cloudformation")
    other = cloudformation.create_change_set(
        StackName=mine.stack,
        ChangeSetName="other",
        ChangeSetType="CREATE",
        TemplateBody=json.dumps(SOMEBODYS),
        Parameters=[{"ParameterKey": "StoreName", "ParameterValue": name}],
        Tags=[{"Key": STORE_TAG, "Value": name}],
    )
    Deployment(mine, {}).discard(plan)
    cloudformation.execute_change_set(ChangeSetName=other["Id"])
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=mine.stack, WaiterConfig={"Delay": 1}
    )
    Deployment(mine, {}).discard(plan)
    assert mine.described_stack() is not None
    cloudformation.delete_stack(StackName=mine.stack)


def test_a_plan_that_is_discarded_leaves_nothing(account: LocalAws, name: str) -> None:
    mine = Account(f"dynamodb://{name}")
    planning = Deployment(mine, {})
    planning.discard(planning.plan())
    assert mine.find_stack() is None


def test_what_destroy_says_is_so(
    account: LocalAws, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"dynamodb://{name}"
    for _ in made_stack(account, f"mainstem-{name}", name, name):
        assert run(["--url", url, "destroy", "--plan"]) == 0
        assert "1 resources would be deleted" in capsys.readouterr().out
        assert run(["--url", url, "destroy"]) == 2  # nobody can be asked here
        assert "--plan" in capsys.readouterr().err
        assert run(["--url", url, "destroy", "--plan", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["destroyed"], told["resources"], told["tables"]) == (False, ["Queue"], {})
        assert Account(url).described_stack() is not None
        assert run(["--url", url, "destroy", "--yes"]) == 0
        assert "Nothing of the store is left." in capsys.readouterr().out
        assert Account(url).described_stack() is None


def test_destroy_tells_programs_and_names_what_is_kept(
    account: LocalAws, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"dynamodb://{name}"
    for table in ("events", "log"):
        account.client("dynamodb").create_table(
            TableName=f"{name}-{table}",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        )
    assert run(["--url", url, "destroy", "--yes"]) == 0
    out = capsys.readouterr().out
    assert "There was no stack to delete." in out
    assert f"Kept: the table {name}-events, the table {name}-log." in out
    assert run(["--url", url, "destroy", "--yes", "--json", "--delete-data", name]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["destroyed"], told["deletes_data"]) == (True, True)
    assert list(told["tables"]) == [f"{name}-events", f"{name}-log"]
    assert run(["--url", url, "destroy", "--yes"]) == 1
    assert "There is no stack" in capsys.readouterr().err


# Buckets of others


def requests_of(client: Any) -> list[tuple[str, str | None]]:
    """The S3 requests of a client, and whose the bucket has to be for each."""
    seen: list[tuple[str, str | None]] = []

    def note(request: Any, event_name: str, **_: Any) -> None:
        owner = request.headers.get("x-amz-expected-bucket-owner")
        text = owner.decode() if isinstance(owner, bytes) else owner
        seen.append((event_name.rpartition(".")[2], text))

    client.meta.events.register("before-send.s3", note)
    return seen


def without_owner(seen: list[tuple[str, str | None]]) -> set[str]:
    return {operation for operation, owner in seen if owner != ACCOUNT}


def test_every_request_says_whose_the_bucket_has_to_be(name: str) -> None:
    mine = Account(f"dynamodb://{name}")
    seen = requests_of(mine.s3)
    bucket, _ = Bundles(mine).bucket(None, "")
    assert Bundles(mine).bucket(bucket, "") == Bundles(mine).bucket(None, bucket)
    Bundles(mine).put(bucket, "x/y.zip", BUNDLE)
    made = Bundles(mine)._made()
    list(Destruction(mine)._objects(made))
    mine.s3.delete_bucket(Bucket=made)
    # These two take no owner: they concern the account's own buckets alone.
    assert without_owner(seen) == {"ListBuckets", "CreateBucket"}
    assert {"HeadBucket", "PutObject", "PutPublicAccessBlock", "DeleteBucket"} <= {
        operation for operation, _ in seen
    }


def test_dead_letters_go_into_the_own_bucket_only(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = f"letters-{name}"
    Account(f"dynamodb://{name}").s3.create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    for said in (ACCOUNT, ""):  # without it, the account is that of the credentials
        monkeypatch.setenv("MAINSTEM_ACCOUNT", said)
        letters = environment.dead_letters(bucket)
        assert letters is not None
        seen = requests_of(letters._client)
        letters.keep({}, "1", "no reason", 0)
        assert len(list(letters)) == 1
        letters.remove(next(iter(letters)).key)
        assert without_owner(seen) == set()
        assert {"PutObject", "ListObjectsV2", "GetObject", "DeleteObject"} <= {
            operation for operation, _ in seen
        }


def test_s3_is_used_nowhere_else() -> None:
    """Clients of S3 are made in two places, both of which see to the owner."""
    makers = {
        path.name
        for path in SOURCE.parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and '"s3"' in [ast.unparse(arg).replace("'", '"') for arg in node.args]
    }
    assert makers == {"account.py", "environment.py"}
    for each in makers:
        text = (SOURCE / each).read_text()
        assert text.count('client("s3")') == text.count("only_own(")


@pytest.fixture
def foreign(account: LocalAws, name: str) -> Iterator[str]:
    """A bucket of another account."""
    session = botocore.session.Session()
    session.set_credentials("111111111111", "test")
    theirs = session.create_client("s3", REGION, endpoint_url=account.endpoint)
    bucket = f"mainstem-code-{REGION}-{name}"
    theirs.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    yield bucket
    theirs.delete_bucket(Bucket=bucket)


def test_a_bucket_of_another_account_is_refused(foreign: str, name: str) -> None:
    mine = Account(f"dynamodb://{name}")
    with pytest.raises(DeploymentFailed, match=f"{foreign} can't be used"):
        Bundles(mine).bucket(foreign, "")
    used, _ = Bundles(mine).bucket(None, foreign)  # taken since the last deployment
    assert used != foreign


def test_a_new_bucket_has_a_name_that_nobody_can_guess(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Account(f"dynamodb://{name}")
    with monkeypatch.context() as patched:
        patched.setattr(Bundles, "_found", lambda _: [])
        (first, made), (second, _) = (Bundles(mine).bucket(None, "") for _ in range(2))
    assert made
    assert first != second
    assert ACCOUNT not in first
    assert len(first.rpartition("-")[2]) == 16
    _, made = Bundles(Account(f"dynamodb://other{name}")).bucket(None, "")
    assert not made, "the account's stores share one"
    assert Bundles(mine).bucket(None, second) == (second, False), "a stack keeps that which it has"
    for each in (first, second):
        mine.s3.delete_bucket(Bucket=each)


# AWS out of reach

COMMANDS = [["deploy", "--plan"], ["destroy", "--yes"], ["redrive"], ["redrive", "--bucket", "b"]]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_without_credentials_it_says_what_to_set(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable)
    assert run(["--url", "dynamodb://shop", *arguments]) == 4
    told = capsys.readouterr().err
    assert told.startswith("mainstem: There are no AWS credentials. Set AWS_PROFILE, or")


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_without_a_network_it_says_so(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert run(["--url", "dynamodb://shop?timeout=1", *arguments]) == 4
    told = capsys.readouterr().err
    assert "can't be reached" in told or "no connection to" in told
    assert "a bug in Mainstem" not in told


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_credentials_that_are_not_accepted_are_denied(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN")
    assert run(["--url", "dynamodb://shop", *arguments]) == 4
    assert "credentials" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_profile_that_is_not_there_is_denied(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--url", "dynamodb://shop?profile=nobody", *arguments]) == 4
    assert "Set another profile" in capsys.readouterr().err


def refusal(code: str) -> botocore.exceptions.ClientError:
    return botocore.exceptions.ClientError(
        {"Error": {"Code": code, "Message": "said"}}, "DescribeStacks"
    )


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (refusal("AccessDenied"), StoreDenied, "AWS denies DescribeStacks"),
        (refusal("ExpiredToken"), StoreDenied, "does not accept the credentials"),
        (refusal("InvalidClientTokenId"), StoreDenied, "does not accept the credentials"),
        (refusal("Throttling"), StoreBusy, "Try again"),
        (refusal("ValidationError"), DeploymentFailed, "AWS refuses DescribeStacks"),
        (botocore.exceptions.NoCredentialsError(), StoreDenied, "no AWS credentials"),
        (
            botocore.exceptions.PartialCredentialsError(provider="env", cred_var="x"),
            StoreDenied,
            "can't get AWS credentials",
        ),
        (
            botocore.exceptions.CredentialRetrievalError(provider="sso", error_msg="x"),
            StoreDenied,
            "can't get AWS credentials",
        ),
        (botocore.exceptions.UnauthorizedSSOTokenError(), StoreDenied, "can't get AWS credentials"),
        (
            botocore.exceptions.EndpointConnectionError(endpoint_url="http://x"),
            StoreBusy,
            "can't be reached",
        ),
        (botocore.exceptions.ReadTimeoutError(endpoint_url="http://x"), StoreBusy, "be reached"),
        (botocore.exceptions.NoRegionError(), StoreError, "can't be used with these settings"),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else None,
)
def test_what_botocore_raises_is_told_in_words(
    error: Exception, kind: type[Exception], told: str
) -> None:
    assert type(translated(error, "do it")) is kind
    with pytest.raises(kind, match=told), in_words("do it"):
        raise error


def test_without_a_stack_there_is_no_bucket_of_dead_letters(name: str) -> None:
    with pytest.raises(DeploymentFailed, match="--bucket"):
        bucket_of(Account(f"dynamodb://{name}"))


def test_no_password_of_a_proxy_is_told() -> None:
    error = botocore.exceptions.ProxyConnectionError(proxy_url="http://ada:hunter2@proxy:3128")
    assert "hunter2" in str(error)
    assert "hunter2" not in str(translated(error, "deploy"))
    with pytest.raises(StoreBusy) as caught, in_words("deploy"):
        raise error
    assert "hunter2" not in str(caught.value)
