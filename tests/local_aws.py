"""A whole local AWS (MiniStack), for as long as a test runs: CloudFormation, DynamoDB with its streams,
Lambda, S3, SQS, SNS, EventBridge, Kinesis.

By default it enforces policies: a role may do what its policies say, and nothing else.

To try something by hand: ``python tests/local_aws.py`` prints the environment that leads there, and
stops it on Ctrl-C or when standard input closes.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import botocore.config
import botocore.session

from guarded_server import GuardedServer, free_port

REGION: Final = "eu-west-1"
ACCOUNT: Final = "000000000000"


class LocalAws(NamedTuple):
    endpoint: str

    def environment(self) -> dict[str, str]:
        """What makes the AWS libraries talk to it, here and in processes started from here."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",  # MiniStack's root user
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def session(self) -> botocore.session.Session:
        """A session that leads there."""
        session = botocore.session.Session()
        session.set_credentials("test", "test")
        session.set_config_variable("region", REGION)
        return session

    def client(self, service: str) -> Any:
        """A client of botocore's that leads there."""
        config = botocore.config.Config(retries={"max_attempts": 0}, read_timeout=60)
        return self.session().create_client(service, endpoint_url=self.endpoint, config=config)


def python() -> Path:
    """The Python that runs it, and Lambda functions in it, where ``make test`` has put it or
    MAINSTEM_LOCAL_AWS says it is.
    """
    folder = os.environ.get("MAINSTEM_LOCAL_AWS")
    found = (Path(folder) if folder else Path(sys.prefix, "local-aws")) / "bin" / "python"
    if not found.exists():
        raise FileNotFoundError(f"There is no MiniStack at {found}: `make test` sets it up")
    return found


@contextlib.contextmanager
def running(*, enforce_policies: bool = True) -> Iterator[LocalAws]:
    port = free_port()
    aws = LocalAws(f"http://127.0.0.1:{port}")
    with tempfile.TemporaryDirectory(prefix="mainstem-local-aws-") as folder:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("AWS_")
        } | {
            "GATEWAY_PORT": str(port),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_REGION": REGION,
            "AWS_ENDPOINT_URL": aws.endpoint,  # for functions
            "AUTH": str(enforce_policies).lower(),
            "LOG_LEVEL": os.environ.get("MAINSTEM_LOCAL_AWS_LOG", "ERROR"),
            "TMPDIR": folder,
        }
        server = GuardedServer([str(python()), "-m", "ministack"], port, Path(folder), environment)
        try:
            server.wait()
            yield aws
        finally:
            server.stop()


if __name__ == "__main__":
    with running() as local, contextlib.suppress(KeyboardInterrupt):
        for name, value in local.environment().items():
            sys.stdout.write(f"export {name}={value}\n")
        sys.stdout.flush()
        sys.stdin.read()
