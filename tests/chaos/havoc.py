"""Which blows fall, and when: a plan made of a seed, so that what was found can be had again."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tests.chaos.proxy import ANSWERS, WATCHES, Fault


class What(StrEnum):
    """What can be done to a cluster."""

    KILL_LEADER = "operator that works killed"
    KILL_FOLLOWER = "operator that waits killed"
    KILL_BOTH = "both operators killed"
    FREEZE_LEADER = "operator that works frozen"
    FAIL_OVER_KILLED = "fail-over: operator killed, and left down"
    FAIL_OVER_FROZEN = "fail-over: operator frozen for long"
    FAIL_OVER_CUT = "fail-over: operator cut off"
    KILL_AT_WRITE = "operator killed at a write"
    FREEZE_AT_WRITE = "operator frozen at a write"
    ANSWERS = "429, 500, 409, delays"
    WATCHES = "watches dropped, 410, halves, silence"
    WEBHOOK_AWAY = "webhook away"
    WEBHOOK_SILENT = "webhook silent"
    KILL = "killed"  # a component, started again after a while
    FREEZE = "frozen"  # a component
    MINUTE = "apiserver away, longer than a minute"
    KILL_CONTAINER = "process in a container killed"
    FREEZE_CONTAINER = "process in a container frozen"
    DELETE_POD = "pod deleted"
    DELETE_JOB = "Job deleted"
    NODE_DOWN = "whole node killed"
    NODE_FROZEN = "whole node frozen"


@dataclass(frozen=True, slots=True)
class Planned:
    """One blow of the plan."""

    what: What
    pause: float
    """Seconds before it."""
    lasts: float
    """Seconds until it is taken back, where there is something to take back."""
    component: str = ""
    pick: float = 0.0
    """Between 0 and 1: which of those that it may fall on."""
    faults: tuple[Fault, ...] = ()
    share: float = 0.0

    def __str__(self) -> str:
        on = f"{self.component} " if self.component else ""
        faults = f" ({', '.join(self.faults)}; {self.share:.0%})" if self.faults else ""
        return f"{on}{self.what}{faults}" + (f" for {self.lasts:.0f} s" if self.lasts else "")


#: What each round is about; the last is about everything.
THEMES: Mapping[str, Sequence[What]] = {
    "every step": (*(What.KILL_AT_WRITE,) * 6, What.FREEZE_AT_WRITE),
    "operators": (
        What.KILL_LEADER,
        What.FREEZE_LEADER,
        What.FAIL_OVER_KILLED,
        What.KILL_AT_WRITE,
        What.FREEZE_AT_WRITE,
        What.FAIL_OVER_FROZEN,
        What.KILL_BOTH,
        What.KILL_FOLLOWER,
        What.FAIL_OVER_CUT,
    ),
    "answers and watches": (
        What.ANSWERS,
        What.WATCHES,
        What.WEBHOOK_AWAY,
        What.ANSWERS,
        What.WATCHES,
        What.WEBHOOK_SILENT,
        What.KILL_LEADER,
    ),
    "control plane": (What.KILL, What.FREEZE, What.MINUTE),
    "node and pods": (
        What.KILL_CONTAINER,
        What.DELETE_POD,
        What.DELETE_JOB,
        What.FREEZE_CONTAINER,
        What.KILL_CONTAINER,
        What.NODE_FROZEN,
        What.NODE_DOWN,
    ),
    "everything": tuple(What),
}
#: For how long blows fall in a round, if nobody says otherwise.
SECONDS: Mapping[str, float] = {theme: 150.0 if theme == "everything" else 60.0 for theme in THEMES}
#: So long that it falls in one out of so many turns of a theme's blows.
RARE: Mapping[What, int] = {What.MINUTE: 4}
#: Components, those first whose loss matters most.
_DOWN_SECONDS: Mapping[str, tuple[float, float]] = {
    "apiserver": (5.0, 30.0),
    "etcd": (2.0, 20.0),
    "controller-manager": (3.0, 15.0),
    "scheduler": (3.0, 15.0),
    "kubelet": (3.0, 20.0),
}
_SECONDS: Mapping[What, tuple[float, float]] = {
    What.KILL_AT_WRITE: (2.0, 2.0),  # until it is back
    What.FREEZE_AT_WRITE: (3.0, 18.0),  # another may take over, or not
    What.FREEZE_LEADER: (1.0, 6.0),
    What.FAIL_OVER_KILLED: (17.0, 18.0),
    What.FAIL_OVER_FROZEN: (17.0, 18.0),
    What.FAIL_OVER_CUT: (17.0, 18.0),
    What.ANSWERS: (4.0, 10.0),
    What.WATCHES: (4.0, 12.0),
    What.WEBHOOK_AWAY: (3.0, 8.0),
    What.WEBHOOK_SILENT: (5.0, 10.0),
    What.MINUTE: (61.0, 75.0),
    What.FREEZE_CONTAINER: (2.0, 10.0),
    What.NODE_FROZEN: (3.0, 12.0),
    What.NODE_DOWN: (2.0, 6.0),
}


def plan(seed: int, theme: str, seconds: float) -> list[Planned]:
    """Plan the blows of a round.

    Args:
        seed: the same gives the same plan.
        theme: one of `THEMES`; each of its blows comes once before one comes again, but for those that are rare.
        seconds: how long it is to take, by what is known beforehand.
    """
    chance = random.Random(f"havoc {seed} {theme}")
    planned: list[Planned] = []
    bag: list[tuple[What, str]] = []
    turn = chance.randrange(max(RARE.values()))
    while sum(one.pause + one.lasts for one in planned) < seconds:
        if not bag:
            bag = [
                (what, component)
                for what in THEMES[theme]
                if turn % RARE.get(what, 1) == 0
                for component in (_DOWN_SECONDS if what in {What.KILL, What.FREEZE} else ("",))
            ]
            chance.shuffle(bag)
            turn += 1
        planned.append(_blow(chance, *bag.pop()))
    return planned


def _blow(chance: random.Random, what: What, component: str) -> Planned:
    if what is What.KILL:
        low, high = _DOWN_SECONDS[component]
    elif what is What.FREEZE:
        low, high = 2.0, 12.0
    else:
        low, high = _SECONDS.get(what, (0.0, 0.0))
    faults: tuple[Fault, ...] = {What.ANSWERS: ANSWERS, What.WATCHES: WATCHES}.get(what, ())
    return Planned(
        what,
        pause=0.0 if what in {What.KILL_AT_WRITE, What.FREEZE_AT_WRITE} else round(chance.uniform(1.0, 5.0), 1),
        lasts=round(chance.uniform(low, high), 1),
        component=component,
        pick=chance.random(),
        faults=tuple(chance.sample(faults, k=min(len(faults), chance.randint(1, 4)))),
        share=round(chance.uniform(0.1, 0.7), 2) if faults else 0.0,
    )
