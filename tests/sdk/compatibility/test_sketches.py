"""`flow.generate_mermaid_graph` and `flow.visualize`: what a flow calls, without calling it."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest

from towpath import flow, get_run_logger, task, unmapped, wait
from towpath.errors import ConfigurationError, ParameterError
from towpath.testing import harness


def never() -> NoReturn:
    """Fail where a sketch would have called something."""
    raise AssertionError("It was called.")


def must_not_run(*_: Any) -> NoReturn:
    """Fail as a hook."""
    never()


@task(retries=3, persist_result=True, on_running=[must_not_run])
def fetch(_url: str) -> int:
    """Fetch a page."""
    never()


@task
def join(*_parts: Any, **_more: Any) -> Any:
    """Join parts."""
    never()


@flow(on_running=[must_not_run])
def study(_page: Any) -> int:
    """Study a page, as a child."""
    never()


def steps(drawn: str) -> dict[str, list[str]]:
    """Read a drawing: from each step's name to those that it waits for."""
    head, *lines = drawn.splitlines()
    assert head == "flowchart TD"
    names = {}
    edges = []
    for line in lines:
        if " --> " in line:
            edges.append(tuple(line.split(" --> ")))
        else:
            number, _, label = line.partition("[")
            names[number] = label.strip('"]')
    found: dict[str, list[str]] = {name: [] for name in names.values()}
    for before, after in edges:
        found[names["    " + after]].append(names[before])
    return found


def test_a_sketch_has_all_calls_and_what_they_wait_for() -> None:
    """Values, futures, `wait_for`, collections and children; in the order of the calls; and nothing runs."""

    @flow(retries=2, persist_result=True, on_running=[must_not_run], on_completion=[must_not_run])
    def main(urls: list[str]) -> Any:
        first, second = fetch(urls[0]), fetch.submit(urls[1])
        both = join([first, {"second": second}])
        page = study(both["page"].text + 1)
        last = join.submit(wait_for=[second])
        wait([last])
        if page > 3:
            join(page, return_state=True)
        return last

    with harness() as towpath:
        drawn = steps(main.generate_mermaid_graph(["a", "b"]))
        assert towpath.history.runs() == []
        assert not any(path.name != "history.db" for path in towpath.folder.glob("*/"))
    assert drawn == {
        "fetch-0": [],
        "fetch-1": [],
        "join-0": ["fetch-0", "fetch-1"],
        "study-0": ["join-0"],
        "join-1": ["fetch-1"],
        "join-2": ["study-0"],
    }


def test_a_flow_that_is_awaited_is_sketched_too() -> None:
    """Gathered calls and futures; also from within an event loop."""

    @task
    async def read(_: Any) -> int:
        never()

    @flow
    async def main() -> Any:
        first = await read("a")
        both = await asyncio.gather(read(first), read(first))
        return await read.submit(both)

    async def within() -> str:
        return main.generate_mermaid_graph()

    drawn = main.generate_mermaid_graph()
    assert steps(drawn) == {"read-0": [], "read-1": ["read-0"], "read-2": ["read-0"], "read-3": ["read-1", "read-2"]}
    assert asyncio.run(within()) == drawn


def test_a_flow_that_needs_values_is_given_those_that_its_author_names() -> None:
    """`viz_return_value`, which still tells where it comes from; a stand-in is mapped over once."""

    @task(viz_return_value=["a", "b"])
    def list_urls() -> list[str]:
        never()

    @flow
    def main() -> None:
        urls = list_urls()
        join(urls)
        pages = fetch.map(urls)
        join.map(pages[0].result(), unmapped(pages))
        for part in fetch("c"):  # type: ignore[attr-defined]
            join(part)

    assert steps(main.generate_mermaid_graph()) == {
        "list_urls-0": [],
        "join-0": ["list_urls-0"],
        "fetch-0": [],
        "fetch-1": [],
        "join-1": ["fetch-0", "fetch-1"],
        "fetch-2": [],
        "join-2": ["fetch-2"],
    }


def test_code_that_cannot_go_on_with_a_stand_in_says_what_to_do() -> None:
    """The flow's own error, with a note; wrong parameters need none."""

    @flow
    def main(n: int) -> None:
        int(fetch("a"))

    with pytest.raises(TypeError) as caught:
        main.generate_mermaid_graph(1)
    assert "viz_return_value" in caught.value.__notes__[0]
    with pytest.raises(ParameterError, match="n='x'"):
        main.generate_mermaid_graph("x")  # type: ignore[arg-type]


def test_a_sketch_is_quiet_and_over_when_it_is_made(caplog: pytest.LogCaptureFixture) -> None:
    """Its flow's log is not written, and the flow is what it was."""

    @task
    def one() -> int:
        return 1

    @flow
    def main() -> int:
        get_run_logger().warning("running")
        return one()

    with caplog.at_level(logging.INFO, "towpath"):
        main.generate_mermaid_graph()
        assert not caplog.messages
    assert main() == 1


def test_a_name_cannot_break_out_of_a_drawing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quotes in names are written as Mermaid and Graphviz want them."""

    @task(name='say "hi" \\ "')
    def greet() -> None:
        never()

    @flow(name="main")
    def main() -> None:
        greet()

    assert '["say #quot;hi#quot; \\ #quot;-0"]' in main.generate_mermaid_graph()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(program(tmp_path, 'open(sys.argv[3], "w").write(sys.stdin.read())')))
    picture = main.visualize()
    assert picture == tmp_path / "main.png"
    assert picture.read_text() == 'digraph {\n    n0 [label="say \\"hi\\" \\\\ \\"-0"];\n}'


def test_graphviz_that_is_missing_or_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what works without it, or in its own words."""
    main = flow(lambda: join(), name="main")  # noqa: PLW0108
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="generate_mermaid_graph"):
        main.visualize()
    program(tmp_path, 'sys.exit("no such font")')
    with pytest.raises(ConfigurationError, match="no such font"):
        main.visualize()


def program(folder: Path, code: str) -> Path:
    """Put a program `dot` into a folder that does as told, in Graphviz's place; its drawing is not what is tested."""
    made = folder / "dot"
    made.write_text(f"#!{sys.executable}\nimport sys\n{code}\n")
    os.chmod(made, 0o755)  # noqa: PTH101
    return folder
