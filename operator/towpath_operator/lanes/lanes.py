"""All lanes, and where each run that has not ended stands in them; kept up to date with each change of the store.

A run is counted from what its own body says, so there is nothing to leak and nothing to recover. Two things are known
here before the store knows them: that a run's Job is being made (its slots are reserved from the decision on), and that
a run waits. Both last until the next decision about the run.

A change costs O(log n) in each lane of the run, however many have ended, and marks those only who may be admitted by
it.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from towpath import names
from towpath.api.v1alpha1.concurrency_limit import MAX_HOLDERS
from towpath_operator.lanes import words
from towpath_operator.lanes.conflicts import DEPLOYMENTS, Conflicts, age
from towpath_operator.lanes.lane import Lane
from towpath_operator.lanes.runs import NO_LANES, Stand, StandingRun, discard
from towpath_operator.lanes.slots import Slots
from towpath_operator.observe import Key, key_of
from towpath_operator.reconcile.claims import (
    LIMITS,
    QUEUES,
    Order,
    has_rate,
    is_at_work,
    is_over,
    is_suspended,
    limits_of,
    order_of,
    queue_of,
    says_it_waits,
    tag_of_runs,
    tags_of,
)
from towpath_operator.reconcile.decision import CreateJob, Decision
from towpath_operator.reconcile.lane_status import ObservedLane
from towpath_operator.reconcile.observed import Body
from towpath_operator.reconcile.reading import integer, mapping, text
from towpath_operator.reconcile.verdicts import GOES, Turn

#: How many of those who may go before their turn are looked at when something comes free.
_INNER: Final = 32


@dataclass(frozen=True, slots=True)
class Figures:
    """How full a Queue or a ConcurrencyLimit is."""

    at: Key
    limit: int | None
    active: int
    waiting: int
    oldest: float | None
    """When the run was made, or due, that waits longest, in seconds since the epoch."""


class Lanes:
    """Lanes of Queues, ConcurrencyLimits and Deployments.

    Args:
        get: gives an object as last seen, by plural, namespace and name.
    """

    def __init__(self, get: Callable[[str, str, str], Body | None]) -> None:
        self._get = get
        self._runs: dict[Key, StandingRun] = {}
        self._words: dict[Key, Stand] = {}  # of the last decision about a run
        self._lanes: dict[Key, Lane[Key]] = {}
        self._members: defaultdict[Key, set[Key]] = defaultdict(set)  # runs by lane, however they stand
        self._children: defaultdict[str, set[Key]] = defaultdict(set)  # by the parent's UID
        self._tagged: defaultdict[tuple[str, str], set[Key]] = defaultdict(set)  # runs by namespace and tag
        self._limits_by_tag: defaultdict[tuple[str, str], set[Key]] = defaultdict(set)
        self._inner: defaultdict[Key, set[Key]] = defaultdict(set)  # who waits and has a holder above, by lane
        self._lines: Counter[frozenset[Key]] = Counter()  # by the lanes that they stand in, how many wait
        self._woken: dict[Key, None] = {}
        self._objects: set[Key] = set()  # Queues and ConcurrencyLimits
        self._conflicts = Conflicts(get, self._runs, self._lanes)
        self._slots = Slots()
        self._unsettled: set[Key] = set()  # limits of which slots may be free for code, or are not any more

    # ---- what changes

    def changed(self, plural: str, old: Body | None, new: Body | None) -> None:
        """Note a change of the store, which holds it already.

        Args:
            plural: what has changed; kinds that are none of ours are passed over.
            old: the body before; None: new.
            new: the body after; None: gone.
        """
        match plural:
            case "flowruns":
                self._run_changed(old, new)
            case "jobs":
                self._job_changed(old, new)
            case "queues" | "concurrencylimits" | "deployments":
                if mapping(old, "spec") != mapping(new, "spec") or (old is None) != (new is None):
                    self._lane_changed(plural, old, new)
        self._allot()

    def decided(self, key: Key, decision: Decision) -> None:
        """Note what was decided about a run, before anything else is decided; what it begins is reserved for it."""
        if key not in self._runs:
            return
        begins = any(isinstance(action, CreateJob) for action in decision.actions)
        word = Stand.HOLDS if begins else Stand.WAITS if decision.waits else Stand.APART
        if self._words.get(key) is not word:
            self._words[key] = word
            self._file(self._runs[key])
        if decision.waits:
            self._woken.update(dict.fromkeys(self._conflicts.victims(self._runs[key])))
        self._allot()

    def failed(self, key: Key) -> None:
        """Note that a run surely did not begin as was decided: its slots are free, and it waits for its next try."""
        if key in self._runs:
            self._words[key] = Stand.APART
            self._file(self._runs[key])
            self._allot()

    def given(self, at: Key, gives: Mapping[str, int]) -> None:
        """Note what was taken out of the bucket of a limit with a rate, for the code of which runs."""
        self._woken.update(dict.fromkeys(self._slots.given(at, gives)))

    def woken(self) -> Iterable[Key]:
        """Give what has to be looked at because of changes since this was asked last."""
        woken, self._woken = self._woken, {}
        return woken

    # ---- what is asked

    def turn(self, key: Key) -> Turn:
        """Tell whether a run, if nothing else keeps it, may begin."""
        run = self._runs.get(key)
        if run is None:
            return GOES
        superseded = self._conflicts.successor(run)
        if run.stand is Stand.HOLDS:
            return Turn(superseded=superseded)
        behind = max(self._behind(run), default=None)
        if behind is None:
            return Turn(superseded=superseded)
        _, ahead, at = behind
        lane = self._lanes[at]
        return Turn(
            goes=False,
            lane=words.lane_name(at.plural, at.name),
            waiting_for=words.place(at.plural, at.name, limit=lane.limit, is_open=lane.is_open, ahead=ahead),
            again_seconds=words.again_seconds(ahead),
            refused=self._conflicts.refusal(run, [each for _, _, each in self._behind(run)]),
            superseded=superseded,
        )

    def grants(self, key: Key) -> list[dict[str, Any]] | None:
        """Give what a run's status should say of the slots of its code; None if it says so."""
        return self._slots.grants(key)

    def observed(self, at: Key, body: Body) -> ObservedLane:
        """Tell how full the lane of an object is."""
        lane = self._lanes.get(at) or Lane()
        first = sorted(lane.holders.items(), key=lambda item: age(item[1]))[:MAX_HOLDERS]
        lacking, code = self._slots.lacking(at), self._slots.holders(at)
        return ObservedLane(
            body,
            active=len(lane.holders) + sum(slots for _, slots in code),
            waiting=lane.waiting + len(lacking),
            holders=[*((key.name, 1) for key, _ in first), *code][:MAX_HOLDERS],
            lacking=lacking,
        )

    def figures(self) -> Iterator[Figures]:
        """Tell how full each Queue and ConcurrencyLimit is."""
        for at in self._objects:
            if (body := self._get(*at)) is not None:
                seen, lane = self.observed(at, body), self._lanes.get(at)
                oldest = min((order.since for order in lane.orders()), default=None) if lane else None
                active = seen.active if not has_rate(body) else integer(body, "status", "active") or 0
                yield Figures(at, integer(body, "spec", "limit"), active, seen.waiting, oldest)

    # ---- runs

    def _run_changed(self, old: Body | None, new: Body | None) -> None:
        body = new if new is not None else old
        key = key_of("flowruns", body)
        known = self._runs.get(key)
        if is_over(new) or (known is not None and known.uid != text(new, "metadata", "uid")):
            self._forget(key)
        if not is_over(new):
            assert new is not None
            self._learn(key, new)

    def _learn(self, key: Key, body: Body) -> None:
        run = self._runs.get(key)
        if run is None:
            parent_name, parent_uid = text(body, "spec", "parent", "name"), text(body, "spec", "parent", "uid")
            parent = (key._replace(name=parent_name), parent_uid) if parent_uid else None
            uid, deployment = text(body, "metadata", "uid"), text(body, "spec", "deploymentRef")
            run = self._runs[key] = StandingRun(key, uid, parent, deployment, frozenset())
            if parent is not None:
                self._children[parent_uid].add(key)
        self._file(run)

    def _forget(self, key: Key) -> None:
        run = self._runs.pop(key, None)
        self._words.pop(key, None)
        if run is None:
            return
        self._unsettled |= self._slots.run_changed(key, None, run.order, ())
        self._settle(run, run.order, Stand.APART, NO_LANES, NO_LANES)
        left = run.named
        self._join(run, NO_LANES, frozenset())
        self._drop_empty(left)
        if run.parent is not None:
            discard(self._children, run.parent[1], key)
        for child in tuple(self._children.get(run.uid, ())):
            self._file_all_below(child)

    def _job_changed(self, old: Body | None, new: Body | None) -> None:
        body = new if new is not None else old
        owner = text(body, "metadata", "labels", names.LABEL_RUN)
        run = self._runs.get(Key("flowruns", text(body, "metadata", "namespace"), owner))
        if run is not None and (old is None or new is None):
            self._file(run)

    def _file(self, run: StandingRun) -> None:
        """Put a run where it belongs, and those below it, if they stand by what it holds."""
        body = self._get(*run.key)
        if body is None:
            return
        deployment = self._get(DEPLOYMENTS, run.key.namespace, run.deployment) if run.deployment else None
        tags, queue = tags_of(body, deployment), queue_of(body, deployment)
        named = frozenset(self._under(run, queue, limits_of(body, deployment), tags))
        held, left = run.named if run.stand is Stand.HOLDS else NO_LANES, run.named - named
        self._join(run, named, tags)
        lent = self._lent(run)
        queue_body = self._get(QUEUES, run.key.namespace, queue) if queue else None
        self._settle(run, order_of(body, deployment, queue_body), self._stand(run, body), named - lent, lent)
        self._drop_empty(left)
        holds = run.named if run.stand is Stand.HOLDS else NO_LANES
        self._unsettled |= self._slots.run_changed(run.key, body, run.order, lent | holds)
        if held != holds:
            for child in tuple(self._children.get(run.uid, ())):
                self._file_all_below(child)

    def _file_all_below(self, key: Key) -> None:
        run = self._runs[key]
        self._file(run)
        for child in tuple(self._children.get(run.uid, ())):
            self._file_all_below(child)

    def _stand(self, run: StandingRun, body: Body) -> Stand:
        job = names.job_name(run.key.name, run.uid, max(integer(body, "status", "attempt") or 0, 1))
        if is_at_work(body, has_job=self._get("jobs", run.key.namespace, job) is not None):
            return Stand.HOLDS
        said = self._words.get(run.key)
        if said is None:  # nothing was decided yet since this process began
            return Stand.WAITS if says_it_waits(body) else Stand.APART
        return said

    def _under(self, run: StandingRun, queue: str, limits: Iterable[str], tags: Iterable[str]) -> Iterator[Key]:
        """Give the lanes that a run is under."""
        namespace = run.key.namespace
        if queue:
            yield Key(QUEUES, namespace, queue)
        if run.deployment:
            yield Key(DEPLOYMENTS, namespace, run.deployment)
        yield from (Key(LIMITS, namespace, name) for name in limits)
        for tag in tags:
            yield from self._limits_by_tag.get((namespace, tag), ())

    def _lent(self, run: StandingRun) -> frozenset[Key]:
        """Give the lanes in which a run above holds a slot: it waits for this one, and could wait for ever."""
        lent, seen, above = NO_LANES, {run.key}, run.parent
        while above is not None and above[0] not in seen:
            parent = self._runs.get(above[0])
            if parent is None or parent.uid != above[1]:
                break
            if parent.stand is Stand.HOLDS:
                lent |= parent.named
            seen.add(parent.key)
            above = parent.parent
        return lent

    def _join(self, run: StandingRun, named: frozenset[Key], tags: frozenset[str]) -> None:
        """Note which lanes a run is under, and what tags it has."""
        for at in named - run.named:
            self._members[at].add(run.key)
            self._lane_of(at)
        for at in run.named - named:
            discard(self._members, at, run.key)
        for tag in tags - run.tags:
            self._tagged[run.key.namespace, tag].add(run.key)
        for tag in run.tags - tags:
            discard(self._tagged, (run.key.namespace, tag), run.key)
        run.named, run.tags = named, tags

    def _settle(
        self, run: StandingRun, order: Order, stand: Stand, counted: frozenset[Key], lent: frozenset[Key]
    ) -> None:
        """Bring a run from where it stands in its lanes to where it is to stand."""
        before, was_lent = (run.order, run.stand, run.counted), run.lent
        if before == (order, stand, counted) and run.lent == lent:
            return
        for at in run.counted | counted:
            old = run.stand if at in run.counted else Stand.APART
            new = stand if at in counted else Stand.APART
            if (old, run.order) != (new, order):
                self._move(run, at, old, new, order)
            if lent and new is Stand.WAITS:
                self._inner[at].add(run.key)
            else:
                discard(self._inner, at, run.key)
        self._recount(run, -1)
        run.order, run.stand, run.counted, run.lent = order, stand, counted, lent
        self._recount(run, 1)
        is_new = before != (order, stand, counted) or was_lent != lent
        if stand is Stand.WAITS and is_new and not any(True for _ in self._behind(run)):
            self._woken[run.key] = None
        for at in counted if stand is Stand.WAITS and is_new else ():
            self._offer(at, ())  # it may tie lanes to one in which others need not stand behind it

    def _move(self, run: StandingRun, at: Key, old: Stand, new: Stand, order: Order) -> None:
        lane = self._lane_of(at)
        if old is Stand.WAITS and new is Stand.HOLDS and order == run.order:
            lane.begin(run.key, order)
        else:
            if old is Stand.HOLDS and new is not Stand.HOLDS:
                self._offer(at, lane.let_go(run.key))
            elif old is Stand.WAITS:
                self._offer(at, lane.leave(run.key, run.order))
            if new is Stand.HOLDS:
                lane.hold(run.key, order)
            elif new is Stand.WAITS:
                lane.wait(run.key, order)
        if at.plural != DEPLOYMENTS:
            self._woken[at] = None
        if at.plural == LIMITS:
            self._unsettled.add(at)

    def _recount(self, run: StandingRun, step: int) -> None:
        if run.stand is Stand.WAITS:
            self._lines[run.counted] += step
            if not self._lines[run.counted]:
                del self._lines[run.counted]

    # ---- lanes

    def _lane_of(self, at: Key) -> Lane[Key]:
        if at not in self._lanes:
            self._lanes[at] = Lane()
            self._open(at)
        return self._lanes[at]

    def _drop_empty(self, lanes: Iterable[Key]) -> None:
        """Forget lanes that nobody is under any more."""
        for at in lanes:
            if at not in self._members:
                self._lanes.pop(at, None)

    def _open(self, at: Key) -> None:
        """Let a lane be as its object says; one that is not there keeps nobody, for who names it waits for it."""
        body, lane = self._get(*at), self._lanes[at]
        limit, is_open = integer(body, "spec", "limit"), True
        if at.plural == DEPLOYMENTS:
            limit = integer(body, "spec", "concurrency", "limit")
        elif at.plural == QUEUES:
            is_open = not is_suspended(body)
        elif is_suspended(body) or has_rate(body):
            limit = None
        self._offer(at, lane.change(limit, is_open=is_open, taken=lane.taken))

    def _lane_changed(self, plural: str, old: Body | None, new: Body | None) -> None:
        at = key_of(plural, new if new is not None else old)
        if plural != DEPLOYMENTS:
            (self._objects.add if new is not None else self._objects.discard)(at)
        if plural == LIMITS:
            self._unsettled.add(at)
        if at in self._lanes:
            self._open(at)
        concerned = set(self._members.get(at, ())) if plural != LIMITS else set[Key]()
        if plural == LIMITS and (tag_of_runs(old), old is None) != (tag_of_runs(new), new is None):
            concerned |= self._tag_changed(at, tag_of_runs(old), tag_of_runs(new) if new is not None else "")
        for key in concerned:
            self._file(self._runs[key])
        if (old is None) != (new is None):  # who names it waits for it to appear, or has to wait from now on
            waiting = (key for key in self._members.get(at, ()) if self._runs[key].stand is not Stand.HOLDS)
            self._woken.update(dict.fromkeys(waiting))

    def _tag_changed(self, at: Key, before: str, after: str) -> set[Key]:
        concerned: set[Key] = set()
        if before:
            discard(self._limits_by_tag, (at.namespace, before), at)
            concerned |= self._tagged.get((at.namespace, before), set())
        if after:
            self._limits_by_tag[at.namespace, after].add(at)
            concerned |= self._tagged.get((at.namespace, after), set())
        return concerned

    def _allot(self) -> None:
        """Promise code of runs what is free for it, and leave the rest to the runs that wait."""
        while self._unsettled:
            at = self._unsettled.pop()
            body = self._get(*at)
            lane = self._lanes.get(at)
            waking = self._slots.allot(at, body, len(lane.holders) if lane else 0)
            self._woken.update(dict.fromkeys(waking))
            self._woken[at] = None
            if lane is not None and lane.limit is not None:
                taken = self._slots.claimed(at, lane.limit)
                self._offer(at, lane.change(lane.limit, is_open=lane.is_open, taken=taken))

    def _offer(self, at: Key, keys: Iterable[Key]) -> None:
        self._woken.update(dict.fromkeys(keys))
        if at in self._inner and self._lanes[at].free:
            self._woken.update(dict.fromkeys(itertools.islice(self._inner[at], _INNER)))

    # ---- whose turn it is

    def _behind(self, run: StandingRun) -> Iterator[tuple[int, int, Key]]:
        """Give the lanes in which it is not a run's turn: by how many it is not, how many are before it, and which."""
        passing = self._passing(run)
        for at in run.counted:
            lane = self._lanes[at]
            ahead, free = lane.ahead(run.order, run.key), lane.free
            if (0 if at in passing else ahead) >= free:
                yield ahead - free, ahead, at

    def _passing(self, run: StandingRun) -> frozenset[Key]:
        """Give the lanes in which a run does not stand behind others, for they wait for what a run above it holds.

        What is kept for those who wait is kept from it for ever otherwise: they wait for the run above, that waits for
        this one. Who waits in two lanes ties them together: a lane counts if it is tied to one that is held above.
        """
        tied, grows = run.lent, bool(run.lent)
        while grows:
            wider = tied.union(*(lanes for lanes in self._lines if lanes & tied))
            tied, grows = wider, wider != tied
        return tied
