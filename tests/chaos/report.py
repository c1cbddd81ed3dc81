"""What is said of rounds: of each when it is over, and of all in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.chaos.history import History
from tests.chaos.judge import Verdict, fail_overs
from tests.chaos.lives import state_of


@dataclass(frozen=True, slots=True)
class Played:
    """A round that is over."""

    theme: str
    seed: int
    seconds: float
    history: History
    verdicts: Sequence[Verdict]

    @property
    def broken(self) -> int:
        """How many laws were broken."""
        return sum(bool(verdict.breaches) for verdict in self.verdicts)

    @property
    def again(self) -> str:
        """The command that plays it again."""
        return f"make chaos SEED={self.seed} THEME={self.theme!r}"


def report(played: Played) -> Iterator[str]:
    """Tell what was done in a round, and what came of it."""
    history = played.history
    blows = Counter(str(blow.what).partition(" for ")[0].partition(" (")[0] for blow in history.blows)
    ends = Counter(str(state_of(run)) for run in history.left.get("flowruns", ()))
    yield ""
    yield f"Round {played.theme!r}, seed {played.seed}, {played.seconds:.0f} s"
    yield "  done   " + "; ".join(
        what + (f" ({count} times)" if count > 1 else "") for what, count in blows.most_common()
    )
    yield "  runs   " + ", ".join(f"{count} {end}" for end, count in ends.most_common())
    if took := [seconds for _, seconds in fail_overs(history) if seconds]:
        yield "  another operator took over after " + ", ".join(f"{one.total_seconds():.1f} s" for one in took)
    yield "  law      looked at"
    for verdict in played.verdicts:
        mark = "BROKEN" if verdict.breaches else "held" if verdict.looked_at else "-"
        yield f"  {mark:6} {verdict.looked_at:5}  {verdict.law}"
        for what in verdict.breaches:
            yield f"                  {what}"


def summary(rounds: Sequence[Played], seconds: float) -> Iterator[str]:
    """Tell how all rounds went, and how those can be had again in which a law was broken."""
    yield ""
    yield f"{'round':<22}{'seed':>8}{'blows':>7}{'runs':>6}{'min':>6}  laws"
    for one in rounds:
        said = f"{one.broken} BROKEN" if one.broken else "all held"
        runs = len(one.history.left.get("flowruns", ()))
        yield f"{one.theme:<22}{one.seed:>8}{len(one.history.blows):>7}{runs:>6}{one.seconds / 60:>6.1f}  {said}"
    broken = [one for one in rounds if one.broken]
    held = "laws were broken" if broken else "every law held"
    yield f"{len(rounds)} {'round' if len(rounds) == 1 else 'rounds'} in {seconds / 60:.1f} minutes: {held}."
    yield from (f"Again: {one.again}" for one in broken)
