"""`runs pause`, `resume`, `retry` and `cancel --now` in a cluster: what is written, what is said, and the exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.fake_api import FakeApi

from towpath.cli.__main__ import main
from towpath.cli.exits import Exit
from towpath.errors import NotPausedError, ParameterError
from towpath.flow_runs import resume_flow_run, suspend_flow_run

SINCE = "2026-01-01T00:00:00.000000Z"
WANTED = {"type": "object", "properties": {"granted": {"type": "boolean"}}, "required": ["granted"]}
PAUSE = {"key": "0", "wanted": json.dumps(WANTED), "description": "Publish?"}
Type = Callable[..., tuple[int, str]]


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    """Give a fake API to which the kubeconfig leads."""
    with FakeApi() as api:
        config = {
            "current-context": "fake",
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "me", "namespace": "default"}}],
            "clusters": [{"name": "fake", "cluster": {"server": api.url}}],
            "users": [{"name": "me", "user": {"token": "t"}}],
        }
        (tmp_path / "kubeconfig").write_text(json.dumps(config))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        for name in ("TOWPATH_TARGET", "TOWPATH_NAMESPACE", "TOWPATH_RUN"):
            monkeypatch.delenv(name, raising=False)
        yield api


@pytest.fixture
def type_(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> Type:
    """Type a command; gives its exit code and all that it says."""

    def type_in(line: str) -> tuple[int, str]:
        capsys.readouterr()
        code = main([*line.split(), "-n", "default"])
        return code, "".join(capsys.readouterr())

    return type_in


def make(api: FakeApi, type_: str | None = None, name: str = "", *, run: str = "mine", **more: Any) -> None:
    """Make a run in a state."""
    status, spec = more.pop("status", {}), {"flow": {"image": "i"}} | more
    labels = {"towpath.dev/root-run": "mine"}
    api.create("flowruns", {"metadata": {"name": run, "labels": labels}, "spec": spec})
    if type_ is not None:
        state = {"type": type_, "name": name or type_.capitalize(), "since": SINCE}
        api.set_status(run, state=state, attempt=1, **status)


def spec(api: FakeApi, run: str = "mine") -> dict[str, Any]:
    return {key: value for key, value in api.read("flowruns", run)["spec"].items() if key != "flow"}


@pytest.mark.parametrize(
    ("line", "state", "wish", "said"),
    [
        ("runs pause mine", "RUNNING", {"pause": True}, "mine will be paused at its next call"),
        ("runs pause mine --suspend", "RUNNING", {"suspend": True}, "mine will be suspended at its next call"),
        ("runs pause mine --suspend", None, {"suspend": True}, "mine does not begin until it is resumed"),
        ("runs cancel mine", "RUNNING", {"cancel": True}, "mine is being cancelled"),
        ("runs cancel mine --now", "CANCELLING", {"cancel": True, "cancelMode": "Now"}, "mine is being killed"),
        ("runs retry mine", "FAILED", {"retryAfterAttempt": 1}, "mine is tried again, attempt 2"),
    ],
    ids=["pause", "suspend", "hold", "cancel", "kill", "retry"],
)
def test_a_wish_is_written(
    api: FakeApi, type_: Type, line: str, state: str | None, wish: dict[str, Any], said: str
) -> None:
    """Into the run's spec, and nothing else."""
    make(api, state)
    code, out = type_(line)
    assert (code, spec(api)) == (Exit.OK, wish)
    assert said in out


@pytest.mark.parametrize(
    ("line", "state", "code", "said"),
    [
        ("runs pause mine", ("COMPLETED", ""), Exit.CONFLICT, "it has ended, Completed"),
        ("runs pause mine", ("PAUSED", "Paused"), Exit.CONFLICT, "is Paused already"),
        ("runs pause other", ("RUNNING", ""), Exit.NOT_FOUND, "no FlowRun 'other'"),
        ("runs resume other", ("RUNNING", ""), Exit.NOT_FOUND, "no FlowRun 'other'"),
        ("runs resume mine", ("RUNNING", ""), Exit.CONFLICT, "does not wait to be resumed; it is Running"),
        ("runs resume mine", ("FAILED", ""), Exit.CONFLICT, "To try it again: towpath runs retry mine"),
        ("runs resume mine", ("PAUSED", "Paused"), Exit.CONFLICT, "resumed already"),
        ("runs resume mine", ("PAUSED", "Suspended"), Exit.CONFLICT, "is about to begin anew already"),
    ],
)
def test_what_cannot_be_is_said(
    api: FakeApi, type_: Type, line: str, state: tuple[str, str], code: Exit, said: str
) -> None:
    """With the exit codes of one machine, and nothing is written."""
    make(api, *state)
    ended, out = type_(line)
    assert (ended, spec(api)) == (code, {})
    assert said in out


@pytest.mark.parametrize("name", ["Paused", "Suspended"])
def test_a_run_that_waits_for_input_is_answered(api: FakeApi, type_: Type, name: str) -> None:
    """By the key of its pause; wrong input writes nothing; who comes second is told so; a retry is no answer."""
    make(api, "PAUSED", name, status={"pause": PAUSE}, answers=[{"pause": "key legal"}], pause=True)
    before = spec(api)
    code, out = type_("runs resume mine -p granted=perhaps")
    assert (code, spec(api)) == (Exit.USAGE, before)
    assert "granted='perhaps' must be true or false" in out
    code, out = type_("runs retry mine")
    assert code == Exit.CONFLICT
    assert "towpath runs resume mine -n default" in out
    api.faults.answer("PATCH", 409)  # somebody else changes something: it is looked at again
    _taken_soon(api)
    code, out = type_("runs resume mine -p granted=true")
    assert code == Exit.OK, out
    assert spec(api) == {"answers": [{"pause": "key legal"}, {"pause": "0", "input": {"granted": True}}]}
    code, out = type_("runs resume mine -p granted=true")
    assert code == Exit.CONFLICT


def test_a_wish_that_was_not_heeded_yet_is_taken_back(api: FakeApi, type_: Type) -> None:
    """A run that goes on, and was to wait, need not any more; one that is held begins."""
    make(api, "RUNNING", pause=True)
    assert type_("runs resume mine") == (Exit.OK, "mine goes on.\n")
    make(api, "SCHEDULED", "Suspended", run="held", suspend=True)
    code, out = type_("runs resume held --json")
    assert (code, json.loads(out)["then"]) == (Exit.OK, "is started")
    assert (spec(api), spec(api, "held")) == ({}, {})


def test_a_plain_container_at_work_cannot_wait(api: FakeApi, type_: Type) -> None:
    """It is said before anything is written; one that has not begun can be held."""
    make(api, "RUNNING", status={"job": "job-1"}, flow={"image": "i", "command": ["sleep"]})
    code, out = type_("runs pause mine")
    assert (code, spec(api)) == (Exit.CONFLICT, {})
    assert "plain container" in out
    make(api, "SCHEDULED", run="held", flow={"image": "i", "command": ["sleep"]})
    assert type_("runs pause held --suspend")[0] == Exit.OK


def test_a_run_below_is_found_if_it_is_the_only_one_that_waits(api: FakeApi, type_: Type) -> None:
    """By the name of the run above; of several, one has to be named."""
    make(api, "RUNNING")
    parent = {"name": "mine", "uid": api.read("flowruns", "mine")["metadata"]["uid"]}
    make(api, "PAUSED", "Suspended", run="child", status={"pause": {"key": "0"}}, parent=parent)
    with pytest.raises(ParameterError, match="waits for no input"):
        resume_flow_run("mine", {"x": 1})
    make(api, "PAUSED", "Paused", run="other", status={"pause": {"key": "0"}}, parent=parent)
    code, out = type_("runs resume mine")
    assert code == Exit.CONFLICT
    assert "Several runs below 'mine' wait: 'child', 'other'" in out


def test_python_steers_a_run_of_the_cluster_that_this_machine_does_not_know(api: FakeApi) -> None:
    """As the command does, with its errors."""
    make(api, "RUNNING")
    suspend_flow_run(flow_run_id="mine")
    assert spec(api) == {"suspend": True}
    with pytest.raises(ParameterError, match="no input"):
        resume_flow_run("mine", {"granted": True})
    resume_flow_run("mine")
    with pytest.raises(NotPausedError):
        resume_flow_run("mine")


def test_it_is_shown_what_a_run_waits_for(api: FakeApi, type_: Type) -> None:
    """With the command that resumes it, flags and all."""
    make(api, "PAUSED", "Suspended", status={"pause": PAUSE | {"refused": "Too short."}})
    _, page = type_("runs inspect mine")
    for line in (
        "Publish?",
        "The last input was refused. Too short.",
        "towpath runs resume mine -n default -p granted=…",
    ):
        assert line in page
    _, listed = type_("runs inspect mine --json")
    assert json.loads(listed)["pauses"][0]["input"] == WANTED


def _taken_soon(api: FakeApi) -> None:
    """Let the run go on as soon as it is answered."""
    import threading

    def take() -> None:
        with api.changed:
            key = ("flowruns", "default", "mine")
            api.changed.wait_for(lambda: len(api.objects[key]["spec"].get("answers", ())) > 1, 60)
            status = {k: v for k, v in api.objects[key]["status"].items() if k != "pause"}
            api.objects[key]["status"] = status
            api.set_status("mine", state={"type": "RUNNING", "name": "Running", "since": SINCE})

    threading.Thread(target=take, daemon=True).start()
