from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pytest

from monlight._encode import (
    MAX_NODES,
    Encoder,
    clean_text,
    cut,
    cut_middle,
    dumps,
    keep_end,
    number,
    safe_repr,
    safe_str,
    seconds_or,
)


class Level(IntEnum):
    HIGH = 3


class Colour(Enum):
    RED = "red"


class NumpyLike:
    """Converts like a NumPy float."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __float__(self) -> float:
        return self.value


class IndexLike:
    """Converts like a NumPy integer."""

    def __index__(self) -> int:
        return 7


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__

    def __float__(self) -> float:
        raise RuntimeError("no")


class FailingMapping(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        raise RuntimeError("no")

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1

    def __repr__(self) -> str:
        return "<failing>"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1),
        (True, 1),
        (-2.5, -2.5),
        (Level.HIGH, 3),
        (Decimal("1.5"), 1.5),
        (Fraction(1, 4), 0.25),
        (NumpyLike(2.5), 2.5),
        (IndexLike(), 7),
        (2**63 - 1, 2**63 - 1),
        (2**63, float(2**63)),
        (math.nan, None),
        (math.inf, None),
        (Decimal("NaN"), None),
        (NumpyLike(math.inf), None),
        (10**400, None),
        ("5", None),
        (b"5", None),
        (None, None),
        ([], None),
        (object(), None),
        (Hostile(), None),
    ],
)
def test_number(value: object, expected: float | None) -> None:
    converted = number(value)
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        ("é", "é"),
        ("\ud800", "\\ud800"),
        (Level.HIGH, 3),
        (Colour.RED, "red"),
        (1.5, 1.5),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (2**70, 2**70),
        (1 << 5000, "<integer of 5001 bits>"),
        (Decimal("1.10"), "1.10"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (PurePosixPath("/a"), "/a"),
        (datetime(2026, 1, 2, tzinfo=timezone.utc), "2026-01-02T00:00:00+00:00"),
        ((1, [2]), [1, [2]]),
        ({3}, [3]),
        ({1: "a", None: "b"}, {"1": "a", "None": "b"}),
        (b"x", "b'x'"),
        (bytearray(b"x"), "bytearray(b'x')"),
        (IndexLike(), 7),
        (Hostile(), "<unprintable Hostile object>"),
        (FailingMapping(), "<failing>"),
    ],
)
def test_encode(value: object, expected: object) -> None:
    encoded = Encoder().encode(value)
    assert encoded == expected
    assert json.loads(dumps(encoded)) == expected


def test_equal_keys_after_conversion_appear_once() -> None:
    assert dumps(Encoder().encode({1: "a", "1": "b"})) == b'{"1":"b"}'


def test_cycles_end() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert len(dumps(Encoder().encode(loop))) < 2_000
    ring: dict[str, Any] = {}
    ring["self"] = ring
    assert len(dumps(Encoder().encode(ring))) < 2_000


def test_breadth_is_bounded() -> None:
    listed = Encoder().encode(list(range(MAX_NODES * 2)))
    assert len(listed) <= MAX_NODES + 1
    assert listed[-1] == f"… {MAX_NODES * 2 - MAX_NODES + 1} more"
    mapped = Encoder().encode(dict.fromkeys(range(MAX_NODES * 2)))
    assert len(mapped) <= MAX_NODES + 1
    assert mapped["…"].endswith(" more")
    nested = Encoder().encode([[0] * MAX_NODES, [1]])
    assert nested[0][-1] == "… 2 more"


def test_cutting() -> None:
    assert cut("abc", 3) == "abc"
    assert cut("abcd", 3) == "abc… [1 characters cut]"
    assert cut_middle("abc", 3) == "abc"
    assert cut_middle("é" * 10, 9) == "é\n… [11 bytes cut] …\nééé"
    assert keep_end("abc", 3) == "abc"
    assert keep_end("a.b.Class", 8) == "…Class"
    assert len(keep_end("é" * 300, 200).encode()) <= 200


def test_text_of_anything() -> None:
    assert clean_text("a\udc80") == "a\\udc80"
    assert safe_str(Hostile()) == "<unprintable Hostile object>"
    assert safe_repr("x" * 10_000).count("x") < 2_000


@pytest.mark.parametrize(
    ("value", "expected"),
    [(2, 2.0), (0, 5.0), (-1, 5.0), (None, 5.0), ("x", 5.0), (math.nan, 5.0), (10**9, 3600.0)],
)
def test_seconds_or(value: object, expected: float) -> None:
    assert seconds_or(value, 5.0) == expected
