"""Log lines: which run they name, in which form, and what `print` does."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from towpath import flow, get_run_logger, task
from towpath.errors import ConfigurationError, MissingContext
from towpath.history import open_history
from towpath.loggers import JsonFormatter, TextFormatter

SCRIPT = """
import logging
from towpath import flow, task, get_run_logger

@task
def work(x):
    get_run_logger().info("task says %s", x)
    logging.getLogger("library").warning("library says %s", x)
    raise ValueError("broken")

@flow(log_prints=True, flow_run_name="the-run")
def main():
    print("printed", 1, sep="-")
    work.submit(5).wait()

main()
"""


def lines_of(**environment: str) -> list[str]:
    """Run the script in a process of its own; gives what it wrote to stderr."""
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        check=True,
        env={"TOWPATH_HISTORY": "off", **environment},
    )
    assert ran.stdout == ""
    return ran.stderr.splitlines()


def test_lines_for_people() -> None:
    """Time, level, run, message; beginning, what is said, the traceback from the author's code on, the end."""
    lines = lines_of()
    shown = [line.partition(" | ")[2] for line in lines if " | " in line]
    assert shown == [
        "INFO     | Flow run 'the-run' | Beginning flow run 'the-run' for flow 'main'",
        "INFO     | Flow run 'the-run' | printed-1",
        "INFO     | Task run 'work-0' | task says 5",
        "ERROR    | Task run 'work-0' | Finished in state Failed('Task run encountered an exception: ValueError: broken')",
        "INFO     | Flow run 'the-run' | Finished in state Completed()",
    ]
    trace = [line for line in lines if " | " not in line]
    assert trace[0] == "library says 5"  # as Python shows what nobody handles
    assert 'File "<string>", line 9, in work' in trace[2]
    assert "towpath/engine" not in "\n".join(lines)


def test_the_history_has_a_run_s_first_line_too(tmp_path: Path) -> None:
    """Also that of a process's first run, which is logged while the history is opened."""
    lines_of(TOWPATH_HISTORY=str(tmp_path / "h.db"))
    with open_history(tmp_path / "h.db") as history:
        (run,) = history.runs()
        lines = [line.message.splitlines()[0] for line in history.logs([run.id])]
    assert lines[0] == "Beginning flow run 'the-run' for flow 'main'"
    assert len(lines) == 5


def test_lines_for_machines() -> None:
    """One JSON object a line with the run's fields, for everything that is logged in the process."""
    entries = [json.loads(line) for line in lines_of(TOWPATH_LOG_FORMAT="json")]
    assert [entry["message"] for entry in entries][1:4] == ["printed-1", "task says 5", "library says 5"]
    library = entries[3]
    assert (library["level"], library["logger"], library["run"], library["flow"]) == (
        "WARNING",
        "library",
        "the-run",
        "main",
    )
    assert (library["task"], library["task_run"], library["attempt"]) == ("work", "work-0", 1)
    assert library["time"].endswith("Z")
    assert "ValueError: broken" in next(entry["exception"] for entry in entries if "exception" in entry)


EXTRA = """
import logging, sys
from towpath import flow

@flow(flow_run_name="the-run")
def main():
    logging.getLogger("library.part").info("of the library")
    logging.getLogger("other").warning("of another")

if "configured" in sys.argv:
    logging.basicConfig(format="%(name)s %(message)s", level="INFO")
main()
logging.getLogger("library.part").info("outside")
print(logging.getLogger("library").level, logging.getLogger().level, len(logging.getLogger().handlers))
"""


@pytest.mark.parametrize(
    ("arguments", "settings", "lines", "levels"),
    [
        ([], {}, ["of another"], "0 30 0"),
        ([], {"TOWPATH_LOGGING_EXTRA_LOGGERS": "library, library.part"}, ["of the library", "outside"], "20 30 0"),
        (["configured"], {"TOWPATH_LOGGING_EXTRA_LOGGERS": "library"}, ["of the library", "outside"], "20 20 1"),
        (["configured"], {"TOWPATH_LOG_FORMAT": "json"}, ["of the library", "outside"], "0 20 1"),
    ],
    ids=["nothing said", "named", "the program has a handler", "which goes before JSON"],
)
def test_lines_of_other_loggers(
    arguments: list[str], settings: dict[str, str], lines: list[str], levels: str, tmp_path: Path
) -> None:
    """Those that are named are shown once and kept with their run; what the program has configured stays."""
    ran = subprocess.run(
        [sys.executable, "-c", EXTRA, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={"TOWPATH_HISTORY": str(tmp_path / "h.db"), **settings},
    )
    for line in lines:
        assert ran.stderr.count(line) == 1
    assert ran.stderr.count("Beginning flow run") == 1
    assert ran.stdout.strip() == levels
    with open_history(tmp_path / "h.db") as history:
        (run,) = history.runs()
        kept = [line.message for line in history.logs([run.id])]
    assert kept[1:-1] == (["of the library"] if "TOWPATH_LOGGING_EXTRA_LOGGERS" in settings else [])


def test_the_level_can_be_set() -> None:
    """WARNING and above only."""
    assert [line for line in lines_of(TOWPATH_LOG_LEVEL="warning") if "INFO" in line] == []


def test_a_program_with_handlers_of_its_own_is_left_alone(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Records reach the root's handlers, with the run's fields; nothing is written twice."""
    with caplog.at_level(logging.INFO):
        flow(name="f", flow_run_name="r")(lambda: get_run_logger().info("hello", extra={"mine": 1}))()
    record = next(record for record in caplog.records if record.message == "hello")
    assert (record.__dict__["run"], record.__dict__["flow"], record.__dict__["mine"]) == ("r", "f", 1)
    assert capsys.readouterr().err == ""


def test_there_is_no_run_logger_without_a_run() -> None:
    """The error says where to call it, and what else to do."""
    with pytest.raises(MissingContext, match=r"within a flow or task; elsewhere, logging.*disable_run_logger"):
        get_run_logger()


@pytest.mark.parametrize(
    ("flow_wish", "task_wish", "logged"),
    [(True, None, ["flow", "task"]), (True, False, ["flow"]), (None, True, ["task"]), (None, None, [])],
    ids=["inherited", "task says no", "task says yes", "nobody"],
)
def test_prints_go_to_the_log_where_wished(
    flow_wish: bool | None,
    task_wish: bool | None,
    logged: list[str],
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The task's wish, else the flow's; other prints go where they always went."""

    @task(log_prints=task_wish)
    def work() -> None:
        print("task")
        print("elsewhere", file=sys.stderr)

    @flow(log_prints=flow_wish)
    def main() -> None:
        print("flow")
        work.submit().wait()

    with caplog.at_level(logging.INFO):
        main()
    print("outside")
    assert [record.message for record in caplog.records if record.message in {"flow", "task", "elsewhere"}] == logged
    out, err = capsys.readouterr()
    assert [line for line in out.split() if line != "outside"] == [
        word for word in ("flow", "task") if word not in logged
    ]
    assert "outside" in out
    assert err == "elsewhere\n"


def test_prints_by_setting(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """TOWPATH_LOG_PRINTS decides where neither flow nor task does."""
    monkeypatch.setenv("TOWPATH_LOG_PRINTS", "true")
    with caplog.at_level(logging.INFO):
        flow(lambda: print("by", "setting", end="!"))()
    assert "by setting" in caplog.text


def test_an_exception_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """With its traceback where it was raised; the runs that it passes through name it only."""

    @task
    def work() -> None:
        raise ValueError("once")

    with pytest.raises(ValueError, match="once"):
        flow(lambda: work())()  # noqa: PLW0108 the lambda is the flow's own code
    assert caplog.text.count("Traceback") == 1
    assert caplog.text.count("Finished in state Failed") == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOWPATH_LOG_LEVEL", "loud"),
        ("TOWPATH_MAX_WORKERS", "many"),
        ("TOWPATH_MAX_WORKERS", "-1"),
        ("TOWPATH_LOG_PRINTS", "perhaps"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the variable's name, what it may be and what it is."""
    from towpath import settings

    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"{name} must be .* it is '{value}'"):
        {
            "TOWPATH_LOG_LEVEL": settings.log_level,
            "TOWPATH_MAX_WORKERS": settings.max_workers,
            "TOWPATH_LOG_PRINTS": settings.log_prints,
        }[name]()


def record(**fields: Any) -> logging.LogRecord:
    """Make a log record."""
    made = logging.LogRecord("n", logging.INFO, "f", 1, "hello %s", ("you",), None)
    made.__dict__.update(fields)
    return made


def test_records_may_bring_their_own_run() -> None:
    """A logger that is used in a foreign thread keeps its run's name."""
    assert "Flow run 'r' | hello you" in TextFormatter().format(record(run="r"))
    assert json.loads(JsonFormatter().format(record(run="r", stack_info="stack")))["exception"] == "stack"


def test_a_broken_stream_does_not_break_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logging to a closed stderr is not the flow's problem."""
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    assert flow(lambda: 5)() == 5
