"""What a dynamodb: URL says, and what is said of one that is wrong."""

from __future__ import annotations

import asyncio
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import dynamodb_local
import mainstem
import mainstem.dynamodb
from mainstem.dynamodb.client.drivers import connect_async, connect_blocking
from mainstem.dynamodb.client.session import open_session
from mainstem.dynamodb.client.settings import Settings
from mainstem.dynamodb.url import StoreUrl, parse
from mainstem.errors import InvalidInput, StoreDenied

pytestmark = pytest.mark.usefixtures("this_machine_only")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has credentials: who has none asks the cloud's machines for some, a second each time."""
    for name, value in dynamodb_local.environment(dynamodb_local.Server("")).items():
        monkeypatch.setenv(name, value)


def test_the_name_alone_leaves_the_rest_to_the_environment() -> None:
    assert parse("dynamodb://shop") == StoreUrl(
        "dynamodb://shop", "shop", None, "transactional", 30.0, Settings()
    )


def test_every_option() -> None:
    place = parse(
        "dynamodb://my.shop_1-x?region=eu-west-1&endpoint=http://localhost:8000&profile=work"
        "&partitions=16&sequencing=stream&timeout=2.5&connect_timeout=1&read_timeout=0.5"
    )
    assert (place.name, place.partitions, place.timeout) == ("my.shop_1-x", 16, 2.5)
    assert place.sequencing == "stream"
    assert place.settings == Settings("eu-west-1", "http://localhost:8000", "work", 1.0, 0.5)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("dynamodb:shop", "dynamodb:// and the name"),
        ("dynamodb:///shop", "dynamodb:// and the name"),
        ("dynamodb://", "dynamodb:// and the name"),
        ("dynamodb://shop/orders", "dynamodb:// and the name"),
        ("dynamodb://my shop", "letters, digits"),
        ("dynamodb://größe", "letters, digits"),
        (f"dynamodb://{'x' * 249}", "1 to 248"),
        ("dynamodb://shop?regoin=eu-west-1", "option 'regoin' is not known"),
        ("dynamodb://shop?region=", "region is empty"),
        ("dynamodb://shop?endpoint=localhost:8000", "http://localhost:8000"),
        ("dynamodb://shop?partitions=two", "partitions='two': give a whole number"),
        ("dynamodb://shop?partitions=-1", "give a whole number"),
        ("dynamodb://shop?sequencing=later", "sequencing='later'"),
        ("dynamodb://shop?timeout=0", "above 0"),
        ("dynamodb://shop?timeout=nan", "above 0"),
        ("dynamodb://shop?connect_timeout=4000", "up to 3600"),
        ("dynamodb://shop?read_timeout=soon", "give seconds"),
    ],
)
def test_a_wrong_one_is_refused_before_anything_is_asked(url: str, says: str) -> None:
    for call in (parse, mainstem.connect, mainstem.connect_async, mainstem.dynamodb.create_tables):
        with pytest.raises(InvalidInput) as caught:
            call(url)
        assert says in str(caught.value)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("mainstem.dynamodb")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "botocore", None)
    monkeypatch.setitem(sys.modules, "mainstem.dynamodb", None)
    with pytest.raises(InvalidInput, match=r"pip install 'mainstem\[dynamodb\]'"):
        mainstem.connect("dynamodb://shop")


def test_a_client_is_refused_where_there_is_no_dynamodb() -> None:
    with pytest.raises(InvalidInput, match="client"):
        mainstem.connect("sqlite://:memory:", client=object())


OPTIONS = (
    "region", "endpoint", "profile", "partitions", "sequencing", "timeout", "connect_timeout", "read_timeout",
)  # fmt: skip
texts = st.text(st.characters(blacklist_categories=["Cs"]), max_size=30) | st.sampled_from(
    [
        "http://", "https://:80", "http://[::1", "http://[::1]:8000", "http://localhost:x",
        "http://localhost:99999", "http://localhost:0", "http://localhost:", "http://a b", "http://a\nb",
        "http://a/b?c=d", "http://a#b", "http://größe", "http://" + "a" * 300, "http://..", "http://-",
        "http://a/ö", "HTTP://localhost", "http:localhost", "http://℀", "http://[v1.x]", "http://%00",
        "http://a\\b", "eu-west-1\n", "eu west", "-", "١٢", "1" * 5000, "1e999", "inf", "0x10", "１",
    ]
)  # fmt: skip


@given(st.sampled_from(OPTIONS), texts, st.booleans())
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300
)
@example("endpoint", "http://[::1", True)
@example("endpoint", "http://localhost:x", False)
@example("endpoint", "http://℀", False)
@example("region", "eu-west-1\n", True)
@example("partitions", "1" * 5000, True)
def test_any_text_as_an_option_works_or_is_refused_by_name(
    option: str, text: str, is_quoted: bool
) -> None:
    written = quote(text, safe="") if is_quoted else text
    url = f"dynamodb://shop?region=eu-west-1&{option}={written}"
    if option == "region":
        url = f"dynamodb://shop?region={written}"
    # A profile that is well-formed, and is not there, is another thing.
    refusals = (InvalidInput, StoreDenied) if option == "profile" else (InvalidInput,)
    with suppress(*refusals):
        place = parse(url)
        connect_blocking(place.settings).close()
        asyncio.run(connect_async(place.settings).close())


@given(texts)
@example("[::1")
@example("[x]")
@example("℀")
@example("a@b")
def test_any_text_as_a_name_works_or_is_refused(text: str) -> None:
    for url in (f"dynamodb://{text}", f"dynamodb:{text}", text):
        try:
            parse(url)
        except InvalidInput:
            continue


CUT_PASSWORDS = [
    "http://ada:/Nhunter2/N@localhost:8000",
    "http://ada:1/Nhunter2/N@localhost:8000",
    "http://ada/hunter2@localhost:8000",
    "http://ada:1/hunter2%40localhost:8000",
    "http://ada:?hunter2@localhost",
    "http://ada:#hunter2@localhost",
    "http://ada:",
    "http://ada:/N",
    "http://ada:hunter2@localhost",
    "http://ada@localhost",
    "http://localhost?",
    "http://localhost#",
]


@pytest.mark.parametrize("by", ["url", "environment", "profile"])
@pytest.mark.parametrize("endpoint", CUT_PASSWORDS)
def test_what_is_left_of_a_password_in_an_endpoint_is_refused_at_once(
    endpoint: str, by: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = "dynamodb://shop"
    if by == "url":
        url += f"?endpoint={quote(endpoint, safe='')}"
    elif by == "environment":
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    else:
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        (tmp_path / "config").write_text(f"[default]\nendpoint_url = {endpoint}\n")
    with pytest.raises(InvalidInput) as caught:
        open_session(parse(url).settings)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    if by == "url":
        with pytest.raises(InvalidInput, match="give the URL of a server"):
            parse(url)


@pytest.mark.parametrize("endpoint", ["https://gateway.example/dynamodb/", "http://h:8000/a%20b/c"])
def test_an_endpoint_may_have_a_path(endpoint: str) -> None:
    place = parse(f"dynamodb://shop?region=eu-west-1&endpoint={quote(endpoint, safe='')}")
    assert open_session(place.settings).endpoint == endpoint


@pytest.mark.parametrize(
    "endpoint", ["http://[::1", "http://localhost:x", "ftp://x", "x", "http://"]
)
def test_a_malformed_endpoint_of_the_environment_is_refused(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", endpoint)
    for call in (mainstem.connect, mainstem.connect_async, mainstem.dynamodb.create_tables):
        with pytest.raises(InvalidInput):
            call("dynamodb://shop?region=eu-west-1")
