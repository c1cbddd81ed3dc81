"""When results cannot be kept or read: the run goes on, nothing is lost, and the log says what to do."""

from __future__ import annotations

import errno
import json
import logging
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from towpath import flow, task
from towpath.cache_policies import INPUTS
from towpath.errors import StorageError
from towpath.records import VERSION
from towpath.results import ResultStore

calls: list[Any] = []


@task(cache_policy=INPUTS)
def load(x: int) -> list[int]:
    calls.append(x)
    return [x]


@pytest.fixture(autouse=True)
def nothing_called() -> None:
    """Forget earlier calls."""
    calls.clear()


def warnings(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    """What was said, at one level."""
    return [record.getMessage() for record in caplog.records if record.levelno == level]


def spoil(change: Callable[[bytes], bytes]) -> Path:
    """Keep a result, and change the file that it is in."""
    load(1)
    calls.clear()
    [key] = ResultStore().keys()
    file = Path(ResultStore().result_storage.reference(key))
    file.write_bytes(change(file.read_bytes()))
    return file


SPOILED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda record: b"", "no record of a result"),
    "cut": (lambda record: record[:-1], "it is damaged: "),
    "changed": (lambda record: record[:-2] + b"\0\0", "it is damaged"),
    "garbage": (lambda record: os.urandom(100), "no record"),
    "another serializer": (
        lambda record: record.replace(b'"pickle"', b'"yaml42"'),
        "written by the serializer 'yaml42'",
    ),
    "no pickle": (lambda record: record.replace(b'"pickle"', b'"json"'), "cannot be read by the serializer 'json'"),
}


@pytest.mark.parametrize(("change", "why"), SPOILED.values(), ids=list(SPOILED))
def test_a_damaged_record_costs_another_run(
    change: Callable[[bytes], bytes], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With a warning that says what is wrong with it; the new result takes its place."""
    file = spoil(change)
    assert load(1) == [1]
    assert calls == [1]
    [line] = warnings(caplog)
    assert line.startswith(f"The result kept under {file.name!r} cannot be used, so the task runs: ")
    assert why in line
    assert load(1) == [1]
    assert calls == [1]


def test_a_record_of_a_newer_towpath_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """An older process in the same storage neither reads it nor writes over it."""
    newer = json.dumps({"towpath-result": VERSION + 1, "towpath": "9.9"}).encode() + b"\nof the future"
    file = spoil(lambda record: newer)
    assert [load(1), load(1)] == [[1], [1]]
    assert calls == [1, 1]
    assert file.read_bytes() == newer
    assert "written by a newer Towpath (9.9" in warnings(caplog)[0]


def test_a_damaged_result_of_a_child_costs_another_run(caplog: pytest.LogCaptureFixture, home: Path) -> None:
    """As with tasks."""
    ran: list[int] = []

    @flow
    def child() -> int:
        ran.append(1)
        return 1

    @flow(retries=1, persist_result=True)
    def parent() -> int:
        value = child()
        if len(ran) < 2:
            for file in (home / "results" / "calls").iterdir():
                file.write_bytes(b"")
            raise ConnectionError
        return value

    assert parent() == 1
    assert len(ran) == 2
    assert any("cannot be used, so the flow runs" in line for line in warnings(caplog))


def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every file be refused in the midst of its writing."""
    original = os.replace

    def replace(source: Any, target: Any) -> None:
        if ".tmp" in str(source):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(source, target)

    monkeypatch.setattr(os, "replace", replace)


def test_a_full_disk_costs_the_record_not_the_result(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, home: Path
) -> None:
    """The run completes with its value; its state and the log say that it cannot be used again, and why."""
    full_disk(monkeypatch)
    state = load(1, return_state=True)
    assert (state.is_completed(), state.result()) == (True, [1])
    assert "could not be kept" in str(state.message)
    assert "No space left on device" in str(state.message)
    [line] = warnings(caplog, logging.ERROR)
    assert f"The result storage {str(home / 'results')!r} cannot be written: No space left on device." in line
    assert [file for file in home.rglob("*") if file.is_file()] == []


def test_a_result_that_could_not_be_kept_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Although it was to be let go of: it is nowhere else."""
    full_disk(monkeypatch)
    state = load.with_options(cache_result_in_memory=False)(1, return_state=True)
    assert state.result() == [1]
    state = flow(lambda: [2], persist_result=True, cache_result_in_memory=False)(return_state=True)
    assert state.result() == [2]
    assert "No space left on device" in str(state.message)


def test_an_older_result_survives_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was there is there until the new one is there."""
    load(1)
    full_disk(monkeypatch)
    assert load.with_options(refresh_cache=True)(1) == [1]
    [key] = ResultStore().keys()
    assert ResultStore().read(key).result == [1]


def test_a_block_on_a_full_disk_keeps_the_effects_of_its_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing record costs another run some day; that is no reason to undo what was done."""
    from towpath.transactions import transaction

    undone: list[int] = []
    work = load.with_options(on_rollback=[lambda txn: undone.append(1)])
    full_disk(monkeypatch)
    with transaction() as txn:
        work(1)
    assert txn.is_committed()
    assert undone == []
    with pytest.raises(StorageError, match="No space left on device"), transaction(key="k"):
        work(1)
    assert undone == [1]


def test_a_real_limit_on_the_size_of_files(tmp_path: Path) -> None:
    """The system itself refuses to write on: the same as with a disk that fills up."""
    code = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "from towpath import task\n"
        "state = task(lambda: b'x' * 10_000, persist_result=True)(return_state=True)\n"
        "print(len(state.result()), state.message)\n"
    )
    assert resource.RLIMIT_FSIZE is not None
    environment = os.environ | {"TOWPATH_HOME": str(tmp_path), "TOWPATH_HISTORY": "off"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert run.stdout.startswith("10000 The result could not be kept.")
    assert "File too large" in run.stdout
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_a_home_that_cannot_be_written_costs_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A pod's file system that is read-only, or a home that is a file."""
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("TOWPATH_HOME", str(tmp_path / "file"))
    assert [load(1), load(1)] == [[1], [1]]
    assert calls == [1, 1]
    lines = warnings(caplog, logging.ERROR)
    assert all("cannot be written: " in line for line in lines)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_storage_that_cannot_be_reached_costs_another_run(caplog: pytest.LogCaptureFixture) -> None:
    """The task runs, as if there was nothing; and its result cannot be kept either."""

    class Away:
        is_near = True

        def read(self, key: str) -> bytes | None:
            raise StorageError("Nobody answers at s3://bucket.")

        def write(self, key: str, data: bytes) -> None:
            raise StorageError("Nobody answers at s3://bucket.")

        def delete(self, key: str) -> bool:
            return False

        def keys(self) -> Any:
            return iter(())

        def reference(self, key: str) -> str:
            return key

    assert load.with_options(result_storage=Away())(1) == [1]
    assert calls == [1]
    assert "Nobody answers" in warnings(caplog)[0]
    assert "Nobody answers" in warnings(caplog, logging.ERROR)[0]


@pytest.mark.parametrize(
    ("serializer", "value", "why"),
    [
        ("pickle", (x for x in ()), "cannot pickle 'generator' object"),
        ("json", object(), "has no form in JSON"),
    ],
    ids=["pickle", "json"],
)
def test_a_value_that_cannot_be_written_down_is_still_given(
    serializer: str, value: Any, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller has it; the log says why it will be made again."""
    make = task(lambda: [value], persist_result=True, result_serializer=serializer)
    assert make() == [value]
    assert why in warnings(caplog, logging.ERROR)[0]
    assert flow(lambda: [value], persist_result=True, result_serializer=serializer)() == [value]
    assert any(why in line for line in warnings(caplog))
    assert list(ResultStore().keys()) == []


def test_a_storage_that_names_nothing_known_fails_the_run() -> None:
    """A slip in an address is the author's to mend, and is not hidden behind a run without results."""
    state = load.with_options(result_storage="gopher://x", retries=2)(1, return_state=True)
    assert state.is_failed()
    assert calls == []


def test_thousands_of_results_leave_no_file_open() -> None:
    """Nor any other trace but themselves."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 a number is all that is wanted

    @flow
    def many() -> int:
        return sum(len(load(n)) for n in range(2000))

    assert many() == many() == 2000
    assert len(calls) == 2000
    assert len(os.listdir("/proc/self/fd")) <= before + 2  # noqa: PTH208
