"""Names that no file and no terminal likes, and values, messages and numbers of runs beyond all measure."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.sdk.history.notebook import finish, start

from towpath import flow, get_run_logger, tags, task
from towpath.cli.output import table
from towpath.errors import ConfigurationError, NestingTooDeep
from towpath.history import open_history
from towpath.history.recorder import RECORDER
from towpath.results import ResultStore

pytestmark = pytest.mark.timeout(300)

NAMES = {
    "unicode": "ünï 漢字 🎉",
    "right to left": "\u202eabc",
    "NUL": "a\0b",
    "line break": "a\nb\r\n",
    "half a character": "a\ud800",
    "blanks": " a ",
    "a sentence": "'; DROP TABLE flow_runs; --",
    "a command to the terminal": "\x1b]0;title\x07\x1b[2J",
    "long": "x" * 100_000,
}


@pytest.fixture(params=NAMES.values(), ids=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """Give one of the names."""
    told: str = request.param
    return told


def test_runs_of_any_name_are_run_and_recorded(file: Path, name: str) -> None:
    """Of flows, tasks, runs, tags, versions and parameters: all are there, each a run of its own, and can be listed."""
    named = task(lambda x: x, name=name, task_run_name=name, tags=[name])
    work = flow(
        lambda x: named(x) or "", name=name.replace("/", ""), flow_run_name=name, version=name, description=name
    )
    with tags(name):
        assert [work(name), work(name)] == [name, name]
    RECORDER.flush()

    with open_history(file) as history:
        runs = history.runs()
        assert [run.state.name for run in runs] == ["Completed", "Completed"]
        (one,) = history.tasks(runs[0].id)
        assert one.state.name == "Completed"
        assert history.run(runs[0].id).name == runs[0].name
        shown = table([["RUN", "FLOW"], *([run.name, run.flow] for run in runs)])
    assert len(shown.splitlines()) == 3
    assert all(character.isprintable() for line in shown.splitlines() for character in line if character != "\u202e")
    assert max(map(len, shown.splitlines())) < 500


def test_keys_of_any_name_keep_results(file: Path, name: str) -> None:
    """What a `cache_key_fn` gives may be any text: two are never taken for each other, and none leaves its folder."""
    made: list[int] = []

    def keyed(key: str) -> Any:
        return task(lambda x: made.append(x) or x, name="keyed", cache_key_fn=lambda *_: key)

    assert [keyed(name)(1), keyed(name)(2), keyed(f"{name}!")(3), keyed(f"{name}!")(4)] == [1, 1, 3, 3]
    assert made == [1, 3]
    assert len(list(ResultStore().keys())) == 2
    there = {path.relative_to(file.parent).parts[0] for path in file.parent.rglob("*")}
    assert {name for name in there if not name.startswith(file.name)} == {"results"}


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../outside", "a\0b", "x" * 300, ".hidden"])
def test_places_of_results_are_refused_that_are_none(file: Path, key: str) -> None:
    """A `result_storage_key` is used as it is; so what cannot be a path in the folder fails the task, and says why."""
    state = task(lambda: 1, name="t", persist_result=True, result_storage_key=key)(return_state=True)

    assert state.is_failed()
    with pytest.raises(ConfigurationError, match="cannot be a key of a result storage") as caught:
        state.result()
    assert repr(key) in str(caught.value)
    assert not (file.parent / "results").exists()


@pytest.mark.parametrize("wrong", [" ", 5, b"etl", "a/b", "50%"], ids=repr)
def test_names_that_flows_cannot_have_are_refused(wrong: Any) -> None:
    """Where the flow is made, with the name, and what it may be."""
    with pytest.raises(ConfigurationError, match="name is a text") as caught:
        flow(lambda: 1, name=wrong)
    assert repr(wrong) in str(caught.value)


def test_large_parameters_messages_and_lines(file: Path) -> None:
    """They are passed on whole; the history keeps as much as tells what they were, and stays small."""

    @flow
    def huge(rows: list[int], text: str) -> None:
        get_run_logger().info("y" * 5_000_000)
        raise ValueError("m" * 5_000_000 + str(len(rows) + len(text)))

    with pytest.raises(ValueError, match=r"m+6000000$"):
        huge(list(range(1_000_000)), "x" * 5_000_000)
    with open_history(file) as history:
        (run,) = history.runs()
        assert run.state.name == "Failed"
        assert not run.parameters_are_whole
        assert set(run.parameters) == {"rows", "text"}
        assert len(run.state.message or "") < 10_000
        assert max(len(line.message) for line in history.logs([run.id])) < 100_000
    RECORDER.close()
    assert file.stat().st_size < 1_000_000


def test_ten_thousand_futures(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Submitted at once, a tenth of them failing, each waiting for one before it: all end, and all are recorded."""
    caplog.set_level(logging.CRITICAL)

    @task
    def same(x: int, before: Any) -> int:
        if x % 10 == 0:
            raise ValueError(x)
        return x

    @flow
    def many() -> Counter[str]:
        futures: list[Any] = []
        for number in range(10_000):
            futures.append(same.submit(number, futures[number - 3] if number % 10 == 4 else None))
        return Counter(future.wait() and future.state.name for future in futures)

    assert many() == {"Completed": 9_000, "Failed": 1_000}
    with open_history(file) as history:
        (run,) = history.runs()
        assert (run.tasks_total, run.tasks_completed, run.tasks_failed) == (10_000, 9_000, 1_000)
        assert len(history.tasks(run.id)) == 10_000


def test_a_long_chain_of_futures(file: Path) -> None:
    """Each waits for the one before, and none on a stack."""

    @task
    def more(x: int) -> int:
        return x + 1

    @flow
    def chain() -> int:
        future = more.submit(0)
        for _ in range(2_999):
            future = more.submit(future)
        value: int = future.result()
        return value

    assert chain() == 3_000


def test_flows_that_call_themselves_without_end(file: Path) -> None:
    """Refused at a depth that can be set, called or submitted, with an error that says so; all above fail and are told."""

    @flow
    def calls(depth: int = 0) -> Any:
        return calls(depth + 1)

    @flow
    def submits(depth: int = 0) -> Any:
        return submits.submit(depth + 1).result()

    for endless in (calls, submits):
        with pytest.raises(NestingTooDeep, match=r"at most 20 are allowed.*TOWPATH_MAX_DEPTH"):
            endless()
    with open_history(file) as history:
        assert Counter((run.flow, run.state.name) for run in history.runs()) == {
            ("calls", "Failed"): 21,
            ("submits", "Failed"): 21,
        }


def test_tasks_that_call_themselves_without_end(tmp_path: Path) -> None:
    """As with any function: RecursionError, which the caller may catch, and the process is well afterwards."""
    code = """
from towpath import flow, task
@task
def again(): return again()
@flow
def endless():
    try:
        again()
    except RecursionError:
        return 5
assert endless() == 5
print(flow(lambda: 1)())
"""
    out, _ = finish(start(code, tmp_path / "history.db"))

    assert out == "1\n"
