"""No password of a URL, an endpoint or a proxy is told: in messages, in reprs, in tracebacks, in logs."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import dynamodb_local
import mainstem
from dynamodb_help import KINDS, runner
from faulty_server import Answer, faulty_server
from mainstem.dynamodb import create_tables
from mainstem.dynamodb.client.requests import Get, Key, Table
from mainstem.dynamodb.client.session import open_session
from mainstem.dynamodb.client.settings import Settings
from mainstem.dynamodb.url import parse
from mainstem.errors import InvalidInput, MainstemError
from mainstem.text.redaction import redacted, shown

pytestmark = pytest.mark.usefixtures("this_machine_only")

GET = Get(Table("some-table", "pk", "sk"), Key("a", 1))

SECRET = "hunter2"
"""Within whatever else a password has; long enough not to be there by chance."""

around = st.text(st.characters(blacklist_categories=["Cs"]), max_size=8)
passwords = st.builds(lambda before, after: f"{before}{SECRET}{after}", around, around)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_") or "proxy" in name.lower()]:
        monkeypatch.delenv(name)
    for name, value in dynamodb_local.environment(dynamodb_local.Server("")).items():
        monkeypatch.setenv(name, value)


def told(call: Callable[[], Any]) -> str:
    """Everything that an error of ours tells, with its causes; empty where there is none."""
    try:
        made = call()
    except MainstemError as error:
        lines = traceback.format_exception(error)
        return "".join(lines) + repr(error) + repr(vars(error))
    return repr(made)


def opened(url: str) -> Any:
    """As far as a store gets without a network."""
    place = parse(url)
    session = open_session(place.settings)
    return place, place.settings, session


@given(passwords)
@example(f"pa/ss{SECRET}?x#y")
@example(f"p@{SECRET}@")
@example(f"{SECRET} with spaces\n")
@example(f"/N{SECRET}/N")
@example(f"1/N{SECRET}/N")
@example(f"{SECRET}&region=")
@example(f"&region={SECRET}")
@example(f"1&timeout={SECRET}&region=")
@example(f"1/{SECRET}&sequencing=")
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50
)
def test_no_url_tells_the_password_in_it(password: str) -> None:
    for written in (password, quote(password, safe="")):
        for url in (
            f"dynamodb://ada:{written}@shop",
            f"dynamodb://shop?endpoint=http://ada:{written}@localhost:8000",
            f"dynamodb://shop?endpoint=ada:{written}@localhost:8000",
            f"dynamodb://shop?endpoint={quote(f'http://ada:{written}@localhost', safe='')}",
            f"dynamodb://shop?password={written}",
            f"dynamodb://ada:{written}@shop?regoin=eu-west-1",
            f"postgresql://ada:{written}@db.example/shop",
            f"postgresql://ada:{written}@db.example/shop{'x' * 300}",
            f"ada:{written}@db.example",
        ):
            for call in (mainstem.connect, mainstem.connect_async, create_tables, opened):
                says = told(lambda url=url, call=call: call(url))  # type: ignore[misc]
                says = says.replace(repr(url), "")  # the line of this test that calls
                assert SECRET not in says, (url, says)


@given(passwords)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_what_is_shown_of_a_url_has_no_secret_and_still_its_place(password: str) -> None:
    place = f"http://ada:{quote(password, safe='')}@proxy.example:3128/path"
    assert redacted(f"can't connect to {place}!") == (
        "can't connect to http://***@proxy.example:3128/path!"
    )
    assert shown(place) == "http://***@proxy.example:3128/path"
    assert SECRET not in shown(f"{place}?key={password}")
    assert shown("dynamodb://shop?region=eu-west-1") == "dynamodb://shop?…"


def test_session_tokens_that_aws_quotes_are_left_out() -> None:
    says = "The Canonical String should have been 'POST\n/\nx-amz-security-token:abc/def==\nx-amz-"
    assert "abc/def" not in redacted(says)
    assert redacted("nothing to hide") == "nothing to hide"


PROXIES = [
    "http://ada:{}@127.0.0.1:{port}",
    "ada:{}@127.0.0.1:{port}",
    "https://ada:{}@127.0.0.1:{port}",
    "socks5://ada:{}@127.0.0.1:{port}",
    "http://ada:{}@127.0.0.1:{port}0000",
    "http://ada:{}@[::1",
    "http://ada:{}@",
    "http://ada:{} x@127.0.0.1:{port}",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("proxy", PROXIES)
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "answer",
    [
        Answer(b"", 407),
        Answer(sent=0),
        Answer(raw=b"no HTTP\r\n\r\n"),
        Answer(raw=b"HTTP/1.1 407 for http://ada:hunter2@proxy\r\n\r\n"),
    ],
)
def test_no_error_tells_a_proxys_password(
    kind: str,
    proxy: str,
    scheme: str,
    answer: Answer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="mainstem")
    with faulty_server([answer] * 4) as server:
        port = server.endpoint.rpartition(":")[2]
        monkeypatch.setenv(f"{scheme.upper()}_PROXY", proxy.format(SECRET, port=port))
        try:
            made: Any = runner(kind, Settings(endpoint=f"{scheme}://dynamodb.invalid"))
        except InvalidInput as error:
            says = "".join(traceback.format_exception(error))
        else:
            client = made.driver._client
            says = repr([client, client._session, vars(client._session)["proxy"]])
            try:
                made.ask(GET)
            except Exception as error:
                says += "".join(traceback.format_exception(error))
            made.close()
        assert says
        assert SECRET not in says
        assert SECRET not in caplog.text


def test_a_proxy_is_told_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in KINDS:
        with faulty_server() as server:
            port = server.endpoint.rpartition(":")[2]
            monkeypatch.setenv("HTTP_PROXY", f"http://ada:s%40cret@127.0.0.1:{port}")
            made = runner(kind, Settings(endpoint="http://dynamodb.invalid"))
            made.ask(GET)
            made.close()
            assert server.requests[0].headers["proxy-authorization"] == "Basic YWRhOnNAY3JldA=="


def test_a_proxy_that_tunnels_is_told_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in KINDS:
        with faulty_server([Answer(b"", 407)] * 3) as server:
            port = server.endpoint.rpartition(":")[2]
            monkeypatch.setenv("HTTPS_PROXY", f"http://ada:s%40cret@127.0.0.1:{port}")
            made = runner(kind, Settings(endpoint="https://dynamodb.invalid"))
            with pytest.raises(Exception, match="407"):
                made.ask(GET)
            made.close()
            assert server.requests[0].headers["proxy-authorization"] == "Basic YWRhOnNAY3JldA=="
            assert server.requests[0].headers["host"].startswith("dynamodb.invalid")


def test_settings_do_not_show_the_endpoint() -> None:
    assert SECRET not in repr(Settings(endpoint=f"http://ada:{SECRET}@localhost"))
    with pytest.raises(InvalidInput) as caught:
        open_session(Settings(endpoint=f"http://ada:{SECRET}@localhost"))
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_an_endpoint_of_the_environment_is_not_told_either(monkeypatch: pytest.MonkeyPatch) -> None:
    for endpoint in (
        f"http://ada:{SECRET}@localhost",
        f"http://ada:{SECRET}@[::1",
        f"x:{SECRET}@y",
    ):
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", endpoint)
        for call in (mainstem.connect, mainstem.connect_async, create_tables):
            says = told(lambda call=call: call("dynamodb://shop"))  # type: ignore[misc]
            assert "InvalidInput" in says
            assert SECRET not in says
