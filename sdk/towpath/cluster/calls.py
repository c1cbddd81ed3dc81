"""Who is who among the flows that a run calls: the same call, made again by a retried parent, has the same identity.

A call is known by its flow, its parameters, and how often the same was called before in this try. The order of
different calls does not matter, so children started side by side keep their identity. What flows called inline call in
turn is counted apart, by the order in which those first call anything.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from towpath import names

if TYPE_CHECKING:
    from towpath.runs import FlowRun


@dataclass(frozen=True, slots=True)
class Identity:
    """Which call it is, and in which try of the parent it was made."""

    key: str
    """The same in every try and attempt of the parent."""
    made_in: str
    """The try: a child that was made in this one is not left over from another."""


class Calls:
    """Counts the calls of one run; may be asked from several threads.

    Args:
        run: the run whose attempt this process is; the engine counts its tries in `run_count`.
    """

    def __init__(self, run: FlowRun) -> None:
        self._run = run
        self._guard = threading.Lock()
        self._made: Counter[tuple[int, str, int, str, str]] = Counter()
        self._inline: dict[int, list[str]] = {}  # ids of inline runs, by try

    def identify(self, caller: FlowRun, flow_name: str, parameters: Mapping[str, Any]) -> Identity:
        """Identify the next call.

        Args:
            caller: the run, or a flow run called inline somewhere below it.
            flow_name: name of the flow that is called.
            parameters: as they travel.
        """
        tried = self._run.run_count
        with self._guard:
            scope = ""
            if caller.id != self._run.id:
                earlier = self._inline.setdefault(tried, [])
                if caller.id not in earlier:
                    earlier.append(caller.id)
                scope = f"{earlier.index(caller.id)}/"
            call = (tried, caller.id, caller.run_count, flow_name, names.canonical_json(parameters))
            occurrence = self._made[call]
            self._made[call] += 1
        key = names.call_key(scope + flow_name, parameters, occurrence)
        return Identity(key, f"{self._run.attempt}.{tried}.{caller.run_count}")
