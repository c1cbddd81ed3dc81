"""`towpath.runtime`, tags, and run contexts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath import flow, get_run_context, runtime, tags, task
from towpath.errors import MissingContext
from towpath.slugs import ADJECTIVES, NOUNS, new_id, slug


def test_outside_of_any_run_everything_is_empty() -> None:
    """None, or an empty collection; so scripts run without a flow too."""
    assert (runtime.flow_run.id, runtime.flow_run.tags, runtime.flow_run.parameters) == (None, [], {})
    assert (runtime.task_run.name, runtime.task_run.run_count, runtime.deployment.name) == (None, 0, None)


def test_within_runs_everything_is_there() -> None:
    """Flow and task, each with what it knows."""

    @task(tags=["t"])
    def work(x: int) -> Any:
        return (
            runtime.task_run.name,
            runtime.task_run.task_name,
            runtime.task_run.parameters,
            runtime.task_run.tags,
            runtime.flow_run.flow_name,
            runtime.flow_run.flow_version,
        )

    @flow(version="7")
    def main(x: int) -> Any:
        assert runtime.task_run.id is None
        return work(x)

    assert main(3) == ("work-0", "work", {"x": 3}, ["t"], "main", "7")


def test_unknown_names_are_refused() -> None:
    """With those that are known, which `dir` lists too."""
    with pytest.raises(AttributeError, match="flow_name"):
        runtime.flow_run.nothing  # noqa: B018
    assert "run_count" in dir(runtime.task_run)
    assert "name" in dir(runtime.deployment)
    assert "attempt" in dir(runtime.flow_run)


def test_the_context_is_the_innermost_run() -> None:
    """MissingContext outside; flow and task inside."""
    with pytest.raises(MissingContext):
        get_run_context()

    @task
    def work() -> Any:
        context = get_run_context()
        assert context.task is work
        assert context.flow is main
        return context.flow_run is outer

    @flow
    def main() -> Any:
        nonlocal outer
        outer = get_run_context().flow_run
        assert get_run_context().task is None
        return work()

    outer: Any = None
    assert main()
    with pytest.raises(MissingContext):
        get_run_context()


def test_tags_nest() -> None:
    """Inner tags are added, and gone after the block."""
    with tags("a") as outer, tags("b", "a") as inner:
        assert (outer, inner) == ({"a"}, {"a", "b"})
    assert task(lambda: runtime.task_run.tags)() == []
    with pytest.raises(TypeError, match="5"), tags(5):  # type: ignore[arg-type]
        pass


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_slugs_are_two_words(first: int, second: int) -> None:
    """Lower case letters and one dash: fit for the name of a resource."""
    draws = iter([first, second])
    words = slug(lambda below: next(draws) % below).split("-")
    assert words[0] in ADJECTIVES
    assert words[1] in NOUNS


def test_words_are_words() -> None:
    """No duplicates, nothing but small letters."""
    for words in (ADJECTIVES, NOUNS):
        assert len(set(words)) == len(words)
        assert all(word.isalpha() and word.islower() for word in words)


def test_ids_are_uuids() -> None:
    """Version 4, and never the same."""
    from uuid import UUID

    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(str(UUID(id_)) == id_ and UUID(id_).version == 4 for id_ in ids)
