"""What the command line shows of a run that waits."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tests.sdk.pausing.test_wanted import Order

from towpath.cli.output import PLAIN
from towpath.cli.pauses import shown
from towpath.cli.seen import Pause, Run, SeenState
from towpath.pausing.wanted import Wanted
from towpath.states import StateType

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def run(*pauses: Pause) -> Run:
    """Build a run that waits."""
    return Run(id="1", name="witty-otter", flow="etl", state=SeenState(StateType.PAUSED, "Paused"), pauses=pauses)


def test_each_field_is_shown_with_its_kind_and_default() -> None:
    """And what to type: the fields that have to be given."""
    lines = shown(run(Pause(run="witty-otter", is_suspension=False, input=Wanted(Order).schema)), PLAIN)
    words = [" ".join(line.split()) for line in "\n".join(lines).splitlines()]
    assert "granted true or false" in words
    assert "count a whole number else 5" in words
    assert "colour 'red' or 'blue' else 'red'" in words
    assert "size Size or null may be left out" in words
    assert words[-1] == "towpath runs resume witty-otter -p granted=… -p day=…"


@pytest.mark.parametrize(
    ("pause", "words"),
    [
        (Pause(run="witty-otter", is_suspension=True), "Waits to be resumed\n  towpath runs resume witty-otter"),
        (Pause(run="keen-bridge", is_suspension=True), "Waits to be resumed, run keen-bridge\n"),
        (Pause(run="witty-otter", is_suspension=True, until=NOON), f"until {NOON.astimezone():%Y-%m-%d %H:%M:%S}\n"),
        (Pause(run="witty-otter", is_suspension=True, description="Publish?\nNow?"), "\n  Publish?\n  Now?\n"),
        (Pause(run="witty-otter", is_suspension=True, refused="No."), "  The last input was refused. No.\n"),
    ],
    ids=["nothing wanted", "a run below", "in time", "with a description", "once refused"],
)
def test_what_else_there_is_to_know(pause: Pause, words: str) -> None:
    """Who waits, until when, what for, and why the last input was refused."""
    assert words in "\n".join(shown(run(pause), PLAIN))


def test_a_run_that_waits_for_nobody_shows_nothing() -> None:
    """The page is as it was."""
    assert shown(run(), PLAIN) == []
