from __future__ import annotations

from typing import Any

import pytest

from monlight._scrub import (
    MAX_HEADERS,
    is_secret_name,
    lower_names,
    scrub_extra,
    scrub_headers,
    scrub_text,
)


@pytest.mark.parametrize(
    "name",
    [
        *("Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "X-API-Key"),
        *("X-Auth-Token", "X-CSRFToken", "X-Amz-Security-Token", "Cf-Access-Jwt-Assertion"),
        *("password", "user_password", "passwordConfirm", "DB_PASSWD", "client_secret"),
        *("apiKey", "api_key", "APIKEY", "accessToken", "refresh-token", "id_token", "token"),
        *("privateKey", "aws_secret_access_key", "sessionid", "session_id", "sid", "cardNumber"),
        *("auth", "cvv", "JWT", "pin"),
    ],
)
def test_secret_names(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("Accept", "Host", "User-Agent", "X-Request-Id", "Sec-WebSocket-Key", "Referer"),
        *("max_tokens", "monkey", "key", "author", "authority", "keyboard", "secretary", "spin"),
        *("Idempotency-Key", "sort_key", "", "é"),
    ],
)
def test_harmless_names(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/u?x=1", "/u?x=1"),
        ("/u?token=s&x=1", "/u?token=[redacted]&x=1"),
        ("/u?x=1&%74oken=s", "/u?x=1&%74oken=[redacted]"),
        (
            "/u?key=k;api_key=a#access_token=b",
            "/u?key=[redacted];api_key=[redacted]#access_token=[redacted]",
        ),
        ("/u?token=", "/u?token="),
        ("https://u:p@h/x", "https://[redacted]@h/x"),
        ("https://h/a@b", "https://h/a@b"),
        (
            "failed for 'http://h/?api_key=abc' (401)",
            "failed for 'http://h/?api_key=[redacted]' (401)",
        ),
        ("a = b; token = c", "a = b; token = c"),
        ("x=1", "x=1"),
    ],
)
def test_scrub_text(text: str, expected: str) -> None:
    assert scrub_text(text) == expected


def test_headers_lose_secrets_and_keep_their_case() -> None:
    headers = {
        "Accept": "*/*",
        "AUTHORIZATION": "Bearer x",
        "Proxy-Authorization": "p",
        " cookie ": "c",
        "X-Mine": "m",
        "Referer": "https://h/?token=t",
        "X-Count": 5,
        b"X-Bytes": b"\xe9",
    }
    assert scrub_headers(headers, frozenset({"x-mine"})) == {
        "Accept": "*/*",
        "Referer": "https://h/?token=[redacted]",
        "X-Count": 5,
        "X-Bytes": "é",
    }


def test_headers_in_other_shapes() -> None:
    assert scrub_headers([("A", "1"), ("A", "2")], frozenset()) == {"A": "1, 2"}
    assert scrub_headers("Authorization: Bearer x", frozenset()) is None
    assert scrub_headers(7, frozenset()) is None
    many = scrub_headers({f"h{number}": "v" for number in range(MAX_HEADERS * 2)}, frozenset())
    assert many is not None
    assert len(many) == MAX_HEADERS


def test_lower_names() -> None:
    class Failing:
        def __iter__(self) -> Any:
            raise RuntimeError("no")

    assert lower_names(None) == frozenset()
    assert lower_names("X-Foo") == {"x-foo"}
    assert lower_names(["A", " B ", 3]) == {"a", "b"}
    assert lower_names(Failing()) == frozenset()


def test_extra_loses_the_values_of_secret_keys() -> None:
    assert scrub_extra(
        {
            "password": "p",
            "nested": [{"apiKey": {"a": 1}, "url": "http://h/?sig=1"}],
            "has_token": True,
            "token": None,
            "max_tokens": 7,
        }
    ) == {
        "password": "[redacted]",
        "nested": [{"apiKey": "[redacted]", "url": "http://h/?sig=[redacted]"}],
        "has_token": True,
        "token": None,
        "max_tokens": 7,
    }
