"""A run at a real terminal: what a person sees while it goes, and how the terminal is left."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.sdk.console.screen import Terminal

#: Runs a flow that goes on until a file is there; `%s` is what it does meanwhile.
SCRIPT = """
import logging, os, sys, time
from pathlib import Path
from towpath import flow, get_run_logger, task

def wait_for(name):
    while not Path(name).exists():
        time.sleep(0.01)

@task
def load(i):
    if i == 1:
        raise ValueError("no such row")
    return i

@flow(flow_run_name="the-child", log_prints=False)
def child():
    get_run_logger().info("child at work")
    load.map(range(3)).wait()
    wait_for("go-child")

@flow(flow_run_name="the-parent", log_prints=False)
def parent():
%s

if __name__ == "__main__":
    parent()
    print("after", [name for name in ("rich", "towpath.console.live") if name in sys.modules])
"""
CALLS_CHILD = """
    child.submit()
    wait_for("go")
    return 5
"""
WAITS = """
    wait_for("go")
"""

Start = Callable[..., Terminal]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Give what runs a script in a terminal."""

    def start(body: str, *, columns: int = 100, lines: int = 40, stdout: Path | None = None, **env: str) -> Terminal:
        (tmp_path / "script.py").write_text(SCRIPT % body, encoding="utf-8")
        code = "import os, runpy, sys; os.chdir(sys.argv[1]); runpy.run_path('script.py', run_name='__main__')"
        environment = {"TOWPATH_HISTORY": str(tmp_path / "h.db"), "HOME": str(tmp_path), **env}
        return Terminal("-c", code, str(tmp_path), environment=environment, columns=columns, lines=lines, stdout=stdout)

    return start


def go(folder: Path, *names: str) -> None:
    """Let flows go on that wait for files."""
    for name in names:
        (folder / name).touch()


def go_when_drawn(terminal: Terminal, folder: Path) -> None:
    """Let a flow go on that waits until it is drawn, however long the machine takes for that."""
    terminal.until("▶ Running")
    go(folder, "drawn")


def test_a_run_is_shown_as_a_tree_while_it_goes(start: Start, tmp_path: Path) -> None:
    """With its children, states, times, counts, and failed tasks by name; the log scrolls above; the last tree stays."""
    with start(CALLS_CHILD) as terminal:
        seconds = r"+\d+\.\d s"
        parent = rf"\nthe-parent +parent +▶ Running {seconds}"
        seen = terminal.until(
            rf"{parent}\n└─ the-child +child +▶ Running {seconds} +3/3 done, 1 failed: load-1$",
        )
        assert "child at work" in seen.splitlines()[2]
        go(tmp_path, "go-child")
        terminal.until(rf"{parent}\n└─ the-child +child +✔ Completed {seconds} +3/3 done, 1 failed: load-1$")
        go(tmp_path, "go")
        *log, first, second, after = terminal.end().splitlines()
        assert re.fullmatch(r"the-parent +parent +✔ Completed +\d+\.\d s", first)
        assert re.fullmatch(r"└─ the-child +child +✔ Completed .*", second)
        assert after.startswith("after")
        text = "\n".join(log)
        assert "▶" not in text  # it is drawn over, not drawn again and again
        assert text.count("Traceback") == text.count("child at work") == 1
        assert "Finished in state Completed()" in log[-1]
        assert not terminal.cursor_is_hidden
        assert terminal.process.returncode == 0


def test_a_run_that_is_soon_over_is_not_drawn(start: Start) -> None:
    """And nothing that draws is loaded."""
    body = "    return load(2)\n\nfrom towpath.console import view\nview.DELAY_SECONDS = 1000"
    with start(body) as terminal:
        text = terminal.end()
        assert text.splitlines()[-1] == "after []"
        assert "✔" not in text


@pytest.mark.parametrize(
    ("environment", "drawn", "coloured"),
    [
        ({}, True, True),
        ({"NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({"TOWPATH_PROGRESS": "false"}, False, True),
        ({"TOWPATH_LOG_FORMAT": "json"}, False, False),
    ],
    ids=lambda value: ",".join(value) or "nothing" if isinstance(value, dict) else "",
)
def test_it_can_be_switched_off(
    environment: dict[str, str], drawn: bool, coloured: bool, start: Start, tmp_path: Path
) -> None:
    """By a setting, by a terminal that cannot, and where machines read; colours by NO_COLOR."""
    with start("    time.sleep(1.2)\n    get_run_logger().warning('nearly')\n" + WAITS, **environment) as terminal:
        terminal.until("nearly")
        if drawn:
            terminal.until("▶ Running")
        go(tmp_path, "go")
        assert ("✔ Completed" in terminal.end()) == drawn
        assert bool(terminal.colours) == coloured


def test_away_from_a_terminal_there_are_plain_lines(tmp_path: Path) -> None:
    """No escape sequence gets into a file or a pipe."""
    (tmp_path / "script.py").write_text(SCRIPT % "    time.sleep(1)\n    return load(2)", encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, str(tmp_path / "script.py")],
        env={"TOWPATH_HISTORY": "off"},
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    assert "\x1b" not in ran.stderr + ran.stdout
    assert [line.partition(" | ")[2][:30] for line in ran.stderr.splitlines()] == [
        "INFO     | Flow run 'the-paren",
        "INFO     | Flow run 'the-paren",
    ]
    assert ran.stdout == "after []\n"


def test_without_rich_there_are_plain_lines(start: Start, tmp_path: Path) -> None:
    """It is an extra."""
    body = "    sys.modules['rich'] = sys.modules['rich.console'] = None\n    time.sleep(1.2)\n" + WAITS
    with start(body) as terminal:
        terminal.until("Beginning")
        go(tmp_path, "go")
        text = terminal.end()
        assert "✔" not in text
        assert "Traceback" not in text
        assert terminal.process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_the_terminal_is_left_as_it_was(number: signal.Signals, start: Start) -> None:
    """Whatever ends the process: the cursor is there, at the beginning of a line; lines wrap; no screen is left over."""
    with start(WAITS) as terminal:
        terminal.until("▶ Running")
        terminal.process.send_signal(number)
        terminal.end()
        assert terminal.process.returncode != 0
        assert not terminal.cursor_is_hidden
        assert terminal._screen.cursor.x == 0
        for left_over in (b"\x1b[?25l", b"\x1b[?1049h", b"\x1b[?7l"):
            assert left_over not in terminal.written
        assert terminal.written.count(b"\x1b[?2026h") == terminal.written.count(b"\x1b[?2026l")


def test_an_exception_comes_below_the_last_tree(start: Start, tmp_path: Path) -> None:
    """The tree says how the run ended; Python's own traceback is whole."""
    with start(WAITS + "\n    raise ValueError('broken')") as terminal:
        terminal.until("▶ Running")
        go(tmp_path, "go")
        text = terminal.end()
        tree, _, below = text.partition("✘ Failed")
        assert "broken" in tree
        assert below.rstrip().endswith("ValueError: broken")


def test_all_that_the_program_prints_stands_above_in_its_order(start: Start, tmp_path: Path) -> None:
    """Standard output, standard error, and handlers that have had hold of the stream for long; long lines in full."""
    body = """
    handler = logging.StreamHandler()  # has the stream as it is now
    wait_for("drawn")
    for i in range(300):
        print("out", i)
        print("err", i, file=sys.stderr)
        handler.emit(logging.makeLogRecord({"msg": f"old {i}"}))
    print("x" * 250 + "end")
    sys.stdout.write("begun, ")
    time.sleep(0.3)
    print("and ended")
    wait_for("go")
"""
    with start(body, columns=80, lines=20) as terminal:
        go_when_drawn(terminal, tmp_path)
        terminal.until(r"(?s)and ended.*▶ Running[^\n]*$")
        go(tmp_path, "go")
        lines = terminal.end().splitlines()
        printed = [line for line in lines if re.fullmatch(r"(out|err|old) \d+", line)]
        assert printed == [f"{where} {i}" for i in range(300) for where in ("out", "err", "old")]
        at = lines.index("begun, and ended")
        assert "".join(lines[at - 4 : at]) == "x" * 250 + "end"
        assert sum("▶" in line for line in lines) == 0


def test_a_result_in_a_file_stays_clean(start: Start, tmp_path: Path) -> None:
    """Only what is a terminal is drawn on."""
    with start("    print('mine')\n" + WAITS, stdout=tmp_path / "out.txt") as terminal:
        terminal.until("▶ Running")
        go(tmp_path, "go")
        terminal.end()
    assert (tmp_path / "out.txt").read_text().splitlines()[0] == "mine"
    assert "\x1b" not in (tmp_path / "out.txt").read_text()


@pytest.mark.parametrize("is_drawn", [True, False], ids=["after a while", "at once"])
def test_who_asks_for_input_gets_the_terminal(is_drawn: bool, start: Start, tmp_path: Path) -> None:
    """Nothing is drawn over a prompt, nor over what is typed."""
    body = """
    %s
    print("it is", input("which? "), "then")
    time.sleep(1.5)
"""
    with start(body % ("wait_for('drawn')" if is_drawn else "")) as terminal:
        if is_drawn:
            go_when_drawn(terminal, tmp_path)
        terminal.until(r"which\?$")
        terminal.press("this\n")
        lines = terminal.end().splitlines()
        assert "which? this" in lines
        assert "it is this then" in lines
        assert not any("▶" in line for line in lines)


def test_what_draws_itself_gets_the_terminal(start: Start, tmp_path: Path) -> None:
    """A bar that a library draws is seen as it is meant."""
    body = """
    wait_for("drawn")
    for i in range(4):
        sys.stderr.write(f"\\rbar {i}/3")
        time.sleep(0.2)
    sys.stderr.write("\\n")
"""
    with start(body) as terminal:
        go_when_drawn(terminal, tmp_path)
        lines = terminal.end().splitlines()
        assert "bar 3/3" in lines
        assert not any("bar 2/3" in line or "▶" in line for line in lines)


@pytest.mark.parametrize("call", ["subprocess.run(['echo', text])", "os.system('echo ' + text)"], ids=["run", "system"])
def test_a_child_process_that_prints_gets_the_terminal(call: str, start: Start, tmp_path: Path) -> None:
    """Its lines are not drawn over; one whose output is read by its parent takes nothing away."""
    body = """
    wait_for("drawn")
    import subprocess
    print(subprocess.run(["echo", "read"], capture_output=True, text=True).stdout)
    wait_for("go-child")
    print("before")
    for i in range(3):
        text = f"of_child_{i}"
        CALL
        time.sleep(0.3)
    print("afterwards")
"""
    with start(body.replace("CALL", call)) as terminal:
        go_when_drawn(terminal, tmp_path)
        terminal.until(r"(?s)read.*▶ Running[^\n]*$")
        go(tmp_path, "go-child")
        lines = terminal.end().splitlines()
        at = lines.index("before")
        assert lines[at : at + 5] == ["before", "of_child_0", "of_child_1", "of_child_2", "afterwards"]
        assert not any("▶" in line for line in lines)


def test_a_child_that_begins_before_the_drawing_has_the_terminal(start: Start) -> None:
    """As in a flow that does nothing but call a program."""
    body = """
    import subprocess
    code = "import time; print('begun', flush=True); time.sleep(1.5); print('ended')"
    subprocess.run([sys.executable, "-c", code])
"""
    with start(body) as terminal:
        lines = terminal.end().splitlines()
        assert lines[lines.index("begun") + 1] == "ended"


def test_a_forked_child_prints_for_itself(start: Start, tmp_path: Path) -> None:
    """Its text does not wait for a thread that only its parent has."""
    body = """
    wait_for("drawn")
    if (child := os.fork()) == 0:
        print("from the child", flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    wait_for("go")
"""
    with start(body) as terminal:
        go_when_drawn(terminal, tmp_path)
        terminal.until("from the child")
        go(tmp_path, "go")
        lines = terminal.end().splitlines()
        assert "from the child" in lines
        assert not any("▶" in line for line in lines)


def test_a_small_terminal_shows_what_matters_most(start: Start, tmp_path: Path) -> None:
    """Names are cut off rather than lines wrapped; runs that there is no room for are counted."""
    body = """
    for _ in range(5):
        child.with_options(flow_run_name="quick").fn and flow(lambda: None, name="quick")()
    for i in range(12):
        child.with_options(flow_run_name=f"a-long-name-of-a-child-{i}").submit()
    wait_for("go")
"""
    with start(body, columns=40, lines=12, TOWPATH_LOG_LEVEL="CRITICAL") as terminal:
        drawn = terminal.until("… 9 more: 5 completed, 4 running$").splitlines()
        assert len(drawn) <= 12
        assert all(len(line) <= 40 for line in drawn)
        go(tmp_path, "go-child", "go")
        assert terminal.end().count("✔") == 18


def test_a_line_that_has_begun_is_not_drawn_over(start: Start, tmp_path: Path) -> None:
    """What comes later of it stands in a line of its own."""
    body = """
    print("begun, ", end="", flush=True)
    wait_for("drawn")
    print("and ended")
    wait_for("go")
"""
    with start(body) as terminal:
        go_when_drawn(terminal, tmp_path)
        terminal.until(r"(?s)and ended.*▶ Running[^\n]*$")
        go(tmp_path, "go")
        assert {"begun,", "and ended"} <= set(terminal.end().splitlines())
