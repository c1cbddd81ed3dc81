"""What runs send each other while they run."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import Field, ValidationError
from tests.sdk.pausing.conftest import PATIENCE_SECONDS, Going, Scene, until

from towpath import flow, runtime
from towpath.errors import MissingContext, NoSuchRun, ParameterError, PauseError
from towpath.input import Received, RunInput, receive_input, send_input


class Question(RunInput):
    """Something asked."""

    text: str


class Answer(RunInput):
    """Something answered."""

    text: str


def begun(scene: Scene, flow_name: str) -> str:
    """Wait until a run of a flow has begun, and give its id."""
    found: str = until(
        lambda: next((run.id for run in scene.runs() if run.flow == flow_name), None), f"a run of {flow_name!r}"
    )
    return found


def test_values_come_in_the_order_in_which_they_were_sent(scene: Scene) -> None:
    """Plain values and models, each to who wants that type; when no more come, the loop is over."""

    @flow
    def adds() -> list[Any]:
        numbers = receive_input(int, timeout=PATIENCE_SECONDS)
        first = [numbers.next(), numbers.next()]
        return [*first, *(question.text for question in Question.receive(timeout=0))]

    going = Going(adds)
    run_id = begun(scene, "adds")
    Question(text="how many?").send_to(run_id)
    send_input(1, run_id)
    send_input(2, run_id)
    assert going.result() == [1, 2, "how many?"]


def test_a_run_responds_to_the_run_that_asked(scene: Scene) -> None:
    """In event loops; the sender is known by the input."""

    @flow
    async def answers() -> list[str]:
        asked = []
        async for question in Question.receive(timeout=PATIENCE_SECONDS):
            asked.append(question.text)
            await question.respond(Answer(text=question.text.upper()))  # type: ignore[func-returns-value]
            if question.text == "b":
                break
        return asked

    @flow
    async def asks(run_id: str) -> list[str]:
        told = []
        answers = Answer.receive(timeout=PATIENCE_SECONDS)
        for text in ("a", "b"):
            await Question(text=text).send_to(run_id)  # type: ignore[func-returns-value]
            told.append((await answers.next()).text)  # type: ignore[misc]
        return told

    going = Going(lambda: asyncio.run(answers()))
    assert asyncio.run(asks(begun(scene, "answers"))) == ["A", "B"]
    assert going.result() == ["a", "b"]


def test_where_an_input_came_from_is_told_if_asked_for(scene: Scene) -> None:
    """A key of its own, the sender if it is a run, and who got it; a value can be left out by its key."""

    @flow
    def talks_to_itself() -> None:
        me = runtime.flow_run.id
        assert me is not None
        send_input("x", me)
        send_input("y", me, sender="ada")
        first, second = receive_input(str, timeout=0, with_metadata=True)
        assert (first.value, first.metadata.sender, first.metadata.receiver) == ("x", f"towpath.flow-run.{me}", me)
        assert second.metadata.sender == "ada"
        assert list(receive_input(str, timeout=0, exclude_keys={first.metadata.key})) == ["y"]
        with pytest.raises(PauseError, match=r"nobody to respond to.*'ada'"):
            second.respond("z")

    talks_to_itself()


def test_none_comes_in_time(scene: Scene) -> None:
    """The loop is over, or it is an error, as wanted; `next` always raises."""

    @flow
    def waits() -> None:
        assert list(receive_input(int, timeout=0.01)) == []
        with pytest.raises(TimeoutError, match=r"No int-auto input has come within 0\.01 s"):
            list(receive_input(int, timeout=0.01, raise_timeout_error=True))
        with pytest.raises(TimeoutError):
            receive_input(int, timeout=0).next()

    waits()


def test_what_has_another_form_is_refused_and_the_next_is_taken(scene: Scene) -> None:
    """A list of texts came where numbers are wanted."""

    @flow
    def sums() -> int:
        me = runtime.flow_run.id
        assert me is not None
        send_input(["a"], me)
        send_input([1, 2], me)
        numbers: Received[list[int]] = receive_input(list[int], timeout=0)
        with pytest.raises(ParameterError, match=r"value\[0\]='a' must be a whole number"):
            numbers.next()
        return sum(numbers.next())

    assert sums() == 3


def test_input_has_to_have_somewhere_to_go(scene: Scene) -> None:
    """No such run, no current run, no form in JSON, and no sender: each is said."""
    flow(lambda: None, name="nothing")()
    run_id = scene.run().id
    with pytest.raises(NoSuchRun, match="no run with the id 'nobody'"):
        send_input(1, "nobody")
    with pytest.raises(MissingContext, match="flow_run_id="):
        receive_input(int)
    with pytest.raises(ParameterError, match="has no form in JSON"):
        send_input(float("nan"), run_id)
    with pytest.raises(AttributeError, match="was not received"):
        _ = Question(text="?").metadata


class Payment(RunInput):
    """An input that is asked for with conditions."""

    amount: int = Field(10, ge=0, le=100, description="in pounds")
    to: str = Field(min_length=2)
    notes: list[str] = Field(default_factory=list, max_length=2)


@pytest.mark.parametrize("wrong", [{"amount": 101}, {"to": "x"}, {"notes": ["a", "b", "c"]}], ids=str)
def test_initial_data_changes_defaults_and_nothing_else(wrong: dict[str, Any]) -> None:
    """What a field asks of its values is asked of them as before, and its description stays."""
    changed = Payment.with_initial_data(amount=20, to="somebody", notes=["none"])
    assert changed().model_dump() == {"amount": 20, "to": "somebody", "notes": ["none"]}
    assert changed.model_json_schema()["properties"]["amount"]["description"] == "in pounds"
    with pytest.raises(ValidationError):
        changed(**wrong)


def test_initial_data_become_defaults() -> None:
    """Of the fields that there are, and of new ones; the model itself is left as it was."""
    changed = Question.with_initial_data(description="Ask something", text="why?", times=3)
    assert changed().model_dump() == {"text": "why?", "times": 3}
    assert (changed.run_input_description, Question.run_input_description) == ("Ask something", None)
    with pytest.raises(ValueError, match="text"):
        Question()


def test_initial_data_leave_what_is_asked_of_values() -> None:
    """A bound, and a description, stay with the field whose default is changed."""

    class Bounded(RunInput):
        times: int = Field(1, ge=0, description="how often")

    changed = Bounded.with_initial_data(times=3)
    assert changed().times == 3
    assert changed.model_fields["times"].description == "how often"
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        changed(times=-1)
