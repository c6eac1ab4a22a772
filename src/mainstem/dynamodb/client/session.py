"""Where DynamoDB is and who asks: region, endpoint, credentials, clock. All from botocore."""

from __future__ import annotations

import copy
import os
import platform
import re
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

import botocore.config
import botocore.exceptions
import botocore.httpsession
import botocore.session
import botocore.utils

from mainstem.dynamodb.client.signing import FrozenCredentials, Signer
from mainstem.errors import InvalidInput, MainstemError, StoreDenied, StoreError
from mainstem.telemetry.guard import Guard
from mainstem.text.printable import quoted
from mainstem.text.redaction import has_credentials, redacted, shown

_URL: Final = re.compile(r"https?://[!-~]+")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
_NOT_IN_A_HEADER: Final = re.compile(r"[^ -~]")
_NO_CREDENTIALS: Final = (
    "There are no AWS credentials. Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
    "or run where a role gives them."
)


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


class Session:
    """One endpoint, the credentials for it, and how far this machine's clock is off."""

    def __init__(
        self,
        client: Any,
        find_credentials: Callable[[], Any] | None = None,
        make: Callable[..., Any] | None = None,
    ) -> None:
        """``client`` is a DynamoDB client of botocore's or boto3's. ``find_credentials`` looks for
        credentials again, where those that the client has can't be refreshed. ``make`` makes
        clients set up alike; by default the environment's.
        """
        config = client.meta.config
        self.region: str = client.meta.region_name
        self.connect_timeout: float | None = config.connect_timeout
        self.read_timeout: float | None = config.read_timeout
        self.max_connections: int = config.max_pool_connections
        self.max_tries: int | None = tries_of(config)
        self.user_agent = _user_agent(config)
        self._set_endpoint(client.meta.endpoint_url, config.proxies)
        # botocore has no public name for these two.
        self._verify: Any = getattr(client._endpoint.http_session, "_verify", True)
        self._credentials: Any = client._request_signer._credentials
        self._client_cert = config.client_cert
        self._process = os.getpid()
        self._find_credentials = find_credentials
        self._make = make
        self._config = config
        self._changes: Session | None = None
        self._refreshing = Guard()
        self._opening = Guard()
        self._clock_offset = 0.0

    def _set_endpoint(self, endpoint: str, proxies: dict[str, str] | None) -> None:
        check_endpoint(endpoint)
        self.endpoint = endpoint
        self.proxy, self.proxy_headers = _proxy(endpoint, proxies)
        self.unsigned_headers = {"User-Agent": self.user_agent}
        """Headers of each request besides those that `sign` makes."""
        if not self.uses_tls:  # a proxy takes the request itself, and is told within it who asks
            self.unsigned_headers |= self.proxy_headers
        self._signer = Signer(endpoint, self.region)

    @property
    def uses_tls(self) -> bool:
        return self.endpoint.startswith("https:")

    def sign(self, operation: str, body: bytes) -> dict[str, str]:
        """The headers that are signed, and the signature. May look for fresh credentials, unless
        `needs_refresh` denies.
        """
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() + self._clock_offset))
        return self._signer.headers(self._frozen(), stamp, operation, body)

    def needs_refresh(self) -> bool:
        """Whether getting the credentials may take long: they expire soon, or were never asked for."""
        refresh_needed = getattr(self._own_credentials(), "refresh_needed", None)
        return refresh_needed is not None and bool(refresh_needed())

    def refresh(self) -> None:
        """Get fresh credentials if they expire soon. Blocks."""
        self._frozen()

    def renew(self, refused: str | None) -> bool:
        """Get other credentials than those with this token, which were called expired. Blocks.

        False: there are none.
        """
        with self._refreshing():
            if self._frozen().token == refused:
                try:
                    if hasattr(self._credentials, "_protected_refresh"):
                        self._credentials._protected_refresh(is_mandatory=True)
                    elif self._find_credentials is not None:
                        self._credentials = self._find_credentials()
                except botocore.exceptions.BotoCoreError as error:
                    raise StoreDenied(
                        f"The AWS credentials have expired: {redacted(str(error))}"
                    ) from error
            return self._frozen().token != refused

    def set_clock(self, date: str | None) -> bool:
        """Go by a reply's Date from now on. False: it tells nothing."""
        try:
            self._clock_offset = parsedate_to_datetime(date or "").timestamp() - time.time()
        except ValueError:
            return False
        return True

    def for_changes(self) -> Session:
        """The session for change streams: AWS serves them at another endpoint. May read files.

        An endpoint that is not AWS's own (DynamoDB Local) serves both, unless another is set for
        DynamoDB Streams (``AWS_ENDPOINT_URL_DYNAMODB_STREAMS``).
        """
        with self._opening():
            if self._changes is None:
                self._changes = self._open_for_changes()
            return self._changes

    def _open_for_changes(self) -> Session:
        endpoint = endpoint_of_changes(self.endpoint, self.region, self._config, self._make)
        if endpoint == self.endpoint:
            return self
        changes = copy.copy(self)
        changes._set_endpoint(endpoint, self._config.proxies)
        return changes

    def tls(self) -> ssl.SSLContext | None:
        """How to trust the endpoint; None where it is spoken to in the clear."""
        if not self.uses_tls:
            return None
        trusted = botocore.httpsession.get_cert_path(self._verify)
        try:
            return self._tls_with(trusted)
        except OSError as error:
            raise StoreError(
                f"The certificates for {self.endpoint} can't be read ({trusted}, or the client's own): "
                f"{error}. See AWS_CA_BUNDLE, and `ca_bundle` in the profile."
            ) from error

    def _tls_with(self, trusted: str | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=trusted)
        if self._verify is False:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if isinstance(self._client_cert, str):
            context.load_cert_chain(self._client_cert)
        elif self._client_cert:
            context.load_cert_chain(*self._client_cert)
        return context

    def _own_credentials(self) -> Any:
        """Those of this process: botocore's lock may have been held when its parent forked it."""
        process = os.getpid()
        if process != self._process:
            if hasattr(self._credentials, "_refresh_lock"):
                self._credentials = copy.copy(self._credentials)
                self._credentials._refresh_lock = threading.Lock()
            self._process = process
        return self._credentials

    def _frozen(self) -> FrozenCredentials:
        credentials = self._own_credentials()
        if credentials is None:
            raise StoreDenied(_NO_CREDENTIALS)
        try:
            frozen: FrozenCredentials = credentials.get_frozen_credentials()
        except botocore.exceptions.BotoCoreError as error:
            raise StoreDenied(
                f"The AWS credentials can't be had: {redacted(str(error))}"
            ) from error
        return frozen


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


def open_session(settings: Settings | None = None, client: Any = None) -> Session:
    """A session as the settings say, or as a client or session of the user's own is set up."""
    return session_of(find_client(settings, client))


def session_of(found: Found) -> Session:
    with _told():
        return Session(found.client, found.find_credentials, found.make)


def find_client(settings: Settings | None = None, client: Any = None) -> Found:
    """A client as the settings say, or the user's own.

    ``client`` may be a DynamoDB client or a session, of botocore or boto3. A client brings
    everything with it; a session takes the settings besides.
    """
    settings = settings or Settings()
    if settings.endpoint is not None:
        check_endpoint(settings.endpoint)
    if hasattr(client, "meta"):
        client = getattr(client.meta, "client", client)  # a resource has a client
        if client.meta.service_model.service_name != "dynamodb":
            raise InvalidInput(f"{quoted(client, 200)} is not a client for DynamoDB.")
        return Found(client, is_handed_over=True)
    with _told():
        if client is not None:
            make = getattr(client, "create_client", None) or getattr(client, "client", None)
            if make is None:
                raise InvalidInput(
                    f"{quoted(client, 200)} is not a client or session of botocore or boto3."
                )
            if type(client).__module__.startswith(("aiobotocore.", "aioboto3.")):
                raise InvalidInput(
                    f"{quoted(client, 200)} makes clients on an event loop: hand over a client of its, not "
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
def _told() -> Iterator[None]:
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
        raise InvalidInput(f"DynamoDB can't be reached as it is set up: {told}") from None
    except botocore.exceptions.ProfileNotFound as error:
        raise StoreDenied(f"{error}. Set another profile.") from error
    except botocore.exceptions.BotoCoreError as error:
        told = redacted(str(error))
        raise StoreError(f"DynamoDB can't be reached as it is set up: {told}") from error


def endpoint_of_changes(
    endpoint: str, region: str, config: Any, make: Callable[..., Any] | None
) -> str:
    """Where the change streams of the tables at an endpoint are read. May read files.

    AWS serves them at another endpoint of the Region, whichever of its own the tables are at: the
    public one, one with FIPS, or an interface endpoint in a VPC, which serves the tables only. One
    that is not AWS's (DynamoDB Local) serves both. ``AWS_ENDPOINT_URL_DYNAMODB_STREAMS`` says another.
    """
    make = make or botocore.session.Session().create_client

    def found(service: str, *, of_aws: bool) -> str:
        # It sends nothing: with keys of its own it need not look for any.
        client = make(
            service,
            region_name=region,
            config=config.merge(botocore.config.Config(ignore_configured_endpoint_urls=of_aws)),
            aws_access_key_id="none",
            aws_secret_access_key="none",
        )
        url: str = client.meta.endpoint_url
        return url

    of_aws = found("dynamodbstreams", of_aws=True)
    configured = found("dynamodbstreams", of_aws=False)
    if configured != of_aws:
        return configured
    host = (urlsplit(endpoint).hostname or "").lower()
    domain = (urlsplit(of_aws).hostname or "").partition(f".{region}.")[2]
    return of_aws if host.endswith((f".{domain}", *_OTHER_DOMAINS)) else endpoint


_OTHER_DOMAINS: Final = (".api.aws", ".api.amazonwebservices.com.cn")
"""Of AWS's, for addresses of both kinds (IPv4 and IPv6)."""


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


def tries_of(config: Any) -> int | None:
    """How many tries of a request the user's settings allow; None where they say nothing."""
    tries = (config.retries or {}).get("total_max_attempts")
    return None if tries is None else max(1, int(tries))


def _user_agent(config: Any) -> str:
    try:
        release = version("mainstem")
    except PackageNotFoundError:  # its files were put where they are without it
        release = "0"
    parts = [f"mainstem/{release}", f"lang/python#{platform.python_version()}"]
    if config.user_agent_appid:
        parts.append(f"app/{config.user_agent_appid}")
    if config.user_agent_extra:
        parts.append(config.user_agent_extra)
    return _NOT_IN_A_HEADER.sub("-", " ".join(parts))


def check_endpoint(endpoint: str, *, is_secret: bool = False) -> None:
    """Raise `InvalidInput` for what is no URL of a server. It shows nothing of one that ``is_secret``."""
    if not _is_endpoint(endpoint):
        told = "***" if is_secret else f"{shown(endpoint)!r:.200}"
        advice = (
            " DynamoDB is asked with AWS credentials, not with a password: leave out what stands before "
            "the '@', and the '@'. A proxy's user and password belong into HTTPS_PROXY (HTTP_PROXY for "
            "an http:// endpoint), percent-encoded."
            if is_secret or has_credentials(endpoint)
            else ""
        )
        raise InvalidInput(
            f"endpoint={told}: give the URL of a server, such as http://localhost:8000, with no user, "
            f"password or options.{advice}"
        )


def _is_endpoint(endpoint: str) -> bool:
    try:
        parts = urlsplit(endpoint)
        name, port = parts.hostname or "", parts.port
    except ValueError:  # of a port, of brackets
        return False
    return (
        _URL.fullmatch(endpoint) is not None
        and (_NAME.fullmatch(name) is not None or ":" in name)
        and port != 0
        # What follows is valid as such, and left of a password whose "/", "?", "#" or ":" ended the
        # server's name early: the user would be taken for the server, and waited for.
        and not parts.netloc.endswith(":")
        and not has_credentials(endpoint)
        and "?" not in endpoint
        and "#" not in endpoint
    )


def _proxy(endpoint: str, configured: dict[str, str] | None) -> tuple[str | None, dict[str, str]]:
    """The URL of the proxy to go through, as botocore finds it, without user and password; and the
    header that has them.
    """
    proxies = botocore.utils.get_environ_proxies(endpoint) if configured is None else configured
    found: str | None = proxies.get(endpoint.partition(":")[0])
    if found is None:
        return None, {}
    found = found if "://" in found else f"http://{found}"
    try:
        parts = urlsplit(found)
        port = "" if parts.port is None else f":{parts.port}"
        usable = parts.scheme == "http" and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable or not _URL.fullmatch(found):
        raise InvalidInput(
            f"The proxy {shown(found)!r:.200} can't be used: give one that begins with http://, its "
            "user and password percent-encoded where they have other characters than letters and digits."
        )
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    if parts.username is None:
        return f"http://{host}{port}", {}
    user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    basic = f"Basic {b64encode(user.encode()).decode()}"
    return f"http://{host}{port}", {"Proxy-Authorization": basic}
