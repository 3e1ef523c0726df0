"""Turns what an application hands over into JSON that every strict parser accepts.

Nothing here raises because of a value: what has no JSON form becomes its `repr`, cut to a bound,
and the depth, the breadth and the length of strings are limited.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

MAX_DEPTH = 16
MAX_NODES = 10_000
MAX_TEXT = 65_536
MAX_REPR = 1_024
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
# Beyond this many bits an integer's decimal form costs more than it tells, and Python refuses
# to print very long ones at all.
_MAX_INT_BITS = 1_024


def clean_text(text: str) -> str:
    """Return `text` as it can be encoded in UTF-8: lone surrogates become their escapes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return str(text)


def cut(text: str, max_chars: int) -> str:
    """Return at most `max_chars` characters of `text`, saying how many are missing."""
    if len(text) <= max_chars:
        return text
    return f"{text[:max_chars]}… [{len(text) - max_chars} characters cut]"


def cut_middle(text: str, max_bytes: int) -> str:
    """Return at most `max_bytes` bytes (plus a note) of `text`, a third of it from the start.

    The end of a traceback names the place where it happened, so more of the end is kept.
    """
    raw = text.encode()
    if len(raw) <= max_bytes:
        return text
    head = max_bytes // 3
    start = raw[:head].decode("utf-8", "ignore")
    end = raw[len(raw) - (max_bytes - head) :].decode("utf-8", "ignore")
    return f"{start}\n… [{len(raw) - max_bytes} bytes cut] …\n{end}"


def keep_end(text: str, max_bytes: int) -> str:
    """Return the last part of `text` that fits into `max_bytes` bytes of UTF-8."""
    raw = text.encode()
    if len(raw) <= max_bytes:
        return text
    mark = "…"
    return mark + raw[len(raw) - (max_bytes - len(mark.encode())) :].decode("utf-8", "ignore")


def safe_str(value: object) -> str:
    """Return `str(value)`, or a description of the value where that fails."""
    try:
        return clean_text(str(value))
    except Exception:
        return safe_repr(value)


def safe_repr(value: object) -> str:
    """Return a short `repr(value)`, or only the type's name where that fails."""
    if isinstance(value, (bytes, bytearray)):
        value = value[:MAX_REPR]
    try:
        return clean_text(cut(repr(value), MAX_REPR))
    except Exception:
        return f"<unprintable {type(value).__qualname__} object>"


def dumps(value: object) -> bytes:
    """Encode plain JSON values compactly, in raw UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def number(value: object) -> int | float | None:
    """Return `value` as a JSON number the collector accepts, or None where there is no honest one.

    Integers stay integers within 64 bits and become floats beyond. `Decimal`, `Fraction` and the
    scalars of numerical libraries are converted; text, NaN and infinities are not numbers here.
    """
    if isinstance(value, (str, bytes, bytearray)) or value is None:
        return None
    try:
        if isinstance(value, int):
            whole = int(value)
        elif hasattr(value, "__index__"):
            whole = value.__index__()
        else:
            real = float(value)  # type: ignore[arg-type]
            return real if math.isfinite(real) else None
        return whole if _INT64_MIN <= whole <= _INT64_MAX else float(whole)
    except Exception:
        # Not a number, too large for a float, or a conversion of the caller's type that fails.
        return None


def seconds_or(value: object, default: float) -> float:
    """Return `value` as a number of seconds above zero and up to an hour, else `default`."""
    seconds = number(value)
    return default if seconds is None or seconds <= 0 else min(float(seconds), 3_600.0)


class Encoder:
    """One walk over one value, with a budget of `MAX_NODES` values.

    `redact(key)` says whether the value of a key is a secret; `text(string)` is applied to every
    string.
    """

    def __init__(
        self,
        redact: Callable[[str], bool] = lambda _key: False,
        text: Callable[[str], str] = lambda string: string,
        placeholder: str = "",
    ) -> None:
        self._redact = redact
        self._text = text
        self._placeholder = placeholder
        self._nodes = MAX_NODES

    def encode(self, value: object, depth: int = 0) -> Any:
        """Return `value` as dicts, lists, strings, numbers, booleans and None."""
        try:
            return self._encode(value, depth)
        except Exception:
            # A container whose iteration fails, an enum without a value: the repr must do.
            return self._text(safe_repr(value))

    def _encode(self, value: object, depth: int) -> Any:
        self._nodes -= 1
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._text(cut(clean_text(value), MAX_TEXT))
        if isinstance(value, Enum):
            return self.encode(value.value, depth)
        if isinstance(value, int):
            bits = value.bit_length()
            return int(value) if bits <= _MAX_INT_BITS else f"<integer of {bits} bits>"
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else repr(float(value))
        if isinstance(value, (Mapping, list, tuple, AbstractSet)):
            if depth >= MAX_DEPTH or self._nodes <= 0:
                return f"<{type(value).__qualname__} of {len(value)}>"
            if isinstance(value, Mapping):
                return self._mapping(value, depth)
            return self._sequence(value, depth)
        if isinstance(value, (datetime, date, time)):
            return value.isoformat()
        if isinstance(value, (Decimal, UUID, os.PathLike)):
            return self._text(cut(safe_str(value), MAX_REPR))
        plain = number(value)
        return plain if plain is not None else self._text(safe_repr(value))

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        encoded: dict[str, Any] = {}
        for key, item in value.items():
            if self._nodes <= 0:
                encoded["…"] = f"{len(value) - len(encoded)} more"
                break
            name = cut(safe_str(key), MAX_REPR)
            if self._redact(name) and item is not None and not isinstance(item, bool):
                encoded[name] = self._placeholder
            else:
                encoded[name] = self.encode(item, depth + 1)
        return encoded

    def _sequence(self, value: Any, depth: int) -> list[Any]:
        encoded: list[Any] = []
        for item in value:
            if self._nodes <= 0:
                encoded.append(f"… {len(value) - len(encoded)} more")
                break
            encoded.append(self.encode(item, depth + 1))
        return encoded
