"""The simulated cluster with what operators suffer that work in pairs, over networks: for histories of every kind.

Two operators, of which the one that holds the Lease acts. It may lose the Lease with a request still on its way, which
arrives late. Watches break off, and what happened meanwhile is seen by a new list only, without the steps between.
Answers get lost, so that what was done is done again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.operator.simulated_api import KINDS, NAMESPACE, RefusedError, Seen
from tests.operator.simulation import World

from towpath_operator import observe
from towpath_operator.observe import Key
from towpath_operator.reconcile import flowrun
from towpath_operator.reconcile.decision import Action, CreateJob, DeleteJob, PatchStatus


@dataclass
class Mind:
    """What one operator knows."""

    seen: Seen
    dirty: dict[Key, None] = field(default_factory=dict)
    timers: dict[Key, datetime] = field(default_factory=dict)


class Beaten(World):
    """A world with two operators and bad connections; takes what `World` takes."""

    def __init__(
        self,
        programs: Mapping[str, Sequence[str]],
        specs: Mapping[str, Mapping[str, Any]] | None = None,
        child_of: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(programs, specs, child_of)
        self.other = Mind(Seen(self.api))
        self.on_its_way: list[Action] = []

    def fail_over(self) -> None:
        """Let the other operator act: it lists what there is, and looks at everything.

        The list is what saves it from its watches, which may be far behind.
        """
        mine = Mind(self.seen, self.dirty, self.timers)
        self.seen, self.dirty, self.timers = self.other.seen, {}, {}
        self.dirty = dict.fromkeys(Key("flowruns", NAMESPACE, name) for name in self.programs)
        self.other = mine
        for plural in KINDS:
            while self.seen.behind(plural):
                self.seen.next(plural)

    def fail_over_with_a_request_on_its_way(self, name: str) -> None:
        """Let the one that acts send the first write of its decision and be cut off: it arrives some time later."""
        observed = observe.flowrun(self.seen, NAMESPACE, name)
        decision = flowrun.decide(observed, self.now) if observed else None
        writes = [a for a in decision.actions if isinstance(a, PatchStatus | DeleteJob | CreateJob)] if decision else []
        if decision and writes and decision.actions[0] is writes[0]:
            self.on_its_way.append(writes[0])
        self.fail_over()

    def arrive(self) -> None:
        """Let what was on its way be carried out; nobody waits for the answer any more."""
        acting = Mind(self.seen, self.dirty, self.timers)
        self.seen, self.dirty, self.timers = Seen(self.api), {}, {}
        for action in self.on_its_way:
            with contextlib.suppress(RefusedError):  # overtaken
                self._do_unknowing(action)
        self.on_its_way.clear()
        self.seen, self.dirty, self.timers = acting.seen, acting.dirty, acting.timers

    def lose_answers(self, name: str) -> None:
        """Do what is decided about a run, and hear of none of it: it is decided and done again."""
        acting = self.seen
        observed = observe.flowrun(acting, NAMESPACE, name)
        decision = flowrun.decide(observed, self.now) if observed else None
        for action in decision.actions if decision else ():
            self.seen = Seen(self.api)  # the answers go into what nobody looks at
            try:
                self._do_unknowing(action)
            except RefusedError:
                break
        self.seen = acting
        self.dirty[Key("flowruns", NAMESPACE, name)] = None

    def _do_unknowing(self, action: Action) -> None:
        """Do what was decided before somebody may have deleted the Job that it makes.

        The API knows no "create unless it was there once", so such a Job must do no harm, and go.
        """
        if isinstance(action, CreateJob):
            self.jobs_made.pop(action.manifest["metadata"]["name"], None)
        self._do(action)

    def list_again(self, plural: str) -> None:
        """Let a watch break off for so long that its events are lost: what differs in a new list is all that is seen."""
        known = {key: body for key, body in self.seen.bodies.items() if key.plural == plural}
        while self.seen.behind(plural):
            self.seen.next(plural)
        for key in known.keys() | {key for key in self.seen.bodies if key.plural == plural}:
            body, gone = self.seen.bodies.get(key), key not in self.seen.bodies
            if body is not known.get(key):
                changed = body or known[key]
                self.dirty |= dict.fromkeys(observe.affected_by(self.seen, plural, changed, deleted=gone))
