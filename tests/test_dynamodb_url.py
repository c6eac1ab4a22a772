"""What a dynamodb: URL says, and what is said of one that is wrong."""

from __future__ import annotations

import sys

import pytest

import mainstem
from mainstem.dynamodb.open import Place, parse
from mainstem.dynamodb.session import Settings
from mainstem.errors import InvalidInput


def test_the_name_alone_leaves_the_rest_to_the_environment() -> None:
    assert parse("dynamodb://shop") == Place(
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
        ("dynamodb://shop?regoin=eu-west-1", "unknown option 'regoin'"),
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
