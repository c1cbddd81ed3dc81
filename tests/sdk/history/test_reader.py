"""What the history answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.sdk.history.notebook import flow_note, task_note

from towpath.errors import AmbiguousRun, HistoryError, NoSuchRun
from towpath.history import open_history
from towpath.history.notes import LineNote
from towpath.history.port import History
from towpath.history.writer import Writer
from towpath.states import StateType

COMPLETED, FAILED, RUNNING = StateType.COMPLETED, StateType.FAILED, StateType.RUNNING
DAY = 86_400.0
#: What is written before each test: id, name, flow, parent, state, and when, in days before now.
RUNS = (
    ("aaaa-1", "witty-otter", "etl", None, COMPLETED, 30),
    ("aabb-2", "witty-heron", "etl", None, FAILED, 20),
    ("ccdd-3", "calm-carp", "report", None, COMPLETED, 10),
    ("ccdd-4", "brave-toad", "page", "ccdd-3", COMPLETED, 9),
    ("ccdd-5", "deep-pike", "picture", "ccdd-4", FAILED, 9),
    ("eeee-6", "witty-otter", "etl", None, RUNNING, 1),
    ("eeee-7", "young-wren", "page", "eeee-6", COMPLETED, 1),
)
ROOTS = {"ccdd-4": "ccdd-3", "ccdd-5": "ccdd-3", "eeee-7": "eeee-6"}


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    """Give a history with the runs above; each has a task run and a line."""
    writer = Writer(tmp_path / "history.db", pytest.fail)
    writer.thread.start()
    now = datetime.now(UTC).timestamp()
    for id_, name, flow, parent, state, days in RUNS:
        at = now - days * DAY
        facts = {"flow": flow, "parent_id": parent, "root_id": ROOTS.get(id_, id_), "depth": int(parent is not None)}
        writer.notes.put(flow_note(RUNNING, at, id=id_, name=name, **facts))
        writer.notes.put(task_note(state, at, id=f"task of {id_}", run_id=id_))
        writer.notes.put(LineNote(id_, None, 20, f"line of {id_}", at))
        if state is not RUNNING:
            writer.notes.put(flow_note(state, at, first=False, id=id_, name=name))
    writer.flush(60)
    with open_history(writer.path) as history:
        yield history
    writer.flush(60, stop=True)


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        pytest.param({}, "eeee-7 eeee-6 ccdd-5 ccdd-4 ccdd-3 aabb-2 aaaa-1", id="all, the newest first"),
        pytest.param({"limit": 2}, "eeee-7 eeee-6", id="the newest"),
        pytest.param({"flow": "etl"}, "eeee-6 aabb-2 aaaa-1", id="of a flow"),
        pytest.param({"states": {FAILED, RUNNING}}, "eeee-6 ccdd-5 aabb-2", id="in some states"),
        pytest.param({"states": ()}, "", id="in no state"),
        pytest.param(
            {"since": datetime.now(UTC) - timedelta(days=9.5)}, "eeee-7 eeee-6 ccdd-5 ccdd-4", id="since a time"
        ),
        pytest.param({"parent": "ccdd-3"}, "ccdd-4", id="called by a run"),
        pytest.param({"top_level": True}, "eeee-6 ccdd-3 aabb-2 aaaa-1", id="called by none"),
        pytest.param({"flow": "page", "states": [COMPLETED], "limit": None}, "eeee-7 ccdd-4", id="all that fits"),
    ],
)
def test_runs_can_be_chosen(history: History, filters: dict[str, object], ids: str) -> None:
    """Filters narrow the list down, and each may stand with the others."""
    assert [run.id for run in history.runs(**filters)] == ids.split()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("which", "id_"),
    [
        pytest.param("aabb-2", "aabb-2", id="its id"),
        pytest.param("aab", "aabb-2", id="the beginning of its id"),
        pytest.param("calm-carp", "ccdd-3", id="its name"),
        pytest.param("brave", "ccdd-4", id="the beginning of its name"),
    ],
)
def test_a_run_is_found_by_what_people_type(history: History, which: str, id_: str) -> None:
    """Id, name, or as much of either as fits one run only."""
    assert history.run(which).id == id_


@pytest.mark.parametrize(
    ("which", "ids"),
    [
        pytest.param("witty-otter", ["aaaa-1", "eeee-6"], id="two of the same name"),
        pytest.param("witty", ["aaaa-1", "aabb-2", "eeee-6"], id="the beginning of several names"),
        pytest.param("ccdd", ["ccdd-3", "ccdd-4", "ccdd-5"], id="the beginning of several ids"),
    ],
)
def test_a_name_that_fits_several_runs_lists_them(history: History, which: str, ids: list[str]) -> None:
    """Nothing is guessed: the message lists the runs, by ids to choose from."""
    with pytest.raises(AmbiguousRun) as caught:
        history.run(which)

    lines = str(caught.value).splitlines()
    assert sorted(line.split()[0] for line in lines[1:]) == ids


@pytest.mark.parametrize("which", ["zzz", "", "%", "_", "*", "aaaa-10"])
def test_a_run_that_is_not_there_says_so(history: History, which: str) -> None:
    """No character has a meaning of its own; an empty text is the beginning of everything, so it fits too many."""
    with pytest.raises(HistoryError) as caught:
        history.run(which)
    assert isinstance(caught.value, AmbiguousRun if which == "" else NoSuchRun)


def test_a_tree_is_a_run_and_all_below_it(history: History) -> None:
    """Each run stands after the one that called it; a part of a tree is a tree."""
    assert [run.id for run in history.tree("ccdd-3")] == ["ccdd-3", "ccdd-4", "ccdd-5"]
    assert [run.id for run in history.tree("ccdd-4")] == ["ccdd-4", "ccdd-5"]
    with pytest.raises(NoSuchRun):
        history.tree("ccdd")


def test_deleting_takes_everything_below_along(history: History) -> None:
    """Runs, task runs, states and lines of the whole tree go; others stay."""
    assert history.delete("ccdd-3") == 3

    assert [run.id for run in history.runs()] == ["eeee-7", "eeee-6", "aabb-2", "aaaa-1"]
    assert (history.tasks("ccdd-4"), history.states("ccdd-4"), history.logs(["ccdd-4"])) == ([], [], [])
    assert [len(part) for part in (history.tasks("aaaa-1"), history.states("aaaa-1"), history.logs(["aaaa-1"]))] == [
        1,
        2,
        1,
    ]


def test_what_goes_on_is_not_deleted(history: History) -> None:
    """A run that has not ended stays, and so does everything when one below has not."""
    with pytest.raises(HistoryError, match="'witty-otter' is RUNNING"):
        history.delete("eeee-6")
    with pytest.raises(NoSuchRun):
        history.delete("nobody")
    assert len(history.runs()) == len(RUNS)


@pytest.mark.parametrize(
    ("what", "left"),
    [
        pytest.param({"older_than": timedelta(days=15)}, "eeee-7 eeee-6 ccdd-5 ccdd-4 ccdd-3", id="by age"),
        pytest.param({"keep": 2}, "eeee-7 eeee-6 ccdd-5 ccdd-4 ccdd-3", id="by number of trees"),
        pytest.param({"keep": 0}, "eeee-7 eeee-6", id="everything that has ended"),
        pytest.param({"keep": 3, "older_than": timedelta(days=5)}, "eeee-7 eeee-6", id="by either"),
        pytest.param({"keep": 10}, "eeee-7 eeee-6 ccdd-5 ccdd-4 ccdd-3 aabb-2 aaaa-1", id="nothing"),
    ],
)
def test_pruning_removes_whole_trees(history: History, what: dict[str, object], left: str) -> None:
    """Trees that have ended go, by age or number; one of which something still runs stays."""
    removed = history.prune(**what)  # type: ignore[arg-type]

    assert [run.id for run in history.runs()] == left.split()
    assert removed == len(RUNS) - len(left.split())


def test_pruning_has_to_be_told_what(history: History) -> None:
    """Without age and number nothing is deleted by mistake."""
    with pytest.raises(ValueError, match="Say what to prune"):
        history.prune()


def test_logs_of_several_runs_are_one_log(history: History) -> None:
    """Lines come in the order in which they were written, from wherever; `after` goes on from a line."""
    lines = history.logs(["ccdd-3", "ccdd-4", "aaaa-1"])

    assert [line.message for line in lines] == ["line of aaaa-1", "line of ccdd-3", "line of ccdd-4"]
    assert history.logs(["ccdd-3", "ccdd-4"], after=lines[1].number) == [lines[2]]
    assert history.logs(["ccdd-3", "ccdd-4"], limit=1) == [lines[1]]
    assert history.logs([]) == []


def test_an_empty_history_has_no_runs(tmp_path: Path) -> None:
    """On a machine where nothing has run there is nothing to see, and no error."""
    with open_history(tmp_path / "new" / "history.db") as history:
        assert history.runs() == []
        assert history.tasks(None) == []
        assert history.prune(keep=0) == 0


def test_a_history_that_is_off_cannot_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks is told which setting it is."""
    monkeypatch.setenv("TOWPATH_HISTORY", "off")
    with pytest.raises(HistoryError, match="TOWPATH_HISTORY is 'off'"):
        open_history()
