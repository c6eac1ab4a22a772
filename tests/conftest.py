"""What any test may ask for.

Nothing here needs Java or an AWS SDK until a test asks for it, so that tests of other things run without.
"""

from __future__ import annotations

import functools
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import dynamodb_local
import example_help

if TYPE_CHECKING:
    import faulty_server
    import local_aws

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_LONG = (
    "test_aws_end_to_end",
    "test_cli_dynamodb",
    "test_import_dynamodb",
    "test_kill",
    "test_kill_sequencing",
    "test_sequencing_costs",
    "test_sequencing_local",
)
"""Modules that have a test of 20 s or more."""
_SERVER = pytest.StashKey[dynamodb_local.Starting]()


def pytest_configure() -> None:
    """Ctrl-C is tested. What a script starts in the background ignores it, and so would what we start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """One more than there are processors: tests wait for servers and for processes that they start."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None  # pytest-xdist's own answer, which obeys that
    allowed = getattr(os, "sched_getaffinity", None)  # not everywhere
    return 1 + (len(allowed(0)) if allowed else os.cpu_count() or 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, or one of them runs alone in the end."""
    items.sort(key=lambda item: item.path.stem not in _LONG)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Start one DynamoDB Local for all workers of pytest-xdist, while they collect their tests."""
    config: pytest.Config = node.config
    if _SERVER not in config.stash:
        try:
            config.stash[_SERVER] = dynamodb_local.Starting()
        except FileNotFoundError:
            return  # the tests that need it tell
    node.workerinput["dynamodb"] = config.stash[_SERVER].server.endpoint


def pytest_unconfigure(config: pytest.Config) -> None:
    if _SERVER in config.stash:
        config.stash[_SERVER].stop()


@pytest.fixture(scope="session")
def dynamodb(pytestconfig: pytest.Config) -> Iterator[dynamodb_local.Server]:
    """DynamoDB Local, shared by all tests: each makes tables with names of its own.

    The environment has its region and credentials, but not its endpoint.
    """
    with pytest.MonkeyPatch.context() as patch:
        endpoint = getattr(pytestconfig, "workerinput", {}).get("dynamodb")
        if endpoint is not None:
            server = dynamodb_local.wait_for(dynamodb_local.Server(endpoint))
            _set_environment(patch, server)
            yield server
        else:
            with dynamodb_local.running() as server:
                _set_environment(patch, server)
                yield server


@pytest.fixture(scope="session")
def aws() -> Iterator[local_aws.LocalAws]:
    """A whole local AWS, one for each worker of pytest-xdist. It enforces policies. Nothing in the
    environment leads there.
    """
    import local_aws

    with local_aws.running() as found:
        yield found


@pytest.fixture
def this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail at once where a test would wait for another machine: one that a text made up for it names, or
    that of a cloud which hands out credentials. Nothing catches this failure.
    """
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def connect_here(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in _LOOPBACK:
            pytest.fail(f"connects to {address}")
        connect(self, address)

    def look_up_here(host: Any, *args: Any, **options: Any) -> Any:
        if host not in _LOOPBACK:
            pytest.fail(f"looks up {host}")
        return look_up(host, *args, **options)

    monkeypatch.setattr(socket.socket, "connect", connect_here)
    monkeypatch.setattr(socket, "getaddrinfo", look_up_here)


@pytest.fixture(params=("blocking", "async"))
def kind(request: pytest.FixtureRequest) -> str:
    """Of the two clients of DynamoDB."""
    name: str = request.param
    return name


@pytest.fixture
def server() -> Iterator[faulty_server.FaultyServer]:
    """A server that answers as its script says."""
    import faulty_server

    with faulty_server.faulty_server() as running:
        yield running


@pytest.fixture
def credentials_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what the environment says to AWS libraries, only credentials and a region; and no proxy."""
    for name in [name for name in os.environ if name.startswith("AWS_") or "proxy" in name.lower()]:
        monkeypatch.delenv(name)
    for name, value in dynamodb_local.environment(dynamodb_local.Server("")).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked once is trusted, however slow the machine is: for tests that count requests."""
    from mainstem.dynamodb.client.trust import Trust

    monkeypatch.setattr(
        Trust, "holds", lambda trust, moment, *_: moment is not None and trust.is_of_now(moment)
    )
    monkeypatch.setattr(Trust, "reaches", lambda _, moment, later: moment.era is later.era)


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the path, in which the adapter in `examples/` is installed."""
    folder = tmp_path_factory.mktemp("example")
    example_help.install(folder)
    return folder


@pytest.fixture
def example_of_page(
    page: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a page of the documentation takes for installed."""
    if "journal://" in page.read_text():
        monkeypatch.syspath_prepend(str(request.getfixturevalue("example")))


@pytest.fixture
def dynamodb_of_page(
    page: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a page of the documentation takes for AWS. Pages use stores of different names."""
    if "dynamodb://" in page.read_text():
        server: dynamodb_local.Server = request.getfixturevalue("dynamodb")
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", server.endpoint)


@pytest.fixture
def moto_of_page(page: Path) -> Iterator[None]:
    """moto's import leaves a hook behind, which other tests shall not see."""
    if "moto" not in page.read_text():
        yield
        return
    import moto_help

    with moto_help.imported_moto():
        yield


@pytest.fixture
def cdk_of_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a page about the CDK takes for given: functions, and a bundle that needs no network."""
    if "mainstem.aws.cdk" in page.read_text():
        import aws_cdk

        from cdk_help import EMPTY_ZIP
        from mainstem.aws.bundle import Bundle

        bundle = Bundle(EMPTY_ZIP, "0" * 64, 0, 0)
        monkeypatch.setattr("mainstem.aws.cdk.build", lambda *_: bundle)
        # Node.js keeps the environment and the folder that it was started in.
        app = functools.partial(aws_cdk.App, outdir=str(tmp_path / "cdk.out"))
        monkeypatch.setattr("aws_cdk.App", app)
        (tmp_path / "functions").mkdir()
        (tmp_path / "functions" / "shop.py").touch()


def _set_environment(patch: pytest.MonkeyPatch, server: dynamodb_local.Server) -> None:
    for name, value in dynamodb_local.environment(server).items():
        patch.setenv(name, value)
    for name in (
        "AWS_PROFILE",
        "AWS_SESSION_TOKEN",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_DYNAMODB",
    ):
        patch.delenv(name, raising=False)
