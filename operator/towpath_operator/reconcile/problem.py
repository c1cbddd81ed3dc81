"""What keeps a run, a Flow or a Deployment from being of use, in a word and a sentence."""

from __future__ import annotations

from dataclasses import dataclass

from towpath.states import Reason


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that only a person can put right."""

    reason: Reason
    message: str
    """What is wrong, with the value, and what to do."""
