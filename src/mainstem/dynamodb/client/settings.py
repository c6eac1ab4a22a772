"""How DynamoDB is reached: from settings, or what the user hands over, to a client of botocore's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import botocore.config
import botocore.exceptions
import botocore.session

from mainstem.dynamodb.client.endpoints import check_endpoint, endpoint_of_changes
from mainstem.errors import InvalidInput, MainstemError, StoreDenied, StoreError
from mainstem.text.printable import quoted
from mainstem.text.redaction import redacted


@dataclass(frozen=True, slots=True)
class Settings:
    """How to reach DynamoDB. What is None comes from botocore: environment, profile, machine."""

    region: str | None = None
    endpoint: str | None = field(default=None, repr=False)
    """A URL, where it is not the region's own."""
    profile: str | None = None
    connect_timeout: float = 3.0
    """Seconds."""
    read_timeout: float = 10.0
    """Seconds without a byte of the reply."""
    max_connections: int = 64
    """Connections kept open; the async driver opens no more than these at a time."""


class Found(NamedTuple):
    """A DynamoDB client of botocore's, and what else is known of how it came about."""

    client: Any
    is_handed_over: bool
    """It is the user's own, and not made from settings or a session."""
    make: Callable[..., Any] | None = None
    """Makes clients set up alike; None: nothing is known but the client."""
    find_credentials: Callable[[], Any] | None = None

    def for_changes(self) -> Any:
        """A client for change streams with the same credentials and settings; its hooks are those of
        the session, where one was handed over.
        """
        client, make = self.client, self.make
        if make is None:
            session = botocore.session.Session()
            session._credentials = client._request_signer._credentials
            make = session.create_client
        config, region = client.meta.config, client.meta.region_name
        endpoint = endpoint_of_changes(client.meta.endpoint_url, region, config, self.make)
        return make("dynamodbstreams", region_name=region, endpoint_url=endpoint, config=config)


def find_client(settings: Settings | None = None, client: Any = None) -> Found:
    """A client as the settings say, or the user's own.

    ``client`` may be a DynamoDB client or a session, of botocore or boto3. A client brings
    everything with it; a session also takes the settings.
    """
    settings = settings or Settings()
    if settings.endpoint is not None:
        check_endpoint(settings.endpoint)
    if hasattr(client, "meta"):
        client = getattr(client.meta, "client", client)  # a resource has a client
        if client.meta.service_model.service_name != "dynamodb":
            raise InvalidInput(f"{quoted(client, 200)} is not a client for DynamoDB.")
        return Found(client, is_handed_over=True)
    with explained():
        if client is not None:
            make = getattr(client, "create_client", None) or getattr(client, "client", None)
            if make is None:
                raise InvalidInput(
                    f"{quoted(client, 200)} is not a client or session of botocore or boto3."
                )
            if type(client).__module__.startswith(("aiobotocore.", "aioboto3.")):
                raise InvalidInput(
                    f"{quoted(client, 200)} makes clients on an event loop: give such a client, not "
                    "the session."
                )
            made = _new_client(make, settings)
            return Found(made, is_handed_over=False, make=make)

        session = botocore.session.Session(profile=settings.profile)

        def find_credentials() -> Any:
            return botocore.session.Session(profile=settings.profile).get_credentials()

        made = _new_client(session.create_client, settings)
        return Found(made, False, session.create_client, find_credentials)


@contextmanager
def explained() -> Iterator[None]:
    """Have botocore's errors say what to do next."""
    try:
        yield
    except MainstemError:
        raise
    except botocore.exceptions.NoRegionError as error:
        raise StoreError(
            "No AWS region is set. Give one in the URL (dynamodb://shop?region=eu-west-1), or set "
            "AWS_DEFAULT_REGION or the profile's region."
        ) from error
    except (botocore.exceptions.InvalidRegionError, ValueError) as error:
        # Such as an endpoint in the environment; what botocore says of it would show all of it.
        told = redacted(str(error))
        raise InvalidInput(f"DynamoDB can't be reached with these settings: {told}") from None
    except botocore.exceptions.ProfileNotFound as error:
        raise StoreDenied(f"{error}. Set another profile.") from error
    except botocore.exceptions.BotoCoreError as error:
        told = redacted(str(error))
        raise StoreError(f"DynamoDB can't be reached with these settings: {told}") from error


def _new_client(make: Callable[..., Any], settings: Settings) -> Any:
    return make(
        "dynamodb",
        region_name=settings.region,
        endpoint_url=settings.endpoint,
        config=botocore.config.Config(
            connect_timeout=settings.connect_timeout,
            read_timeout=settings.read_timeout,
            max_pool_connections=settings.max_connections,
        ),
    )
