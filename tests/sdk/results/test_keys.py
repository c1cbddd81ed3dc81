"""How values become keys."""

from __future__ import annotations

import copy
import copyreg
import io
import json
import os
import pickle
import random
import subprocess
import sys
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sdk.results.values import KINDS, Order, Plain, Point, anything, hashable, value

from towpath import flow, task
from towpath.caching import Uncacheable, identity_of, key_of

OTHER_PROCESS = """
import json, sys
from tests.sdk.results.values import value
from towpath.caching import key_of
print(json.dumps([key_of(value(text)) for text in json.load(sys.stdin)]))
"""


def test_values_of_different_kinds_have_different_keys() -> None:
    """Nothing is mistaken for something else: 1 for True or "1", a list for a tuple, a function for its neighbour."""
    keys = {text: key_of(value(text)) for text in KINDS}
    assert len(set(keys.values())) == len(KINDS)
    assert all(len(key) == 40 and set(key) <= set("0123456789abcdef") for key in keys.values())


@pytest.mark.parametrize("seed", ["0", "1", "random"])
def test_keys_are_the_same_in_every_process(seed: str) -> None:
    """Whatever PYTHONHASHSEED says: sets and dictionaries have another order there, and objects other addresses."""
    texts = [*KINDS, "{'a', 'b', 'c', ('d', 1)}", "{'x': {'y', 'z'}, 'w': frozenset('uvw')}", "Point({'a', 'b'})"]
    environment = os.environ | {"PYTHONHASHSEED": seed}
    run = subprocess.run(
        [sys.executable, "-c", OTHER_PROCESS],
        input=json.dumps(texts), env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert json.loads(run.stdout) == [key_of(value(text)) for text in texts]


def test_an_exception_has_the_same_key_whatever_else_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask's packages have pickle keep tracebacks, in the processes that import them."""
    alone = key_of(ValueError("a"))
    monkeypatch.setitem(copyreg.dispatch_table, ValueError, lambda error: (ValueError, (), {"at": id(error)}))
    assert key_of(ValueError("a")) == alone


@given(anything)
def test_a_copy_has_the_key_of_the_original(original: Any) -> None:
    """What counts is what a value is, not which object it is."""
    key = key_of(original)
    assert key_of(copy.deepcopy(original)) == key
    assert key_of(pickle.loads(pickle.dumps(original))) == key


@given(anything, anything)
def test_equal_keys_mean_equal_values(one: Any, other: Any) -> None:
    """No result is ever given for arguments that it was not made from."""
    if key_of(one) == key_of(other):
        assert pickle.dumps(one) == pickle.dumps(other) or repr(one) == repr(other) or one == other


@given(st.dictionaries(hashable, anything, max_size=6), st.randoms())
def test_the_order_of_a_dictionary_means_nothing(original: dict[Any, Any], dice: random.Random) -> None:
    """Equal dictionaries have equal keys, in whatever order they were filled."""
    items = list(original.items())
    dice.shuffle(items)
    assert key_of(dict(items)) == key_of(original)


@given(st.lists(hashable, max_size=8), st.randoms())
def test_the_order_of_a_set_means_nothing(members: list[Any], dice: random.Random) -> None:
    """Equal sets have equal keys, in whatever order they were filled."""
    shuffled = members[:]
    dice.shuffle(shuffled)
    assert key_of(set(members)) == key_of(set(shuffled))
    assert key_of(frozenset(members)) == key_of(frozenset(shuffled))


@given(st.lists(anything, min_size=2, max_size=4))
def test_several_values_are_kept_apart(values: list[Any]) -> None:
    """Where one value ends and the next begins is part of the key."""
    assert key_of(*values) != key_of(values)
    assert key_of(*values) != key_of(*values, None)
    assert key_of([values[:1], values[1:]]) != key_of([values, []])


def test_equality_that_an_author_defined_counts() -> None:
    """Fields of a dataclass that do not take part in comparison do not take part in its key."""
    assert key_of(Point(1, seen=1.0)) == key_of(Point(1, seen=2.0))


def test_what_a_model_remembers_for_itself_does_not_count() -> None:
    """Only the fields of a pydantic model are its value, in whatever order they were given."""
    assert key_of(Order(id=1, b=2, a=1)) == key_of(Order(a=1, b=2, id=1))
    explicit, implicit = Order(id=1, tags=set()), Order(id=1)
    assert key_of(explicit) == key_of(implicit)


def test_every_nan_is_the_same() -> None:
    """There are many, and none is equal to itself, but a task's result does not depend on which it was."""
    assert key_of(float("nan")) == key_of(-float("nan")) == key_of(float("inf") - float("inf"))


def test_what_contains_itself_has_a_key() -> None:
    """Lists and objects may go round in circles; where the circle closes is part of the key."""
    one: list[Any] = [1]
    one.append(one)
    other: list[Any] = [1]
    other.append(other)
    wider: list[Any] = [1, [1]]
    wider[1].append(wider)
    assert key_of(one) == key_of(other) != key_of(wider)
    node = Plain(a=1)
    node.self = node
    assert key_of(node)


def test_a_function_is_what_it_does() -> None:
    """Moving it within its file changes nothing; changing a constant, a default or what it closes over does."""

    def made(source: str) -> Any:
        space: dict[str, Any] = {}
        exec(compile(source, "flows.py", "exec"), space)
        return space["f"]

    original = made("def f(x):\n    return x + 1\n")
    assert key_of(made("\n\n# moved\ndef f(x):\n    return x + 1  # and explained\n")) == key_of(original)
    assert key_of(made("def f(x):\n    return x + 2\n")) != key_of(original)
    assert key_of(made("def f(x=1):\n    return x + 1\n")) != key_of(original)


def test_a_task_or_flow_as_an_argument_is_its_function() -> None:
    """What it remembers of earlier runs does not count."""
    as_task, as_flow = task(len), flow(len)
    key = key_of(as_task)
    as_task([1])
    assert key_of(as_task) == key != key_of(as_flow)


@pytest.mark.parametrize(
    "thing",
    [threading.Lock(), (x for x in ()), io.TextIOWrapper(io.BytesIO()), threading.Thread(), memoryview(b"")],
    ids=["lock", "generator", "file", "thread", "view"],
)
def test_what_another_process_could_not_recognise_has_no_key(thing: Any) -> None:
    """The error names it, however deep it is buried."""
    name = type(thing).__name__
    for buried in (thing, [{"a": (thing,)}], Plain(a=thing), Point(thing)):
        with pytest.raises(Uncacheable, match=rf"a .*{name if name != 'Thread' else 'lock'} is like no other"):
            key_of(buried)


def test_what_is_nested_too_deeply_has_no_key() -> None:
    """Python gives up at some depth, and so does the key, in words."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(Uncacheable, match="nested too deeply"):
        key_of(deep)
    while deep:  # or else Python takes it apart by recursion, too
        deep = deep.pop()


def test_a_function_is_named_by_its_file_and_place() -> None:
    """Whether the file is run or imported; a lambda, which has no name, by what it does."""

    class Crawler:
        def __call__(self) -> None: ...

    assert identity_of(test_every_nan_is_the_same) == "test_keys:test_every_nan_is_the_same"
    assert identity_of(Crawler()).endswith("Crawler")
    assert identity_of(len) == "builtins:len"
    one, other = (lambda x: x), (lambda x: [x])
    assert identity_of(one) != identity_of(other)
