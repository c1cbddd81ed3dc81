"""What a run wants of its cluster's limits, and who of its code gets what it was granted: without threads or an API."""

from __future__ import annotations

from typing import Any

import pytest

from towpath.concurrency.allotment import KEEP_SECONDS, SHIFT_SECONDS, Allotment
from towpath.concurrency.port import Admitted, Answer, Refused, Ticket, Waits, Wish
from towpath.concurrency.roster import roster_of
from towpath.errors import ConcurrencySlotAcquisitionError


def limit(name: str, slots: int, **spec: Any) -> dict[str, Any]:
    """Build a ConcurrencyLimit."""
    return {"metadata": {"name": name}, "spec": {"limit": slots, **spec}}


class Run:
    """A run at work, and an operator that grants all that is wanted when it is told to."""

    def __init__(self, *limits: dict[str, Any]) -> None:
        self.allotment = Allotment()
        self.now = 0.0
        self.know(*limits)

    def know(self, *limits: dict[str, Any]) -> None:
        """Say which limits there are by now."""
        self.allotment.roster = roster_of(limits)

    def ask(self, *names: str, **wish: Any) -> tuple[Ticket, list[Answer]]:
        """Ask for slots; gives the ticket, and the list into which its answers come."""
        answers: list[Answer] = []
        ticket = Ticket(Wish(names=frozenset(names), **wish), answers.append)
        self.allotment.ask(ticket)
        self.turn()
        return ticket, answers

    def leave(self, ticket: Ticket) -> None:
        """Give slots back."""
        ticket.has_left = True
        self.turn()

    def turn(self, seconds: float = 0.0) -> bool:
        """Let some time pass; tell whether there is something to write."""
        self.now += seconds
        return self.allotment.turn(self.now)

    def grant(self, **slots: int) -> None:
        """Write the latest wishes, and answer them: all of each, or as many as said."""
        wished = self.allotment.wished
        self.allotment.written()
        self.allotment.hear([wish | {"slots": slots.get(wish["limit"], wish["slots"])} for wish in wished])
        self.turn()

    @property
    def wished(self) -> dict[str, int]:
        """What the run wants of each limit."""
        return {wish["limit"]: wish["slots"] for wish in self.allotment.wished}


def ends(answers: list[Answer]) -> type[Answer]:
    """Give what kind of answer came last."""
    return type(answers[-1])


def test_what_is_granted_is_used_in_the_order_of_asking() -> None:
    """Partial grants go to who asked first; who wants more than is there holds up who comes later."""
    run = Run(limit("db", 3))
    first, big, last = run.ask("db")[1], run.ask("db", occupy=2)[1], run.ask("db")[1]
    assert run.wished == {"db": 3}  # no more than there are
    run.grant(db=1)
    assert [ends(each) for each in (first, big, last)] == [Admitted, Waits, Waits]
    run.grant(db=2)
    assert [ends(each) for each in (big, last)] == [Waits, Waits]
    run.grant()
    assert [ends(each) for each in (big, last)] == [Admitted, Waits]


def test_the_next_takes_over_without_a_word_and_else_fewer_are_wanted() -> None:
    """A slot given back stays for a moment; nobody asks the cluster if somebody here wants it by then."""
    run = Run(limit("db", 1))
    ticket, _ = run.ask("db")
    run.grant()
    run.leave(ticket)
    assert (run.turn(KEEP_SECONDS / 2), run.wished) == (False, {"db": 1})
    ticket, answers = run.ask("db")
    assert (ends(answers), run.turn(KEEP_SECONDS), run.wished) == (Admitted, False, {"db": 1})
    run.leave(ticket)
    assert run.allotment.again_at() == pytest.approx(run.now + KEEP_SECONDS)
    assert (run.turn(KEEP_SECONDS), run.wished) == (True, {})
    _, answers = run.ask("db")
    assert ends(answers) is Waits  # what was given back has to be granted anew


def test_slots_of_several_limits_come_in_the_order_of_their_names() -> None:
    """Nothing of the second is wanted while the first is not there: two runs never wait for each other."""
    run = Run(limit("a", 1), limit("b", 1))
    _, answers = run.ask("b", "a")
    assert run.wished == {"a": 1}
    run.grant()
    assert (run.wished, ends(answers)) == ({"a": 1, "b": 1}, Waits)
    run.grant()
    assert ends(answers) is Admitted


def test_of_a_rate_is_counted_what_was_taken_in_all() -> None:
    """Each takes anew, nothing is given back, and what nobody waits for any more is not wanted."""
    run = Run(limit("api", 5, slotDecayPerSecond="1"))
    for total in (1, 2):
        _, answers = run.ask("api", keeps=False)
        assert (run.wished, ends(answers)) == ({"api": total}, Waits)
        run.grant()
        assert ends(answers) is Admitted
    ticket, _ = run.ask("api", occupy=3)
    assert run.wished == {"api": 5}
    run.leave(ticket)
    assert (run.turn(KEEP_SECONDS), run.wished) == (True, {"api": 2})


def test_of_a_rate_no_more_is_wanted_until_what_is_wanted_is_there() -> None:
    """Who always wants more would always be the first in the cluster's line."""
    run = Run(limit("api", 9, slotDecayPerSecond="1"))
    first = run.ask("api", keeps=False)[1]
    others = [run.ask("api", keeps=False)[1] for _ in range(3)]
    assert run.wished == {"api": 1}
    run.grant()
    assert (ends(first), run.wished) == (Admitted, {"api": 4})
    run.grant(api=2)
    assert [ends(each) for each in others] == [Admitted, Waits, Waits]
    run.ask("api", keeps=False)
    assert run.wished == {"api": 4}
    run.grant()
    assert run.wished == {"api": 5}


def test_slots_go_back_to_the_cluster_every_few_seconds_whoever_waits_here() -> None:
    """The others get their turn: first it is written that there are fewer, then that more are wanted again."""
    run = Run(limit("db", 1))
    ticket, _ = run.ask("db")
    run.grant()
    run.ask("db")
    run.leave(ticket)  # the second has it at once
    (ticket,) = (held for held, _ in run.allotment._held.values())
    _, third = run.ask("db")
    assert not run.turn(SHIFT_SECONDS)  # nothing has been given back
    ticket.has_left = True
    assert (run.turn(), run.wished, ends(third)) == (True, {}, Waits)
    assert not run.turn(), "not before that is written"
    run.allotment.written()
    assert (run.turn(), run.wished, ends(third)) == (True, {"db": 1}, Waits)
    run.grant()
    assert ends(third) is Admitted


def test_a_tag_may_stand_for_several_limits() -> None:
    """A task needs a slot of each limit with its tag, but not of one for runs."""
    limits = limit("a", 1, tag="heavy"), limit("b", 1, tag="heavy", appliesTo="Tasks")
    run = Run(*limits, limit("c", 1, tag="heavy", appliesTo="Runs"))
    _, answers = run.ask("tag:heavy", is_task=True)
    run.grant()
    run.grant()
    assert (ends(answers), run.wished) == (Admitted, {"a": 1, "b": 1})


def test_a_task_lends_its_slot_to_those_that_it_calls() -> None:
    """No more is wanted for them."""
    run = Run(limit("heavy", 1, tag="heavy"))
    outer, _ = run.ask("tag:heavy", is_task=True)
    run.grant()
    _, inner = run.ask("tag:heavy", is_task=True, within=frozenset({outer.number}))
    assert (ends(inner), run.wished) == (Admitted, {"heavy": 1})


@pytest.mark.parametrize(
    "after",
    [(), (limit("db", 1, suspend=True),), (limit("other", 1),)],
    ids=["no limits", "suspended", "deleted"],
)
def test_who_waits_for_what_limits_nothing_any_more_is_let_in(after: tuple[dict[str, Any], ...]) -> None:
    """As soon as it is known that the limit is suspended, or gone."""
    run = Run(limit("db", 1))
    _, answers = run.ask("db")
    run.know(*after)
    run.turn()
    assert ends(answers) is Admitted


def test_five_limits_one_after_the_other_are_fine() -> None:
    """Only at once are there no more than four: what is given back makes room at once."""
    run = Run(*(limit(name, 1) for name in "abcde"))
    for name in "abcde":
        ticket, answers = run.ask(name)
        run.grant()
        assert ends(answers) is Admitted
        run.leave(ticket)
    assert len(run.wished) <= 4
    for name in "abcd":
        run.ask(name)
    _, answers = run.ask("e")
    assert isinstance(answers[-1], Refused)
    assert isinstance(answers[-1].error, ConcurrencySlotAcquisitionError)


def test_ten_thousand_tasks_want_no_more_than_there_is() -> None:
    """What waits is in memory; the wish is for the slots that the limit has."""
    run = Run(limit("heavy", 4, tag="heavy"))
    told: list[list[Answer]] = [[] for _ in range(10_000)]
    for answers in told:
        wish = Wish(names=frozenset({"tag:heavy"}), is_task=True, run_id="1")
        run.allotment.ask(Ticket(wish, answers.append))
    run.turn()
    assert (run.wished, run.turn()) == ({"heavy": 4}, False)
    assert all(ends(answers) is Waits for answers in told)


def test_at_the_end_all_is_given_back_but_what_came_at_a_rate() -> None:
    """Slots taken at a rate were used; nobody gets them a second time."""
    run = Run(limit("api", 5, slotDecayPerSecond="1"), limit("db", 1))
    run.ask("api", "db")
    run.grant()
    run.grant()
    assert run.wished == {"api": 1, "db": 1}
    assert run.allotment.give_all_back()
    assert (run.wished, run.allotment.give_all_back()) == ({"api": 1}, False)


def test_another_process_of_the_attempt_goes_on_where_the_first_ended() -> None:
    """Numbers grow on, tokens of a rate count on, and slots that nobody holds any more go back."""
    run = Run(limit("api", 5, slotDecayPerSecond="1"), limit("db", 1))
    run.allotment.go_on_from(
        [{"limit": "api", "slots": 3, "number": 7}, {"limit": "db", "slots": 1, "number": 9}],
    )
    run.grant()
    run.ask("api", keeps=False)
    run.turn(KEEP_SECONDS)
    assert run.allotment.wished == [{"limit": "api", "slots": 4, "number": 8}]
