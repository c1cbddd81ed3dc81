"""Who gets slots next, as laws over any queue, and as a table of cases."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.concurrency.arithmetic import Claim, Limit, admission, never_fits, taken

NAMES = ("a", "b", "c")
limits = st.builds(
    lambda slots, inactive: {name: Limit(name, slots[name], is_active=name not in inactive) for name in NAMES},
    st.fixed_dictionaries({name: st.integers(0, 4) for name in NAMES}),
    st.sets(st.sampled_from(NAMES), max_size=1),
)
wishes = st.lists(
    st.tuples(st.frozensets(st.sampled_from(NAMES), min_size=1), st.integers(1, 3)), min_size=1, max_size=12
)


def queue(drawn: Iterable[tuple[frozenset[str], int]]) -> list[Claim]:
    """Make claims, numbered in their order."""
    return [Claim(number, names, occupy) for number, (names, occupy) in enumerate(drawn, 1)]


def can_ever(claim: Claim, limits: dict[str, Limit]) -> bool:
    """Tell whether a claim can be met when all others have left."""
    return not never_fits([limits[name] for name in claim.names if limits[name].is_active], claim.occupy)


def numbers(*claims: Claim) -> set[int]:
    """Give the numbers of claims."""
    return {claim.number for claim in claims}


@settings(deadline=None)
@given(limits, wishes)
def test_there_are_never_more_holders_than_slots(
    limits: dict[str, Limit], drawn: list[tuple[frozenset[str], int]]
) -> None:
    """Of no active limit are more slots taken than it has, whoever is let in."""
    admitted = admission(limits, [], queue(drawn), 0.0).admitted
    for limit in limits.values():
        assert not limit.is_active or taken(limit.name, admitted) <= limit.slots


@settings(deadline=None)
@given(limits, wishes)
def test_nobody_overtakes(limits: dict[str, Limit], drawn: list[tuple[frozenset[str], int]]) -> None:
    """Whoever is let in has no one before him that wants a slot of the same limit, could have it one day, and waits."""
    claims = queue(drawn)
    inside = numbers(*admission(limits, [], claims, 0.0).admitted)
    active = {name for name, limit in limits.items() if limit.is_active}
    for late in claims:
        for early in claims[: late.number - 1]:
            if early.names & late.names & active and can_ever(early, limits) and early.number not in inside:
                assert late.number not in inside


@settings(deadline=None)
@given(limits, wishes, st.randoms(use_true_random=False))
def test_everybody_gets_a_turn(
    limits: dict[str, Limit], drawn: list[tuple[frozenset[str], int]], random: st.DrawFn
) -> None:
    """As holders leave in any order, all who can ever be let in are, and those of one limit in their order."""
    waiting, held, served = queue(drawn), list[Claim](), list[Claim]()
    while True:
        new = admission(limits, held, waiting, 0.0).admitted
        assert not admission(limits, [*held, *new], [one for one in waiting if one not in new], 0.0).admitted
        waiting = [one for one in waiting if one not in new]
        held += new
        served += new
        if not held:
            break
        held.pop(random.randrange(len(held)))  # type: ignore[attr-defined]
    assert not [one for one in waiting if can_ever(one, limits)]
    for name, limit in limits.items():
        own = [one.number for one in served if name in one.names]
        assert not limit.is_active or own == sorted(own)


@settings(deadline=None)
@given(limits, wishes, st.sampled_from(NAMES), st.sampled_from(NAMES))
def test_who_holds_slots_does_not_stand_behind_those_who_wait_for_them(
    limits: dict[str, Limit], drawn: list[tuple[frozenset[str], int]], has: str, wants: str
) -> None:
    """If the only holder wants a free slot more, everybody in its way who waits for what it holds lets it pass."""
    limits |= {name: replace(limits[name], slots=limits[name].slots + 2, is_active=True) for name in (has, wants)}
    holder = Claim(1, frozenset({has}), limits[has].slots - 1)
    others = [replace(one, number=one.number + 1, names=one.names | {has}, occupy=2) for one in queue(drawn)]
    inner = Claim(99, frozenset({wants}), within=frozenset({1}))
    assert 99 in numbers(*admission(limits, [holder], [*others, inner], 0.0).admitted)


@settings(deadline=None)
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5))
def test_a_lent_slot_is_lent_to_one_at_a_time(slots: int, tasks: int, each: int) -> None:
    """Task runs that call task runs of the same tag never lock themselves out, and no more run than there are slots."""
    limit = {"tag:x": Limit("tag:x", slots)}
    outer = [Claim(number, frozenset(limit), lends=True) for number in range(1, tasks + 1)]
    held = list(admission(limit, [], outer, 0.0).admitted)
    assert len(held) == min(slots, tasks)
    inner = [
        Claim(100 * one.number + call, frozenset(limit), lends=True, within=frozenset({one.number}))
        for one in held
        for call in range(each)
    ]
    waiting = [*outer[len(held) :], *inner]
    inside = admission(limit, held, waiting, 0.0).admitted
    assert inside
    assert taken("tag:x", [*held, *inside]) <= slots


@pytest.mark.parametrize(
    ("held", "waiting", "inside"),
    [
        pytest.param([], [("a", 1), ("a", 1), ("a", 1)], {11, 12}, id="as many as there are slots"),
        pytest.param([("a", 1)], [("a", 2), ("a", 1)], set(), id="one that wants many holds up those behind it"),
        pytest.param([("a", 2)], [("ab", 1), ("b", 1)], set(), id="one that wants several holds up those of each"),
        pytest.param([("a", 2)], [("ab", 1), ("c", 1)], {12}, id="who wants none of them is not held up"),
        pytest.param([], [("az", 1), ("a", 2)], {12}, id="one that nobody can serve holds up nobody"),
        pytest.param([], [("a", 3), ("a", 2)], {12}, id="one that wants more than there are holds up nobody"),
        pytest.param([], [("off", 9), ("gone", 9)], {11, 12}, id="what is inactive or gone limits nothing"),
    ],
)
def test_the_queue(held: list[tuple[str, int]], waiting: list[tuple[str, int]], inside: set[int]) -> None:
    """Each rule of the queue in its plainest case; `a`, `b` and `c` have two slots, `z` has none."""
    known = {name: Limit(name, 2) for name in "abc"} | {"z": Limit("z", 0), "off": Limit("off", 0, is_active=False)}

    def claims(first: int, drawn: list[tuple[str, int]]) -> list[Claim]:
        return [
            Claim(number, frozenset([names] if len(names) > 2 else names), occupy)
            for number, (names, occupy) in enumerate(drawn, first)
        ]

    assert numbers(*admission(known, claims(1, held), claims(11, waiting), 0.0).admitted) == inside


def test_a_claim_deep_in_a_circle_of_waits_gets_through() -> None:
    """A waits for what B waits for, B for what C holds: C's further wish goes before A's, or nobody moved any more."""
    known = {name: Limit(name, 1) for name in NAMES}
    c_holds = Claim(1, frozenset("c"))
    b_waits, a_waits = Claim(2, frozenset("bc")), Claim(3, frozenset("ab"))
    c_wants_more = Claim(4, frozenset("a"), within=frozenset({1}))
    assert numbers(*admission(known, [c_holds], [b_waits, a_waits, c_wants_more], 0.0).admitted) == {4}


@settings(deadline=None)
@given(
    st.integers(1, 5),
    st.floats(0.1, 50),
    st.lists(st.tuples(st.integers(1, 3), st.floats(0, 2)), max_size=30),
)
def test_a_decaying_limit_keeps_its_rate(slots: int, decay: float, drawn: list[tuple[int, float]]) -> None:
    """Over any stretch no more is let in than the limit has slots, and what comes free in that time."""
    limit, now, taken_at = {"r": Limit("r", slots, decay, at=0.0)}, 0.0, list[tuple[float, int]]()
    for occupy, pause in drawn:
        now += pause
        outcome = admission(limit, [], [Claim(1, frozenset("r"), occupy)], now)
        if occupy <= slots and not outcome.admitted:
            assert outcome.again_in is not None
            now += outcome.again_in
            outcome = admission(limit, [], [Claim(1, frozenset("r"), occupy)], now)
            assert outcome.admitted, "the wait that was told was long enough"
        limit = dict(outcome.limits)
        taken_at += [(now, occupy)] if outcome.admitted else []
    for index, (since, _) in enumerate(taken_at):
        for until, _ in taken_at[index:]:
            inside = sum(occupy for at, occupy in taken_at if since <= at <= until)
            assert inside <= slots + decay * (until - since) + 1e-6


@settings(deadline=None)
@given(
    st.floats(0, 10),
    st.floats(0.1, 10),
    st.integers(1, 5),
    st.integers(1, 5),
    st.lists(st.floats(0, 20), min_size=3, max_size=3),
)
def test_giving_back_frees_no_more_than_was_taken(
    level: float, decay: float, occupy: int, others: int, pauses: list[float]
) -> None:
    """A block on a decaying limit leaves it at least as full as if it had never been, whoever came meanwhile."""
    others_at, ends, now = accumulate(pauses)
    before = Limit("r", 9, decay, level=level, at=0.0)
    never = before.taking(others, others_at)
    during = before.taking(occupy, 0.0).taking(others, others_at)
    after = during.giving_back(occupy, 0.0, ends)
    assert never.level_at(now) - 1e-6 <= after.level_at(now) <= during.level_at(now) + 1e-6


def test_a_clock_that_is_set_back_frees_nothing() -> None:
    """Slots are not free because it is earlier than it was, and not taken for ever either."""
    limit = Limit("r", 2, 1.0, level=2.0, at=1000.0)
    assert limit.level_at(500.0) == 2.0
    assert limit.seconds_until_free(1, 500.0) == 1.0


def test_the_next_moment_is_that_of_the_first_in_the_queue() -> None:
    """Those behind it wait for it; a slot that has to be given back has no moment."""
    known = {"r": Limit("r", 2, 0.5, level=2.0, at=0.0), "a": Limit("a", 1)}
    first, second = Claim(1, frozenset("r")), Claim(2, frozenset("r"), 2)
    assert admission(known, [], [first, second], 0.0).again_in == 2.0
    assert admission(known, [], [second, first], 0.0).again_in == 4.0
    assert admission(known, [Claim(3, frozenset("a"))], [Claim(4, frozenset("ar"))], 0.0).again_in is None
