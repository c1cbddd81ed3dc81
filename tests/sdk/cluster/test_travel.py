"""How results and exceptions travel through the status of a run."""

from __future__ import annotations

import base64
import copyreg
import math
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath import travel
from towpath.engine import parcels
from towpath.errors import (
    EntrypointError,
    FlowRunCancelled,
    FlowRunCrashed,
    FlowRunFailed,
    MissingResult,
    ParameterError,
    ResultTooLarge,
    RunTimeout,
    TowpathError,
)
from towpath.names import MAX_INLINE_RESULT_BYTES


@dataclass
class Order:
    """Something that JSON does not know."""

    item: str


class Colour(StrEnum):
    """A text that is more than a text."""

    RED = "red"


class OutOfStock(Exception):
    """An exception with a memory."""

    def __init__(self, item: str, left: int = 0) -> None:
        super().__init__(f"{left} of {item} left")
        self.item = item
        self.left = left

    def __reduce__(self) -> tuple[Any, ...]:
        return OutOfStock, (self.item, self.left)


class Demanding(Exception):
    """An exception that pickle by itself cannot build again."""

    def __init__(self, code: int, *, needed: str) -> None:
        super().__init__(f"{code} {needed}")
        self.needed = needed


class Reworded(Exception):
    """An exception that pickle by itself builds wrongly."""

    def __init__(self, item: str) -> None:
        super().__init__(f"no {item} left")
        self.item = item


def there_and_back(value: object) -> tuple[object, str]:
    packed = travel.pack_result(value, storage=None, key="k")
    return travel.unpack_result(packed, "child"), packed["serializer"]


@pytest.mark.parametrize(
    ("value", "serializer"),
    [
        (None, "json"),
        (True, "json"),
        (1, "json"),
        (1.0, "json"),
        (-0.0, "json"),
        (10**400, "json"),
        ("größer 🚣", "json"),
        ({"rows": [1, 2.5, None, {"a": []}]}, "json"),
        ((1, 2), "pickle"),
        ([(1, 2)], "pickle"),
        ({1: "a"}, "pickle"),
        ({1, 2}, "pickle"),
        (b"bytes", "pickle"),
        (math.inf, "pickle"),
        ("lone \ud800 surrogate", "pickle"),
        pytest.param(10**5000, "pickle", id="long number"),
        (Order("tea"), "pickle"),
        (Colour.RED, "pickle"),
        (OrderedDict(a=1), "pickle"),
        (date(2026, 1, 1), "pickle"),
    ],
    ids=lambda value: ascii(value)[:20] if not isinstance(value, int) else f"int {value.bit_length()}",
)
def test_a_value_comes_back_as_it_was(value: object, serializer: str) -> None:
    """JSON carries what it gives back exactly, types included; everything else is pickled."""
    back, used = there_and_back(value)
    assert (back, type(back), used) == (value, type(value), serializer)
    assert str(back) == str(value) if not isinstance(value, int) else True  # -0.0 stays negative


def test_not_a_number_travels() -> None:
    """NaN is no JSON, and comes back all the same."""
    back, serializer = there_and_back([math.nan])
    assert isinstance(back, list)
    assert math.isnan(back[0])
    assert serializer == "pickle"


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(), inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.integers(), inner)
    ),
    max_leaves=20,
)


@given(json_like)
def test_any_nest_of_plain_values_comes_back(value: object) -> None:
    """Whatever is built of plain values comes back equal, and with the same types all the way down."""
    back, _ = there_and_back(value)
    assert repr(back) == repr(value)


def test_a_value_that_contains_itself_travels() -> None:
    """A cycle, and a nest too deep for JSON, go as pickles."""
    cycle: list[object] = []
    cycle.append(cycle)
    back, _ = there_and_back(cycle)
    assert isinstance(back, list)
    assert back[0] is back
    deep: list[object] = []
    for _ in range(250):
        deep = [deep]
    assert there_and_back(deep) == (deep, "pickle")


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ("x" * (MAX_INLINE_RESULT_BYTES - 2), True),
        ("x" * (MAX_INLINE_RESULT_BYTES - 1), False),
        ("ü" * (MAX_INLINE_RESULT_BYTES // 2 - 1), True),
        ("ü" * (MAX_INLINE_RESULT_BYTES // 2), False),
        (b"x" * 9_000, True),
        (b"x" * 9_300, False),
    ],
    ids=["exactly", "one more", "two bytes each", "two bytes each, one more", "pickle", "larger pickle"],
)
def test_what_is_too_large_says_what_to_do(value: object, fits: bool) -> None:
    """A result of 12 KiB as it travels goes inline; a larger one names its size, the limit and the setting."""
    if fits:
        assert there_and_back(value)[0] == value
        return
    with pytest.raises(ResultTooLarge, match=r"1\d,\d\d\d bytes .* takes 12,288\. Set result_storage"):
        there_and_back(value)


def test_a_storage_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    """A full or missing place is an error of the result, with the place and the reason."""
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ResultTooLarge, match=r"could not be kept in the result storage '.*file'"):
        travel.pack_result("x" * 20_000, storage=str(tmp_path / "file"), key="k")


def test_what_cannot_be_serialised_says_so() -> None:
    """A generator, a lock or a connection is no result, and the error says what is."""
    with pytest.raises(TowpathError, match=r"generator that can be serialised neither .* Return plain data, or None\."):
        travel.pack_result((x for x in ()), storage=None, key="k")


@pytest.mark.parametrize(
    "result",
    [
        None,
        {},
        {"serializer": "json"},
        {"serializer": "pickle", "inline": "bm8gcGlja2xl"},
        {"serializer": "json", "inline": "{"},
        {"serializer": "json", "ref": "/no/such/file"},
    ],
    ids=["none", "empty", "no value", "no pickle", "no JSON", "no file"],
)
def test_a_result_that_is_not_there_or_broken_is_missing(result: dict[str, Any] | None) -> None:
    """Whoever asks for a value that cannot be had gets MissingResult, never a traceback from inside."""
    with pytest.raises(MissingResult, match=r"child|/no/such/file"):
        travel.unpack_result(result, "child")


def ended(type_: str, error: dict[str, Any] | None = None, **state: Any) -> dict[str, Any]:
    status: dict[str, Any] = {"state": {"type": type_, "name": type_.capitalize(), **state}}
    if error is not None:
        status["error"] = error
    return {"metadata": {"name": "child-1"}, "status": status}


def test_the_parent_raises_the_childs_own_exception() -> None:
    """Class, arguments and attributes are the child's; a note names the run and has its traceback."""
    try:
        raise OutOfStock("tea", 2)
    except OutOfStock as error:
        packed = travel.pack_error(error, "FlowFailed")
    own = travel.unpack_end(ended("FAILED", packed))
    assert isinstance(own, OutOfStock)
    assert (own.item, own.left, str(own)) == ("tea", 2, "2 of tea left")
    assert packed["type"].endswith("test_travel.OutOfStock")
    (note,) = own.__notes__
    assert note.startswith("Raised in flow run 'child-1':\nTraceback")
    assert 'raise OutOfStock("tea", 2)' in note


def test_an_exception_travels_by_its_own_means_whatever_else_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask's packages teach pickle to take tracebacks along: a reader without them could not read that."""

    def unreadable(error: Exception) -> tuple[Any, ...]:
        raise AssertionError(error)

    for type_ in (ValueError, UnicodeDecodeError):
        monkeypatch.setitem(copyreg.dispatch_table, type_, unreadable)
    for error in (ValueError("no"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")):
        own = travel.unpack_end(ended("FAILED", travel.pack_error(error, "FlowFailed")))
        assert (type(own), str(own), own.args) == (type(error), str(error), error.args)
        again = parcels.loads(parcels.dumps_error(error))
        assert (type(again), str(again)) == (type(error), str(error))


@pytest.mark.parametrize(
    "error",
    [
        Demanding(3, needed="x"),
        Reworded("tea"),
        KeyError("k"),
        FileNotFoundError(2, "No such file", "a.csv"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        ExceptionGroup("two", [ValueError("one"), Reworded("milk")]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_exceptions_of_all_kinds_travel(error: Exception) -> None:
    """Arguments of `__init__` that differ from `args`, keyword arguments, groups: the same class, text and attributes."""
    own = travel.unpack_end(ended("FAILED", travel.pack_error(error, "FlowFailed")))
    assert (type(own), str(own), own.args) == (type(error), str(error), error.args) or isinstance(error, ExceptionGroup)
    assert {**own.__dict__, "__notes__": None} == {**error.__dict__, "__notes__": None}
    assert getattr(own, "filename", None) == getattr(error, "filename", None)


@pytest.mark.parametrize(
    "error",
    [ValueError(x for x in ()), ValueError(lambda: None), ValueError("x" * 9000)],
    ids=["cannot be pickled", "loses its text", "too large"],
)
def test_an_exception_that_cannot_travel_is_told_in_words(error: Exception) -> None:
    """The parent then raises FlowRunFailed with the type and the message."""
    packed = travel.pack_error(error, "FlowFailed")
    assert "exception" not in packed
    told = travel.unpack_end(ended("FAILED", packed))
    assert type(told) is FlowRunFailed
    assert "Flow run 'child-1' failed: " in str(told)
    assert type(error).__qualname__ in str(told)


def test_an_exception_of_a_module_that_the_parent_does_not_have_is_told_in_words() -> None:
    """The parent's image may lack the child's modules: the words are enough."""
    gone = base64.b64encode(b"\x80\x02cno_such_mod\nOops\n)R.").decode()
    with pytest.raises(ModuleNotFoundError):
        pickle.loads(base64.b64decode(gone))
    told = travel.unpack_end(
        ended("FAILED", {"code": "FlowFailed", "message": "oops", "type": "no_such_mod.Oops", "exception": gone})
    )
    assert str(told) == "Flow run 'child-1' failed: no_such_mod.Oops: oops"


@pytest.mark.parametrize(
    ("body", "raised", "words"),
    [
        (
            ended("CANCELLED", reason="ParentEnded", message="The parent ended."),
            FlowRunCancelled,
            "cancelled (ParentEnded): The parent",
        ),
        (ended("CANCELLED"), FlowRunCancelled, "cancelled (no reason given): no reason is known"),
        (ended("CRASHED", {"code": "OutOfMemory", "message": "137"}), FlowRunCrashed, "crashed (OutOfMemory): 137"),
        (ended("FAILED", {"code": "InvalidParameters", "message": "x is missing"}), ParameterError, "x is missing"),
        (ended("FAILED", {"code": "EntrypointNotFound", "message": "no file"}), EntrypointError, "no file"),
        (ended("FAILED", {"code": "TimedOut", "message": "5 s"}), RunTimeout, "5 s"),
        (ended("FAILED", {"code": "FlowNotFound", "message": "no flow"}), FlowRunFailed, "failed: no flow"),
        (ended("FAILED"), FlowRunFailed, "failed: no reason is known"),
    ],
    ids=[
        "cancelled",
        "cancelled, who knows why",
        "crashed",
        "parameters",
        "entrypoint",
        "time",
        "no flow",
        "who knows",
    ],
)
def test_an_end_that_the_run_could_not_explain_has_an_exception_of_its_own(
    body: dict[str, Any], raised: type[Exception], words: str
) -> None:
    """What the operator saw is raised as the error that it would have been in the parent's own process."""
    told = travel.unpack_end(body)
    assert type(told) is raised
    assert words in str(told)


def test_an_exception_that_cannot_even_be_written_down_is_named() -> None:
    """An exception whose `str` raises does not take the report with it."""

    class Rude(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    packed = travel.pack_error(Rude(), "FlowFailed")
    assert packed["message"].endswith("Rude")


def test_what_ends_a_process_is_not_raised_in_the_parent() -> None:
    """A child's KeyboardInterrupt must not stop the parent as well."""
    packed = travel.pack_error(KeyboardInterrupt(), "FlowFailed")
    assert type(travel.unpack_end(ended("FAILED", packed))) is FlowRunFailed
