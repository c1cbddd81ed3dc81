"""The run tree, as people read it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from towpath.cli.seen import Run, SeenState
from towpath.cli.tree import explain, run_tree
from towpath.states import StateType

NOW = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)


def run(name: str, state: str | None = None, *, parent: str | None = None, **status: Any) -> dict[str, Any]:
    """Build the body of a run; its UID is its name."""
    body: dict[str, Any] = {
        "metadata": {"name": name, "uid": name, "creationTimestamp": "2026-01-01T12:00:00Z"},
        "spec": {},
    }
    if parent:
        body["spec"]["parent"] = {"name": parent, "uid": parent}
    if state:
        body["status"] = {"state": {"type": state, "name": state.capitalize()}, **status}
    return body


def test_time_stands_still_for_a_run_without_a_process() -> None:
    """A suspended run has run until it was suspended; a paused one, whose process waits, still does."""
    since: dict[str, Any] = {"type": StateType.PAUSED, "since": datetime(2026, 1, 1, 12, 0, 5, tzinfo=UTC)}
    for name, seconds in (("Suspended", 5.0), ("Paused", 30.0)):
        state = SeenState(name=name, **since)
        seen = Run(id="x", name="x", flow="f", state=state, started=datetime(2026, 1, 1, 12, tzinfo=UTC))
        assert seen.seconds(NOW) == seconds


def test_children_hang_below_their_parents_with_state_and_time() -> None:
    """Each run stands below the one that called it, with its state, its time, its attempt and its Job."""
    drawn = run_tree(
        [
            run("b", "FAILED", parent="top", startTime="2026-01-01T12:00:00Z", completionTime="2026-01-01T12:01:40Z"),
            run("top", "RUNNING", startTime="2026-01-01T12:00:10Z", attempt=1, job="top-1"),
            run(
                "a",
                "COMPLETED",
                parent="top",
                startTime="2026-01-01T12:00:00Z",
                completionTime="2026-01-01T12:00:01.5Z",
            ),
            run("deep", parent="a"),
        ],
        NOW,
    )

    assert drawn.splitlines() == [
        "RUN         STATE        TIME        ATTEMPT  JOB",
        "top         ▶ Running    20.0 s      1        top-1",
        "├─ a        ✔ Completed  1.5 s",
        "│  └─ deep  · New",
        "└─ b        ✘ Failed     1 min 40 s",
    ]


def test_a_run_whose_parent_is_not_listed_is_a_root() -> None:
    """A part of a tree can be drawn by itself."""
    assert run_tree([run("child", "RUNNING", parent="elsewhere")], NOW).splitlines()[1].startswith("child  ▶ Running")


def test_a_run_explains_its_state() -> None:
    """Reason and message stand in one line; a run nobody has looked at has nothing to explain."""
    failed = run("x", "FAILED")
    failed["status"]["state"] |= {"reason": "FlowFailed", "message": "ValueError: no."}

    assert explain(failed) == "FlowFailed: ValueError: no."
    assert explain(run("y")) == ""
