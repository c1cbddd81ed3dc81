"""What is said of rounds: which laws held, which did not, and how to have it again."""

from __future__ import annotations

from tests.chaos.history import Blow, History
from tests.chaos.judge import judge
from tests.chaos.made_up import at, run
from tests.chaos.report import Played, report, summary


def played(state: str) -> Played:
    """Give a round with one run."""
    blows = [Blow("etcd killed for 5 s", at(0), at(5)), Blow("etcd killed for 7 s", at(10), at(17))]
    history = History([], {"flowruns": [run("r", state)]}, blows)
    return Played("control plane", 7, 90.0, history, judge(history))


def test_a_round_is_told_law_by_law() -> None:
    """A law that spoke of nothing is not said to have held; a breach stands below its law."""
    said = list(report(played("RUNNING")))
    assert "  done   etcd killed (2 times)" in said
    at_end = said.index("  BROKEN     1  Every run ends")
    assert said[at_end + 1].strip().startswith("r is RUNNING for ever")
    assert "  -          0  One Job per attempt" in said
    assert "  held       1  Every run ends" in list(report(played("COMPLETED")))


def test_the_end_names_what_can_be_had_again() -> None:
    """One line a round; the command of each in which a law was broken."""
    good, bad = played("COMPLETED"), played("RUNNING")
    assert list(summary([good], 90))[-1] == "1 round in 1.5 minutes: every law held."
    *_, total, again = summary([good, bad], 180)
    assert total == "2 rounds in 3.0 minutes: laws were broken."
    assert again == "Again: make chaos SEED=7 THEME='control plane'"
