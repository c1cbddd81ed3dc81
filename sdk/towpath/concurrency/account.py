"""What a run at work wants of one limit of its cluster, and what it may use of it. Pure.

The run says how many slots it wants in all, each time under a new number; the operator answers with how many it grants,
and the number that it answers. Nobody takes slots away: they come back when the run wants fewer. So what may be used is
what was granted, and no more than the least that was wanted since the wish that the grant answers.

Of a limit with a rate both count what was taken in all since the attempt began: nothing of that comes back.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Account:
    """Slots of one limit, as far as one run is concerned."""

    number: int = 0
    """Of the latest wish."""
    wished: int = 0
    """Slots of the latest wish."""
    used: int = 0
    """With a rate: how many were taken so far."""
    lowers_at: float | None = None
    """When fewer are wished for, unless somebody takes over what was given back; None: nothing was."""
    shift_began: float = 0.0
    """When the cluster last had a say in who gets the slots: since then they went round in this process."""
    gives_way: bool = False
    """Whether no more are wished for until it is written that fewer were: so others get their turn."""
    _answered: int = 0
    """Number of the wish that the latest grant answers."""
    _granted: int = 0
    _since: list[tuple[int, int]] = field(default_factory=list)
    """Wishes after that one, by number and slots: those that no later one went below, so they grow."""

    @property
    def usable(self) -> int:
        """How many slots may be used; with a rate, of all that were since the attempt began."""
        return min(self._granted, self._since[0][1]) if self._since else self._granted

    def wish(self, slots: int) -> None:
        """Want so many in all from now on."""
        self.number += 1
        self.wished = slots
        while self._since and self._since[-1][1] >= slots:
            self._since.pop()
        self._since.append((self.number, slots))

    def hear(self, slots: int, number: int) -> None:
        """Take a grant; what is older than the one that is known says nothing new, nor does one of another process."""
        if number == self._answered:
            self._granted = max(self._granted, slots)
        elif self._answered < number <= self.number:
            self._answered, self._granted = number, slots
            self._since = [wish for wish in self._since if wish[0] > number]
