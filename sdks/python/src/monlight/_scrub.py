"""Recognises secrets by their names and removes them from headers, URLs and extra data.

Names are compared by their words, so `X-Auth-Token`, `authToken` and `auth_token` are one name,
while `max_tokens` or `monkey` are none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote_plus

from monlight._encode import Encoder, clean_text, cut, safe_str

REDACTED = "[redacted]"
MAX_HEADERS = 200
MAX_HEADER_VALUE = 8_192

_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"})
_WORDS = frozenset(
    {
        *("auth", "authorization", "bearer", "cookie", "cookies", "credential", "credentials"),
        *("csrf", "cvc", "cvv", "jwt", "otp", "passcode", "passphrase", "passwd", "password"),
        *("passwords", "pin", "pwd", "secret", "secrets", "session", "sid", "sig", "signature"),
        *("ssn", "token", "xsrf"),
    }
)
# Spelled together or apart: compared with the name's words joined.
_JOINED = re.compile(
    r"api_?key|access_?key|private_?key|signing_?key|encryption_?key|master_?key|shared_?key"
    r"|access_?token|auth_?token|refresh_?token|id_?token|csrf_?token|session_?id|sess_?id"
    r"|client_?secret|user_?password|card_?number|credit_?card|connection_?string|passwd|password"
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
# `name=value` after a separator of a query or fragment. Bounded and linear; values end where a
# URL inside prose would end.
_PAIR = re.compile(r"([?&;#])([^=&;#?\s]{1,128})=([^&;#\s\"'<>]+)")
_USERINFO = re.compile(r"(://)([^/?#@\s\"'<>]{1,1024})@")


def is_secret_name(name: str) -> bool:
    """Say whether a value called `name` is likely to be a secret."""
    words = [word.lower() for word in _WORD.findall(name[:256])]
    return not _WORDS.isdisjoint(words) or _JOINED.search("_".join(words)) is not None


def _scrub_pair(match: re.Match[str]) -> str:
    separator, name, value = match.groups()
    plain = unquote_plus(name)
    # A bare `key` is an API key where it stands in a URL, and anything elsewhere.
    if plain.lower() == "key" or is_secret_name(plain):
        return f"{separator}{name}={REDACTED}"
    return f"{separator}{name}={value}"


def scrub_text(text: str) -> str:
    """Replace secrets in the query strings and the user part of every URL in `text`."""
    if "=" in text:
        text = _PAIR.sub(_scrub_pair, text)
    if "@" in text:
        text = _USERINFO.sub(rf"\1{REDACTED}@", text)
    return text


def lower_names(names: Iterable[Any] | None) -> frozenset[str]:
    """Return header names in lower case; one string counts as one name, what is no text is left."""
    if names is None:
        return frozenset()
    if isinstance(names, str):
        names = (names,)
    try:
        return frozenset(name.strip().lower() for name in names if isinstance(name, str))
    except Exception:
        return frozenset()


def _header_name(name: object) -> str:
    return clean_text(name.decode("latin-1")) if isinstance(name, bytes) else safe_str(name)


def _header_value(value: object) -> Any:
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        return scrub_text(cut(clean_text(value), MAX_HEADER_VALUE))
    return scrub_extra(value)


def scrub_headers(headers: object, excluded: frozenset[str]) -> dict[str, Any] | None:
    """Return the headers that may be sent, or None if `headers` is neither a mapping nor pairs.

    Names in `excluded` (lower case) and names that sound like secrets are left out, the rest keep
    their case. Anything else than text, such as one raw string, is not sent, because a secret in
    it could not be found.
    """
    try:
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)  # type: ignore[call-overload]
        kept: dict[str, Any] = {}
        for raw_name, raw_value in pairs[:MAX_HEADERS]:
            name = _header_name(raw_name)
            lowered = name.strip().lower()
            if lowered in _HEADERS or lowered in excluded or is_secret_name(name):
                continue
            value = _header_value(raw_value)
            kept[name] = f"{kept[name]}, {value}" if name in kept else value
    except Exception:
        return None
    return kept


def scrub_extra(extra: object) -> Any:
    """Return `extra` as plain JSON values, with the values of secret keys replaced."""
    return Encoder(is_secret_name, scrub_text, REDACTED).encode(extra)
