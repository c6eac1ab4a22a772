"""Where DynamoDB and its change streams are, and the proxy on the way."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import botocore.config
import botocore.session
import botocore.utils

from mainstem.errors import InvalidInput
from mainstem.text.redaction import has_credentials, shown

_URL: Final = re.compile(r"https?://[!-~]+")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")


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


def proxy_of(endpoint: str, configured: dict[str, str] | None) -> tuple[str | None, dict[str, str]]:
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
