"""Values of many kinds, described so that another process can make the same ones: texts that Python evaluates."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import fractions
import functools
import pathlib
import re
import types
import uuid
import zoneinfo
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hypothesis import strategies as st
from pydantic import BaseModel


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclass
class Point:
    x: Any
    y: Any = 0
    seen: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Slotted:
    x: Any


class Order(BaseModel, extra="allow"):
    id: int
    tags: set[str] = set()


class Plain:
    """Neither compares nor tells itself in any way of its own."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


class Pair(NamedTuple):
    a: int
    b: int


def increment(x: int) -> int:
    return x + 1


NAMES = {
    **globals(),
    "OrderedDict": collections.OrderedDict,
    "defaultdict": collections.defaultdict,
    "Counter": collections.Counter,
    "deque": collections.deque,
    "partial": functools.partial,
    "MappingProxyType": types.MappingProxyType,
    "Decimal": decimal.Decimal,
    "Fraction": fractions.Fraction,
    "UUID": uuid.UUID,
    "Path": pathlib.Path,
    "ZoneInfo": zoneinfo.ZoneInfo,
    "dt": dt,
    "compile_": re.compile,
}

#: One of each kind; no two are the same.
KINDS = [
    "None", "...", "NotImplemented", "True", "False", "0", "1", "-1", "10**30", "0.0", "-0.0", "1.0", "float('inf')",
    "float('nan')", "1j", "''", "'a'", "'\\ud800'", "b''", "b'a'", "bytearray(b'a')", "range(3)", "range(1, 3)",
    "[]", "[1]", "[[1]]", "[1, 2]", "[2, 1]", "()", "(1,)", "(1, 2)", "set()", "{1}", "frozenset()", "frozenset({1})",
    "{}", "{1: 2}", "{2: 1}", "{'1': 2}", "{1: None}", "[{}]", "({},)", "['a', 'b']", "['ab']", "['a', ['b']]",
    "OrderedDict(a=1, b=2)", "OrderedDict(b=2, a=1)", "defaultdict(list, a=[1])", "defaultdict(set, a=[1])",
    "Counter('aab')", "deque([1])", "deque([1], 5)", "MappingProxyType({1: 2})", "Pair(1, 2)",
    "Colour.RED", "Colour.BLUE", "Colour", "Point(1)", "Point(1, 2)", "Slotted(1)", "Order(id=1)", "Order(id=2)",
    "Order(id=1, tags={'a'})", "Order(id=1, more=1)", "Plain(a=1)", "Plain(a=2)", "Plain(b=1)", "Plain()", "Plain",
    "dt.date(2026, 1, 31)", "dt.datetime(2026, 1, 31)", "dt.datetime(2026, 1, 31, tzinfo=dt.UTC)",
    "dt.datetime(2026, 1, 31, tzinfo=ZoneInfo('Europe/Berlin'))", "dt.time(1)", "dt.timedelta(1)", "dt.UTC",
    "Decimal('1.0')", "Decimal('1')", "Fraction(1, 2)", "UUID(int=1)", "Path('/a')", "Path('a')",
    "compile_('a')", "compile_('a', 2)", "slice(1, 2)", "len", "[].append", "[1].append", "repr", "increment",
    "partial(increment, 1)", "partial(increment, 2)", "Plain(a=1).__init__", "lambda x: x + 1", "lambda x: x + 2",
    "lambda x=1: x", "lambda x=2: x", "(lambda n: lambda: n)(1)", "(lambda n: lambda: n)(2)", "list[int]", "int | str",
    "enum", "ValueError('a')", "ValueError('b')", "KeyError('a')", "iter([1])",
]  # fmt: skip


def value(text: str) -> Any:
    """Make a value of its description."""
    return eval(text, dict(NAMES))


#: Values that may be in sets, and that are equal only if they are the same.
hashable = st.recursive(
    st.none() | st.integers() | st.text() | st.binary() | st.dates() | st.uuids(),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=4),
    max_leaves=6,
)
#: Values of all that one finds in arguments.
anything = st.recursive(
    hashable | st.booleans() | st.floats(allow_nan=False) | st.decimals(allow_nan=False) | st.datetimes(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(hashable, inner, max_size=4)
        | st.sets(hashable, max_size=4)
        | st.builds(Point, inner, inner)
        | st.builds(Plain, a=inner)
    ),
    max_leaves=12,
)
