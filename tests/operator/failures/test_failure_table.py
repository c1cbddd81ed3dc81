"""The page that users look reasons up in: each reason is there, and says what the operator says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from tests.operator.failures.test_truths import ENDS, WAITS, decided, observed

from towpath.states import Reason, StateType

PAGE: Final = Path(__file__).parents[3] / "docs" / "failures.md"


class Row(NamedTuple):
    """A line of the page's tables."""

    states: frozenset[str]
    whose: str
    quotes: tuple[str, ...]
    """Regular expressions for the messages that it shows; … stands for anything."""


def rows() -> dict[str, Row]:
    """Read the tables: each reason with its row."""
    found: dict[str, Row] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) != 6 or not cells[0].startswith(("`", "| `")):
            continue
        quotes = tuple(re.escape(quote).replace("…", ".*") for quote in re.findall(r"“(.*?)”", cells[3]))
        for reason in re.findall(r"`(\w+)`", cells[0]):
            assert reason not in found, f"{reason} is there twice"
            found[reason] = Row(frozenset(cells[1].split(", ")), cells[2], quotes)
    return found


def test_every_reason_is_on_the_page() -> None:
    """Whatever a run ends or waits with can be looked up, and nothing is there that no run says."""
    assert set(rows()) == {reason.value for reason in Reason}


def test_states_on_the_page_are_states() -> None:
    """They are written as `kubectl get -o wide` and metrics have them."""
    for row in rows().values():
        assert row.states <= {state.value for state in StateType}
        assert row.whose in {"User", "Infrastructure", "-"}


@pytest.mark.parametrize("trouble", ENDS)
def test_the_page_says_what_runs_say_when_they_end(trouble: str) -> None:
    """State, whose it is, and the sentence, of each trouble that was recorded."""
    ends, (run, _) = ENDS[trouble], decided(observed(trouble), 5)
    row, message = rows()[ends.reason], run["status"]["error"]["message"]
    assert ends.state in row.states
    assert row.whose == ends.kind
    assert any(re.search(quote, message, re.DOTALL) for quote in row.quotes), message


@pytest.mark.parametrize("trouble", WAITS)
def test_the_page_says_what_runs_say_while_they_wait(trouble: str) -> None:
    """The sentence of each trouble that was recorded; and that of the end, if nobody helps."""
    reason, _ = WAITS[trouble]
    shown, _ = decided(observed(trouble), 6)
    message = shown["status"]["state"]["message"]
    row = rows()[reason]
    assert "PENDING" in row.states
    assert any(re.search(quote, message) for quote in row.quotes), message
    over, _ = decided(observed(trouble), 120)
    assert over["status"]["error"]["kind"] == row.whose
    assert any(re.search(quote, over["status"]["error"]["message"]) for quote in rows()["PendingTimeout"].quotes)
