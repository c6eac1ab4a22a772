"""What requests to one endpoint need: credentials, a signature, the clock, certificates. From botocore."""

from __future__ import annotations

import copy
import os
import platform
import re
import ssl
import threading
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import botocore.config
import botocore.exceptions
import botocore.httpsession
import botocore.session
import botocore.utils

from mainstem.dynamodb.client.endpoints import check_endpoint, endpoint_of_changes, proxy_of
from mainstem.dynamodb.client.settings import Found, Settings, explained, find_client
from mainstem.dynamodb.client.signing import FrozenCredentials, Signer
from mainstem.errors import StoreDenied, StoreError
from mainstem.telemetry.guard import Guard
from mainstem.text.redaction import redacted

_NOT_IN_A_HEADER: Final = re.compile(r"[^ -~]")
_NO_CREDENTIALS: Final = (
    "There are no AWS credentials. Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
    "or run where a role gives them."
)


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
        self.proxy, self.proxy_headers = proxy_of(endpoint, proxies)
        self.unsigned_headers = {"User-Agent": self.user_agent}
        """Headers of each request in addition to those that `sign` makes."""
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
                f"Mainstem can't get AWS credentials: {redacted(str(error))}"
            ) from error
        return frozen


def open_session(settings: Settings | None = None, client: Any = None) -> Session:
    """A session as the settings say, or as a client or session of the user's own is set up."""
    return session_of(find_client(settings, client))


def session_of(found: Found) -> Session:
    with explained():
        return Session(found.client, found.find_credentials, found.make)


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
