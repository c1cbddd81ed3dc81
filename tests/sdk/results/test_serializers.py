"""How values are written down and read again."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sdk.results.values import Colour, Order, Plain, Point, Slotted, hashable

from towpath import serializers
from towpath.errors import ConfigurationError, SerializationError
from towpath.serializers import (
    CompressedJSONSerializer,
    CompressedPickleSerializer,
    CompressedSerializer,
    JSONSerializer,
    PickleSerializer,
    dumped,
    is_own,
    loaded,
    name_of,
    serializer_of,
)

NAMES = ["pickle", "json", "compressed/pickle", "compressed/json"]
values = st.recursive(
    hashable | st.booleans() | st.floats(allow_nan=False) | st.decimals(allow_nan=False) | st.datetimes()
    | st.times() | st.timedeltas() | st.complex_numbers(allow_nan=False) | st.fractions()
    | st.sampled_from([Colour.RED, Order(id=1), Slotted(2), bytearray(b"x")]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(hashable, inner, max_size=3)
        | st.dictionaries(st.text(), inner, max_size=3) | st.sets(hashable, max_size=3) | st.builds(Point, inner, inner)
    ),
    max_leaves=10,
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@given(value=values)
def test_a_value_comes_back_as_it_was(name: str, value: Any) -> None:
    """Types included: a tuple stays a tuple, a model a model; with JSON as with pickle."""
    serializer = serializer_of(name)
    again = loaded(serializer, memoryview(dumped(serializer, value)))
    assert (again, type(again)) == (value, type(value))


@pytest.mark.parametrize(
    "value",
    [math.inf, -math.inf, 10**5000, "\ud800", {"towpath:": 1}, {1: {"a": (1,)}}],
    ids=["without end", "the other way", "long", "half a character", "a word of ours", "no text as key"],
)
def test_json_gives_back_what_json_has_no_words_for(value: Any) -> None:
    """Numbers without end, long ones, halves of characters, and what looks like a word of its own."""
    serializer = JSONSerializer()
    assert serializer.loads(serializer.dumps(value)) == value
    assert math.isnan(serializer.loads(serializer.dumps(math.nan)))


def test_plain_data_are_plain_json() -> None:
    """People and other programs can read them."""
    data = JSONSerializer().dumps({"städte": ["Köln"], "n": 1.5, "none": None})
    assert data == '{"städte":["Köln"],"n":1.5,"none":null}'.encode()
    assert json.loads(JSONSerializer().dumps(Order(id=1))) == {
        "towpath:": "object",
        "type": "tests.sdk.results.values:Order",
        "value": {"id": 1, "tags": {"towpath:": "set", "value": []}},
    }


def test_objects_come_back_without_being_made_anew() -> None:
    """Neither `__init__` nor validators get to change what was kept; extra fields of models are kept."""
    order = Order(id=1, more=2)
    order.id = "x"  # type: ignore[assignment]
    again = JSONSerializer().loads(JSONSerializer().dumps(order))
    assert (again.id, again.more) == ("x", 2)


@pytest.mark.parametrize(
    "value", [Plain(), print, object(), Plain, [Plain()]], ids=lambda value: type(value).__name__
)  # fmt: skip
def test_json_refuses_what_it_could_not_give_back(value: Any) -> None:
    """With the type, the serializer and the reason."""
    with pytest.raises(
        SerializationError, match=r"cannot be written by the serializer 'json': a .* has no form in JSON"
    ):
        dumped(serializer_of("json"), value)


def test_json_refuses_classes_that_nobody_can_import() -> None:
    """The reader would stand there with a name."""

    class Local(Order):
        pass

    with pytest.raises(SerializationError, match="its class cannot be imported under that name"):
        dumped(serializer_of("json"), Local(id=1))


def test_what_goes_round_in_circles_is_refused_by_json() -> None:
    """Not by the depth of Python's own stack, but in words."""
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(SerializationError, match="nested too deeply"):
        dumped(serializer_of("json"), circle)


def test_a_pickle_takes_what_a_script_defines() -> None:
    """Classes and functions of `__main__` come back in a process that has no such thing."""
    write = (
        "import sys\nfrom towpath.serializers import PickleSerializer\nclass Local:\n    x = 42\n"
        "sys.stdout.buffer.write(PickleSerializer().dumps([Local(), lambda y: y + 1]))"
    )
    data = subprocess.run([sys.executable, "-c", write], check=True, capture_output=True).stdout
    local, increment = PickleSerializer().loads(data)
    assert (local.x, increment(1)) == (42, 2)


def test_what_cannot_be_pickled_is_refused_with_its_type() -> None:
    """As a lock, or whatever raises while it is pickled."""
    with pytest.raises(SerializationError, match=r"A builtins\.generator cannot be written by the serializer 'pickle'"):
        dumped(serializer_of("pickle"), (x for x in ()))


@pytest.mark.parametrize("library", ["zlib", "gzip", "bz2", "lzma"])
def test_compressed_values_are_small_and_name_their_library(library: Any) -> None:
    """A record names all that its reader needs to know."""
    serializer = CompressedSerializer("json", compressionlib=library)
    data = serializer.dumps(["same"] * 1000)
    assert len(data) < 200
    assert type(serializer_of(name_of(serializer))) is CompressedSerializer
    assert serializer_of(name_of(serializer)).loads(data) == ["same"] * 1000


def test_the_known_classes_have_the_known_names() -> None:
    """`CompressedPickleSerializer()` is `compressed/pickle`, and so on."""
    made = [PickleSerializer(), JSONSerializer(), CompressedPickleSerializer(), CompressedJSONSerializer()]
    assert [name_of(serializer) for serializer in made] == NAMES
    assert all(is_own(name) for name in NAMES)
    assert name_of(serializer_of(CompressedPickleSerializer)) == "compressed/pickle"


@pytest.mark.parametrize(
    "name", ["", "yaml", "compressed", "compressed/yaml", "compressed:zip/json", "json/"], ids=repr
)
def test_an_unknown_name_is_refused_with_the_known_ones(name: str) -> None:
    """A slip of the pen is told where it stands."""
    assert not is_own(name)
    with pytest.raises(ConfigurationError, match=r"There is no serializer .* pickle, json, compressed/pickle"):
        serializer_of(name)


def test_a_serializer_of_the_authors_own_is_any_object_with_two_methods() -> None:
    """It is given bytes, whatever we have; what is no such object is refused."""

    class Reversed:
        def dumps(self, value: Any) -> bytes:
            return str(value).encode()[::-1]

        def loads(self, data: bytes) -> Any:
            assert type(data) is bytes
            return data[::-1].decode()

    own = serializer_of(Reversed())
    assert loaded(own, memoryview(dumped(own, "abc"))) == "abc"
    assert name_of(own).endswith("Reversed")
    assert not is_own(name_of(own))
    with pytest.raises(ConfigurationError, match=r"has the methods dumps and loads; 42 does not"):
        serializer_of(42)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"one of zlib, gzip, bz2, lzma; got 'zip'"):
        CompressedSerializer("json", compressionlib="zip")  # type: ignore[arg-type]


def test_neither_serializer_is_loaded_before_it_is_needed() -> None:
    """Naming one costs nothing."""
    code = "import sys, towpath.serializers as s; s.serializer_of('json'); print(*sys.modules)"
    loaded_ = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"json", "cloudpickle", "zlib", "dataclasses", os.path.basename(serializers.__file__)} & set(loaded_)  # noqa: PTH119
