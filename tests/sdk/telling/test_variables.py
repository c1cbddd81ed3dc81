"""Variables: where they come from, and what may be one."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath import ProcessPoolTaskRunner, errors, flow, task
from towpath.telling import checks
from towpath.telling.timeline import Timeline
from towpath.testing import Harness, harness
from towpath.variables import Variable, environment_name, in_environment

VALUES = ["text", "", 5, 1.5, True, None, [1, "a", None], {"a": {"b": [1]}}, "5", "é"]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text('aé"\\\n'),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_what_is_set_is_got(towpath: Harness, value: Any) -> None:
    """Any JSON value comes back as it was, also null and text that looks like JSON."""
    variable = Variable.set("name-1_a", value, tags=["x", "y"])
    assert (variable.name, variable.value, variable.tags) == ("name-1_a", value, ("x", "y"))
    assert Variable.get("name-1_a", default="other") == value


@given(_JSON)
@settings(deadline=None)
def test_any_json_value_survives(value: Any) -> None:
    """What is read is what was written, whatever it is."""
    with harness():
        Variable.set("x", value)
        assert Variable.get("x") == value


def test_what_is_not_set_is_its_default(towpath: Harness) -> None:
    """None unless it is said; and looking makes no file."""
    assert Variable.get("nothing") is None
    assert Variable.get("nothing", default=5) == 5
    assert list(towpath.folder.iterdir()) == []


def test_a_variable_is_set_anew_only_if_that_is_meant(towpath: Harness) -> None:
    """Without `overwrite` the error is a ValueError, and the value stays."""
    first = Variable.set("batch", 1)
    with pytest.raises(ValueError, match="'batch' is set already") as caught:
        Variable.set("batch", 2)
    assert isinstance(caught.value, errors.AlreadySet)
    assert Variable.get("batch") == 1
    again = Variable.set("batch", 2, overwrite=True)
    assert Variable.get("batch") == 2
    assert again.created == first.created
    assert again.updated >= first.updated


def test_a_variable_is_forgotten(towpath: Harness) -> None:
    """`unset` tells whether there was one."""
    Variable.set("batch", 1)
    assert Variable.unset("batch") is True
    assert Variable.unset("batch") is False
    assert Variable.get("batch") is None


@pytest.mark.parametrize("name", ["", "A", "a b", "a.b", "é", "a/b", "x" * 256, 5, None, "a\n"], ids=repr)
@pytest.mark.parametrize("call", [Variable.get, Variable.unset, lambda name: Variable.set(name, 1)])
def test_names_are_held_to_the_rule(towpath: Harness, name: Any, call: Any) -> None:
    """Lowercase letters, digits, dashes and underscores; the error is a ValueError that shows the name."""
    with pytest.raises(ValueError, match="lowercase letters, digits, dashes and underscores") as caught:
        call(name)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({1, 2}, "made of JSON values"),
        (float("nan"), "made of JSON values"),
        (b"x", "made of JSON values"),
        ("x" * checks.VARIABLE_BYTES, "has 65,538 bytes, and at most 65,536 are kept"),
    ],
    ids=lambda value: str(type(value)),
)
def test_values_are_held_to_the_rule(towpath: Harness, value: Any, says: str) -> None:
    """JSON, and not too large for an environment variable."""
    with pytest.raises(errors.UnfitValue, match=says):
        Variable.set("x", value)


@pytest.mark.parametrize("tags", ["one", [1], [""]], ids=repr)
def test_tags_are_texts(towpath: Harness, tags: Any) -> None:
    """A text alone is no list of tags."""
    with pytest.raises(errors.UnfitValue, match="a list of texts"):
        Variable.set("x", 1, tags=tags)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("eu-north", "eu-north"),
        ('"5"', "5"),
        ('{"a": 1}', {"a": 1}),
        ("null", None),
        ("", ""),
        ("1.2.3", "1.2.3"),
    ],
)
def test_the_environment_goes_over_the_history(
    towpath: Harness, monkeypatch: pytest.MonkeyPatch, text: str, value: Any
) -> None:
    """It is read as JSON where it is JSON, else as text."""
    Variable.set("my-batch", "from history")
    monkeypatch.setenv("TOWPATH_VARIABLE_MY_BATCH", text)
    assert Variable.get("my-batch", default="other") == value


def test_the_name_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Capitals, and an underscore for each dash."""
    assert environment_name("my-batch_2") == "TOWPATH_VARIABLE_MY_BATCH_2"
    given = {"TOWPATH_VARIABLE_A": "1", "TOWPATH_VARIABLE_b-c": "x", "TOWPATH_VARIABLE_": "y", "OTHER": "z"}
    assert in_environment(given) == {"a": 1, "b-c": "x"}


@pytest.mark.usefixtures("pod")
def test_in_a_pod_the_environment_is_all_there_is(towpath: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of the ConfigMap come as they are; runs only read them; no file is looked for or made."""
    monkeypatch.setenv("TOWPATH_VARIABLE_my-batch", "5")
    assert Variable.get("my-batch") == 5
    assert Variable.get("other", default=6) == 6
    for change in (lambda: Variable.set("x", 1), lambda: Variable.unset("x")):
        with pytest.raises(errors.ConfigurationError, match="ConfigMap 'towpath-variables', which runs only read"):
            change()
    assert list(towpath.folder.iterdir()) == []


def test_without_a_history_there_is_the_environment(towpath: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the history off, variables can be read but not set."""
    monkeypatch.setenv("TOWPATH_HISTORY", "off")
    assert Variable.get("x", default=1) == 1
    with pytest.raises(errors.HistoryError, match="switched off"):
        Variable.set("x", 1)


def test_trouble_with_the_file_is_told(towpath: Harness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A default does not stand for a value that cannot be read."""
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear Ann")
    monkeypatch.setenv("TOWPATH_HISTORY", str(letter))
    with pytest.raises(errors.HistoryError, match="no SQLite file"):
        Variable.get("x", default=1)
    assert letter.read_text() == "Dear Ann"


def test_asynchronous_code_awaits(towpath: Harness) -> None:
    """The same names, and twins that are typed for it."""

    async def use() -> list[Any]:
        await Variable.set("a", 1)  # type: ignore[misc]
        await Variable.aset("b", 2)
        return [
            await Variable.get("a"),
            await Variable.aget("b"),
            await Variable.unset("a"),
            await Variable.aunset("a"),
        ]  # type: ignore[misc]

    assert asyncio.run(use()) == [1, 2, True, False]


@task
def get_it() -> Any:
    """Read a variable in a task."""
    return Variable.get("region")


@pytest.mark.parametrize("runner", [None, ProcessPoolTaskRunner(max_workers=1)], ids=["threads", "processes"])
def test_tasks_read_variables(towpath: Harness, runner: Any) -> None:
    """Wherever they run."""
    Variable.set("region", "eu")

    @flow(task_runner=runner)
    def reads() -> Any:
        return get_it.submit().result()

    assert reads() == "eu"


def test_many_set_at_once_and_one_has_it(towpath: Harness) -> None:
    """Of several that set a variable without `overwrite` at the same time, one does, and the others hear of it."""

    @task
    def claim(n: int) -> bool:
        try:
            Variable.set("claimed", n)
        except errors.AlreadySet:
            return False
        return True

    @flow
    def race() -> list[bool]:
        return claim.map(range(8)).result()

    won = race()
    assert sum(won) == 1
    assert Variable.get("claimed") == won.index(True)


def test_the_file_is_its_owner_s(told: Timeline) -> None:
    """Variables are kept where runs are, and nobody else can read them."""
    Variable.set("x", 1)
    assert stat.S_IMODE(told.path.stat().st_mode) == 0o600
    assert [one.name for one in told.variables()] == ["x"]
    assert os.access(told.path, os.R_OK)
