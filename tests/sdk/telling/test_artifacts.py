"""Artifacts: what is kept of them, under which key, and of which run."""

from __future__ import annotations

import asyncio
import json
import math
import threading
from contextvars import copy_context
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath import ProcessPoolTaskRunner, errors, flow, get_run_context, task
from towpath.artifacts import (
    Artifact,
    ImageArtifact,
    LinkArtifact,
    MarkdownArtifact,
    ProgressArtifact,
    TableArtifact,
    acreate_image_artifact,
    acreate_link_artifact,
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from towpath.telling import checks
from towpath.telling.timeline import Timeline
from towpath.testing import Harness

MADE = [
    pytest.param(create_markdown_artifact, {"markdown": "# Hæ"}, "markdown", "# Hæ", id="markdown"),
    pytest.param(
        create_link_artifact, {"link": "https://a.b/c"}, "markdown", "[https://a.b/c](https://a.b/c)", id="link"
    ),
    pytest.param(
        create_link_artifact, {"link": "s3://b/k", "link_text": "rows"}, "markdown", "[rows](s3://b/k)", id="link text"
    ),
    pytest.param(create_image_artifact, {"image_url": "https://a.b/i.png"}, "image", "https://a.b/i.png", id="image"),
    pytest.param(create_progress_artifact, {"progress": 12.5}, "progress", 12.5, id="progress"),
    pytest.param(create_table_artifact, {"table": [{"a": 1}, {"a": 2}]}, "table", '[{"a":1},{"a":2}]', id="rows"),
    pytest.param(create_table_artifact, {"table": {"a": [1, 2]}}, "table", '{"a":[1,2]}', id="columns"),
    pytest.param(create_table_artifact, {"table": [["a", "b"], (1, 2)]}, "table", '[["a","b"],[1,2]]', id="lists"),
    pytest.param(create_table_artifact, {"table": []}, "table", "[]", id="empty"),
]


@pytest.mark.parametrize(("create", "given", "type_", "data"), MADE)
def test_what_is_created_can_be_read(towpath: Harness, create: Any, given: Any, type_: str, data: Any) -> None:
    """Each kind gives its id, and is found at once by its key, outside of any run too."""
    made = create(**given, key="mine-1", description="of the night")
    found = Artifact.get("mine-1")
    assert isinstance(made, UUID)
    assert found is not None
    assert (found.id, found.key, found.type, found.data) == (made, "mine-1", type_, data)
    assert (found.description, found.flow_run_id, found.task_run_id) == ("of the night", None, None)


@pytest.mark.parametrize(
    ("artifact", "type_", "data"),
    [
        (MarkdownArtifact(markdown="x"), "markdown", "x"),
        (LinkArtifact(link="x", link_text="y"), "markdown", "[y](x)"),
        (TableArtifact(table={"a": [1]}), "table", '{"a":[1]}'),
        (ImageArtifact(image_url="x"), "image", "x"),
        (ProgressArtifact(progress=5), "progress", 5.0),
        (Artifact(type="chart", data={"x": [1, None]}), "chart", '{"x":[1,null]}'),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Artifact) else None,
)
def test_classes_do_what_functions_do(told: Timeline, artifact: Artifact, type_: str, data: Any) -> None:
    """`create` gives the whole record, and what is kept is the same."""
    artifact.key = "k"
    made = artifact.create()
    assert (made.type, made.data) == (type_, data)
    assert Artifact.get("k") == made


def test_a_key_has_versions(told: Timeline) -> None:
    """The latest counts, the earlier ones are kept; one that there is none of is None."""
    ids = [create_markdown_artifact(f"v{n}", key="report") for n in range(3)]
    assert MarkdownArtifact.get("report").id == ids[-1]
    assert [one.id for one in told.artifacts(key="report")] == ids[::-1]
    assert [one.id for one in told.artifacts(latest=True)] == [ids[-1]]
    assert told.versions() == {"report": 3}
    assert Artifact.get("other") is None


def test_get_or_create_makes_one_once(towpath: Harness) -> None:
    """The second call gives what the first made."""
    first, made = MarkdownArtifact.get_or_create("report", markdown="a")
    again, made_again = MarkdownArtifact.get_or_create("report", markdown="b")
    assert (made, made_again) == (True, False)
    assert again == first


def test_progress_is_updated_in_place(told: Timeline) -> None:
    """An update changes the number, and the description only if there is a new one."""
    made = create_progress_artifact(0, key="load", description="loading")
    assert update_progress_artifact(made, 40.0) == made
    assert (Artifact.get("load").data, Artifact.get("load").description) == (40.0, "loading")
    update_progress_artifact(str(made), 100, "loaded")  # type: ignore[arg-type] # an id that travelled as text
    (one,) = told.artifacts()
    assert (one.data, one.description) == (100.0, "loaded")
    assert one.updated >= one.created


def test_an_update_of_nothing_is_told(told: Timeline, caplog: pytest.LogCaptureFixture) -> None:
    """Neither a deleted artifact nor one of another kind is changed, and the log says so."""
    report = create_markdown_artifact("x", key="report")
    for strange in (uuid4(), report):
        caplog.clear()
        update_progress_artifact(strange, 50)
        assert Artifact.get("report").data == "x"
        assert f"no progress artifact '{strange}'" in caplog.text


@pytest.mark.parametrize(("said", "counts"), [(100.0000001, 100.0), (120, 100.0), (-3, 0.0), (math.inf, 100.0)])
def test_progress_stays_within_its_bounds(towpath: Harness, said: float, counts: float) -> None:
    """Sums of fractions run over; what was meant counts."""
    create_progress_artifact(said, key="p")
    assert Artifact.get("p").data == counts


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: create_markdown_artifact("x", key="My Report"), "got 'My Report'. 'my-report' would do"),
        (lambda: create_markdown_artifact("x", key="a_b"), "lowercase letters, digits and dashes"),
        (lambda: create_markdown_artifact("x", key=""), "got ''"),
        (lambda: create_markdown_artifact("x", key="é"), "got 'é'"),
        (lambda: create_markdown_artifact("x", key="a\n"), "'a' would do"),
        (lambda: create_markdown_artifact("x", key=5), "got 5"),
        (lambda: create_markdown_artifact("x", key="x" * 256), "at most 255"),
        (lambda: create_markdown_artifact(5), "made of a text; got 5"),
        (lambda: create_markdown_artifact("x" * (checks.ARTIFACT_BYTES + 1)), "has 524,289 bytes, and at most 524,288"),
        (lambda: create_markdown_artifact("é" * 300_000), "has 600,000 bytes"),
        (lambda: create_markdown_artifact("x", description="x" * 4001), "at most 4,000 characters; got 4,001"),
        (lambda: create_table_artifact("rows"), "a list of dictionaries, a dictionary of lists"),
        (lambda: create_table_artifact([1, 2]), "got a list"),
        (lambda: create_table_artifact([{"a": 1}, [2]]), "got a list"),
        (lambda: create_table_artifact({"a": 1}), "got a dict"),
        (lambda: create_table_artifact([["x" * 600_000]]), "at most 524,288"),
        (lambda: create_progress_artifact("half"), "got 'half'"),
        (lambda: create_progress_artifact(math.nan), "got nan"),
        (lambda: update_progress_artifact("load", 5), "the id that create_progress_artifact gave; got 'load'"),
        (lambda: Artifact(data=object(), key="x").create(), "made of JSON values"),
        (lambda: Artifact(type="x" * 64, data=1).create(), "at most 63 characters"),
        (lambda: Artifact.get("A"), "got 'A'"),
        (lambda: Artifact.get(None), "by its key; got None"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(told: Timeline, call: Any, says: str) -> None:
    """The error is a ValueError that says what is wrong; nothing is kept."""
    with pytest.raises(errors.UnfitValue) as caught:
        call()
    assert says in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert told.artifacts() == []


def test_what_json_has_no_form_for_is_shown_as_text(towpath: Harness) -> None:
    """A table is there to be looked at: NaN becomes null, other values their own words."""
    create_table_artifact([{"a": math.nan, "b": Decimal("1.50"), 3: {"x": (1, math.inf)}}], key="t")
    assert json.loads(str(Artifact.get("t").data)) == [{"a": None, "b": "1.50", "3": {"x": [1, None]}}]


_CELLS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(), st.lists, max_leaves=5
)


@given(st.lists(st.dictionaries(st.text(), _CELLS)))
@settings(deadline=None)
def test_any_table_has_a_form(rows: list[dict[str, Any]]) -> None:
    """Whatever its cells are, a table is JSON with as many rows."""
    assert len(json.loads(str(TableArtifact(table=rows).format()))) == len(rows)


@task
def report(n: int) -> str:
    """Tell something in a task, in a thread of its own; gives the task run."""
    context = copy_context()
    thread = threading.Thread(target=context.run, args=(create_markdown_artifact, f"# {n}", f"report-{n}"))
    thread.start()
    thread.join()
    return get_run_context().task_run.id


@task
async def report_async(n: int) -> str:
    """Tell something in an asynchronous task."""
    await create_markdown_artifact(f"# {n}", key=f"report-{n}")  # type: ignore[misc]
    return get_run_context().task_run.id


@pytest.mark.parametrize(
    ("runner", "teller"),
    [
        pytest.param(None, report, id="threads"),
        pytest.param(None, report_async, id="async"),
        pytest.param(ProcessPoolTaskRunner(max_workers=2), report, id="processes"),
        pytest.param(ProcessPoolTaskRunner(max_workers=2), report_async, id="async in processes"),
    ],
)
def test_an_artifact_belongs_to_the_run_that_tells_it(
    towpath: Harness, told: Timeline, runner: Any, teller: Any
) -> None:
    """Wherever a task runs; and all is in the history when the flow has ended."""

    @flow(task_runner=runner)
    def shows() -> tuple[str, list[str]]:
        create_markdown_artifact("top", key="top")
        return get_run_context().flow_run.id, teller.map([0, 1]).result()

    run_id, task_runs = shows()
    top, *others = sorted(told.artifacts(run_id=run_id), key=lambda one: one.key != "top")
    assert (top.task_run_id, top.task_run) == (None, None)
    assert {one.key: (one.data, one.task_run_id) for one in others} == {
        f"report-{n}": (f"# {n}", task_run) for n, task_run in enumerate(task_runs)
    }
    (run,) = towpath.history.runs()
    assert {one.flow_run for one in (top, *others)} == {run.name}


@task(task_run_name="reads")
def read_own() -> Any:
    """Read what was told a moment ago."""
    create_markdown_artifact("mine", key="own")
    return Artifact.get("own").data


@pytest.mark.parametrize("runner", [None, ProcessPoolTaskRunner(max_workers=1)], ids=["threads", "processes"])
def test_a_task_reads_what_it_has_just_told(towpath: Harness, runner: Any) -> None:
    """Also in a worker process, whose notes another process writes."""

    @flow(task_runner=runner)
    def reads() -> Any:
        return read_own.submit().result()

    assert reads() == "mine"


def test_asynchronous_code_awaits(told: Timeline) -> None:
    """Functions give what is awaited, and so do their twins, also those of a comprehension."""

    @flow
    async def tells() -> Any:
        progress = await acreate_progress_artifact(1, key="progress")
        await aupdate_progress_artifact(progress, 2)
        await update_progress_artifact(progress, 3)
        await acreate_link_artifact("l", key="link")
        await acreate_image_artifact("i", key="image")
        await acreate_table_artifact([], key="table")
        await acreate_markdown_artifact("m", key="markdown")
        await asyncio.gather(*(create_markdown_artifact("g", key=f"gathered-{n}") for n in range(2)))
        await asyncio.gather(*[create_markdown_artifact("g", key=f"gathered-{n}") for n in range(2, 4)])
        created = await MarkdownArtifact(markdown="c", key="class").create()
        assert await MarkdownArtifact.get("class") == created == await MarkdownArtifact.aget("class")
        assert await MarkdownArtifact.aget_or_create("class", markdown="d") == (created, False)
        return await ProgressArtifact(progress=4, key="last").acreate()

    last = asyncio.run(tells())
    found = told.artifacts()
    gathered = {f"gathered-{n}" for n in range(4)}
    assert {one.key for one in found} == {"progress", "link", "image", "table", "markdown", "class", "last", *gathered}
    assert {one.flow_run_id for one in found} == {last.flow_run_id}
    assert next(one for one in found if one.key == "progress").data == 3.0


def test_what_asynchronous_code_calls_does_not_await(told: Timeline) -> None:
    """A synchronous task, a function and a hook of an asynchronous flow tell at once: they have nothing to await with."""

    @task
    def in_task() -> None:
        create_markdown_artifact("x", key="task")

    def in_function() -> None:
        create_markdown_artifact("x", key="function")

    def in_hook(*_: Any) -> None:
        create_markdown_artifact("x", key="hook")

    @flow(on_completion=[in_hook])
    async def calls() -> None:
        in_task()
        in_function()
        await asyncio.to_thread(in_function)

    asyncio.run(calls())
    assert sorted(one.key or "" for one in told.artifacts()) == ["function", "function", "hook", "task"]
    assert None not in {one.flow_run_id for one in told.artifacts()}


def test_artifacts_go_with_their_run(towpath: Harness, told: Timeline) -> None:
    """Deleting a run deletes what it has told; what was told outside stays."""

    @flow
    def tells() -> None:
        create_markdown_artifact("x", key="in")

    tells()
    create_markdown_artifact("x", key="out")
    Artifact.get("out")
    towpath.history.delete(towpath.history.runs()[0].id)
    assert [one.key for one in told.artifacts()] == ["out"]


def test_texts_that_no_file_can_hold_are_kept_as_well_as_can_be(towpath: Harness) -> None:
    """A lone surrogate, as in the name of a file, costs neither the artifact nor those after it."""
    create_markdown_artifact("bad \udc80 name", key="bad", description="\ud800")
    create_markdown_artifact("good", key="good")
    assert Artifact.get("bad").data == "bad ? name"
    assert Artifact.get("good").data == "good"


def test_a_failed_run_has_told_what_it_told(told: Timeline) -> None:
    """An artifact that was created before a flow failed is there."""

    @flow
    def fails() -> None:
        create_markdown_artifact("before", key="before")
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError):
        fails()
    assert [one.data for one in told.artifacts()] == ["before"]
