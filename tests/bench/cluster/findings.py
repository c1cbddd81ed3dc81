"""What was found: a figure beside its budget, and whether it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Final

_NOTHING: Final = "—"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table."""

    what: str
    figure: str
    budget: str = ""
    """What it may be; empty: it is told, and held to nothing."""
    is_kept: bool | None = None
    """Whether the figure keeps to the budget."""
    beside: str = ""
    """The same of raw Jobs, in the same minutes."""

    @property
    def verdict(self) -> str:
        """Say how it stands."""
        return _NOTHING if self.is_kept is None else "kept" if self.is_kept else "**missed**"

    @property
    def cells(self) -> list[str]:
        """Give the cells of its row."""
        return [self.what, self.figure, self.beside or _NOTHING, self.budget or _NOTHING, self.verdict]


COLUMNS: Final = ("what", "Towpath", "raw Jobs", "budget", "verdict")


def at_most(what: str, figure: float, budget: float, form: str, beside: str = "") -> Finding:
    """Make a finding of something that should be small; `form` is how numbers are written, such as `{:.1f} ms`."""
    return Finding(what, form.format(figure), f"≤ {form.format(budget)}", figure <= budget, beside)


def at_least(what: str, figure: float, budget: float, form: str, beside: str = "") -> Finding:
    """Make a finding of something that should be large."""
    return Finding(what, form.format(figure), f"≥ {form.format(budget)}", figure >= budget, beside)


def share(values: Sequence[float], percent: int) -> float:
    """Give what so many percent of the values do not exceed."""
    return quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]


def spread(seconds: Sequence[float]) -> str:
    """Write the median, the 95th and the 99th percentile of times."""
    return " / ".join(f"{share(seconds, percent):.2f}" for percent in (50, 95, 99)) + " s"
