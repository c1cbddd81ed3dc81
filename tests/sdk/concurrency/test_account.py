"""What a run may use of a limit of its cluster: laws, over random orders of wishes, grants and news of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.concurrency.account import Account


@dataclass
class Pod:
    """A run at work: its account, its status in the API, and news that has not reached it."""

    account: Account = field(default_factory=Account)
    wanted: tuple[int, int] = (0, 0)
    """Slots and number, as in the status."""
    granted: tuple[int, int] = (0, 0)
    news: list[tuple[int, int]] = field(default_factory=list)

    @property
    def counted(self) -> int:
        """What the operator counts for the run: it cannot see what it was not told."""
        slots, number = self.granted
        return slots if number == self.wanted[1] else min(slots, self.wanted[0])


STEPS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["wish", "write", "grant", "hear"]), st.integers(0, 4)))


@settings(deadline=None)
@given(limit=st.integers(0, 4), steps=STEPS)
def test_runs_never_use_more_than_there_is(limit: int, steps: list[tuple[int, str, int]]) -> None:
    """Whatever comes late, no slot is used by two, and no run uses more than the operator counts for it."""
    pods = [Pod() for _ in range(3)]
    for index, what, slots in steps:
        pod = pods[index]
        match what:
            case "wish":
                pod.account.wish(slots)
            case "write":
                pod.wanted = (pod.account.wished, pod.account.number)
            case "grant":
                free = limit - sum(other.counted for other in pods if other is not pod)
                pod.granted = (max(0, min(pod.wanted[0], free)), pod.wanted[1])
                pod.news.append(pod.granted)
            case "hear" if pod.news:
                pod.account.hear(*pod.news.pop(slots % len(pod.news)))  # in any order: by watch, or by an answer
        assert sum(each.account.usable for each in pods) <= limit
        assert all(each.account.usable <= each.counted for each in pods)


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1))
def test_the_answer_to_the_latest_wish_holds_in_full(wishes: list[int]) -> None:
    """However often a run has wanted less meanwhile, what answers its latest wish is all its own."""
    account = Account()
    for slots in wishes:
        account.wish(slots)
    account.hear(wishes[-1], account.number)
    assert account.usable == wishes[-1]


@pytest.mark.parametrize(
    ("then", "usable"),
    [([], 2), ([3], 2), ([1], 1), ([1, 3], 1), ([3, 0, 2], 0)],
    ids=["nothing", "more", "fewer", "fewer, then more", "none in between"],
)
def test_a_grant_holds_for_the_least_that_was_wanted_since(then: list[int], usable: int) -> None:
    """What a run has given back is not its own again because it wants it again."""
    account = Account()
    account.wish(2)
    account.hear(2, 1)
    for slots in then:
        account.wish(slots)
    assert account.usable == usable


def test_news_of_before_says_nothing() -> None:
    """An older grant, one of a number that was never wanted, and less of the same number change nothing."""
    account = Account()
    for slots in (1, 3):
        account.wish(slots)
    account.hear(3, 2)
    for slots, number in ((1, 1), (9, 7), (1, 2)):
        account.hear(slots, number)
    assert account.usable == 3
