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
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final

from towpath import names
from towpath_operator.lanes import words
from towpath_operator.lanes.lane import Lane
from towpath_operator.lanes.slots import Slots, has_rate
from towpath_operator.observe import Key
from towpath_operator.reconcile.claims import (
    LIMITS,
    QUEUES,
    Order,
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
from towpath_operator.reconcile.lane_status import HOLDERS, ObservedLane
from towpath_operator.reconcile.observed import Body
from towpath_operator.reconcile.reading import integer, mapping, text
from towpath_operator.reconcile.verdicts import GOES, Turn

_DEPLOYMENTS: Final = "deployments"
#: How many of those who may go before their turn are looked at when something comes free.
_INNER: Final = 32
_NO_LANES: Final[frozenset[Key]] = frozenset()


class _Stand(Enum):
    """How a run stands to the slots that it needs."""

    APART = auto()
    WAITS = auto()
    HOLDS = auto()


@dataclass(slots=True)
class _Run:
    """A run that has not ended."""

    key: Key
    uid: str
    parent: tuple[Key, str] | None
    """Key and UID of the run that called it."""
    deployment: str
    tags: frozenset[str]
    named: frozenset[Key] = _NO_LANES
    """Lanes that it is under."""
    lent: frozenset[Key] = _NO_LANES
    """Lanes in which a run above it holds a slot."""
    counted: frozenset[Key] = _NO_LANES
    """Lanes in which it stands itself: those that it is under and that nobody lends it."""
    order: Order = field(default=Order(0, 0.0, ""))
    stand: _Stand = _Stand.APART


class Lanes:
    """Lanes of Queues, ConcurrencyLimits and Deployments.

    Args:
        get: gives an object as last seen, by plural, namespace and name.
    """

    def __init__(self, get: Callable[[str, str, str], Body | None]) -> None:
        self._get = get
        self._runs: dict[Key, _Run] = {}
        self._words: dict[Key, _Stand] = {}  # of the last decision about a run
        self._lanes: dict[Key, Lane[Key]] = {}
        self._members: defaultdict[Key, set[Key]] = defaultdict(set)  # runs by lane, however they stand
        self._children: defaultdict[str, set[Key]] = defaultdict(set)  # by the parent's UID
        self._tagged: defaultdict[tuple[str, str], set[Key]] = defaultdict(set)  # runs by namespace and tag
        self._limits_by_tag: defaultdict[tuple[str, str], set[Key]] = defaultdict(set)
        self._inner: defaultdict[Key, set[Key]] = defaultdict(set)  # who waits and has a holder above, by lane
        self._lines: Counter[frozenset[Key]] = Counter()  # by the lanes that they stand in, how many wait
        self._woken: dict[Key, None] = {}
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
        self._words[key] = _Stand.HOLDS if begins else _Stand.WAITS if decision.waits else _Stand.APART
        self._file(self._runs[key])
        if decision.waits:
            self._supersede(self._runs[key])
        self._allot()

    def failed(self, key: Key) -> None:
        """Note that a run surely did not begin as was decided: its slots are free, and it waits for its next try."""
        if key in self._runs:
            self._words[key] = _Stand.APART
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
        superseded = self._superseded_by(run)
        if run.stand is _Stand.HOLDS:
            return Turn(superseded=superseded)
        behind = max(self._behind(run), default=None)
        if behind is None:
            return Turn(superseded=superseded)
        _, ahead, at = behind
        lane = self._lanes[at]
        return Turn(
            goes=False,
            waiting_for=words.place(at.plural, at.name, limit=lane.limit, is_open=lane.is_open, ahead=ahead),
            again_seconds=words.again_seconds(ahead),
            refused=self._refused_by(run, [each for _, _, each in self._behind(run)]),
            superseded=superseded,
        )

    def grants(self, key: Key) -> list[dict[str, Any]] | None:
        """Give what a run's status should say of the slots of its code; None if it says so."""
        return self._slots.grants(key)

    def observed(self, at: Key, body: Body) -> ObservedLane:
        """Tell how full the lane of an object is."""
        lane = self._lanes.get(at) or Lane()
        first = sorted(lane.holders.items(), key=lambda item: _age(item[1]))[:HOLDERS]
        lacking, code = self._slots.lacking(at), self._slots.holders(at)
        return ObservedLane(
            body,
            active=len(lane.holders) + sum(slots for _, slots in code),
            waiting=lane.waiting + len(lacking),
            holders=[*((key.name, 1) for key, _ in first), *code][:HOLDERS],
            lacking=lacking,
        )

    # ---- runs

    def _run_changed(self, old: Body | None, new: Body | None) -> None:
        body = new if new is not None else old
        key = _key_of("flowruns", body)
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
            run = self._runs[key] = _Run(key, uid, parent, deployment, frozenset())
            if parent is not None:
                self._children[parent_uid].add(key)
        self._file(run)

    def _forget(self, key: Key) -> None:
        run = self._runs.pop(key, None)
        self._words.pop(key, None)
        if run is None:
            return
        self._unsettled |= self._slots.run_changed(key, None, run.order, ())
        self._settle(run, run.order, _Stand.APART, _NO_LANES, _NO_LANES)
        left = run.named
        self._join(run, _NO_LANES, frozenset())
        self._drop_empty(left)
        if run.parent is not None:
            _discard(self._children, run.parent[1], key)
        for child in tuple(self._children.get(run.uid, ())):
            self._file_all_below(child)

    def _job_changed(self, old: Body | None, new: Body | None) -> None:
        body = new if new is not None else old
        owner = text(body, "metadata", "labels", names.LABEL_RUN)
        run = self._runs.get(Key("flowruns", text(body, "metadata", "namespace"), owner))
        if run is not None and (old is None or new is None):
            self._file(run)

    def _file(self, run: _Run) -> None:
        """Put a run where it belongs, and those below it, if they stand by what it holds."""
        body = self._get(*run.key)
        if body is None:
            return
        deployment = self._get(_DEPLOYMENTS, run.key.namespace, run.deployment) if run.deployment else None
        tags, queue = tags_of(body, deployment), queue_of(body, deployment)
        named = frozenset(self._under(run, queue, limits_of(body, deployment), tags))
        held, left = run.named if run.stand is _Stand.HOLDS else _NO_LANES, run.named - named
        self._join(run, named, tags)
        lent = self._lent(run)
        queue_body = self._get(QUEUES, run.key.namespace, queue) if queue else None
        self._settle(run, order_of(body, deployment, queue_body), self._stand(run, body), named - lent, lent)
        self._drop_empty(left)
        holds = run.named if run.stand is _Stand.HOLDS else _NO_LANES
        self._unsettled |= self._slots.run_changed(run.key, body, run.order, lent | holds)
        if held != holds:
            for child in tuple(self._children.get(run.uid, ())):
                self._file_all_below(child)

    def _file_all_below(self, key: Key) -> None:
        run = self._runs[key]
        self._file(run)
        for child in tuple(self._children.get(run.uid, ())):
            self._file_all_below(child)

    def _stand(self, run: _Run, body: Body) -> _Stand:
        job = names.job_name(run.key.name, run.uid, max(integer(body, "status", "attempt") or 0, 1))
        if is_at_work(body, has_job=self._get("jobs", run.key.namespace, job) is not None):
            return _Stand.HOLDS
        said = self._words.get(run.key)
        if said is None:  # nothing was decided yet since this process began
            return _Stand.WAITS if says_it_waits(body) else _Stand.APART
        return said

    def _under(self, run: _Run, queue: str, limits: Iterable[str], tags: Iterable[str]) -> Iterator[Key]:
        """Give the lanes that a run is under."""
        namespace = run.key.namespace
        if queue:
            yield Key(QUEUES, namespace, queue)
        if run.deployment:
            yield Key(_DEPLOYMENTS, namespace, run.deployment)
        yield from (Key(LIMITS, namespace, name) for name in limits)
        for tag in tags:
            yield from self._limits_by_tag.get((namespace, tag), ())

    def _lent(self, run: _Run) -> frozenset[Key]:
        """Give the lanes in which a run above holds a slot: it waits for this one, and could wait for ever."""
        lent, seen, above = _NO_LANES, {run.key}, run.parent
        while above is not None and above[0] not in seen:
            parent = self._runs.get(above[0])
            if parent is None or parent.uid != above[1]:
                break
            if parent.stand is _Stand.HOLDS:
                lent |= parent.named
            seen.add(parent.key)
            above = parent.parent
        return lent

    def _join(self, run: _Run, named: frozenset[Key], tags: frozenset[str]) -> None:
        """Note which lanes a run is under, and what tags it has."""
        for at in named - run.named:
            self._members[at].add(run.key)
            self._lane_of(at)
        for at in run.named - named:
            _discard(self._members, at, run.key)
        for tag in tags - run.tags:
            self._tagged[run.key.namespace, tag].add(run.key)
        for tag in run.tags - tags:
            _discard(self._tagged, (run.key.namespace, tag), run.key)
        run.named, run.tags = named, tags

    def _settle(self, run: _Run, order: Order, stand: _Stand, counted: frozenset[Key], lent: frozenset[Key]) -> None:
        """Bring a run from where it stands in its lanes to where it is to stand."""
        before = (run.order, run.stand, run.counted)
        if before == (order, stand, counted) and run.lent == lent:
            return
        for at in run.counted | counted:
            old = run.stand if at in run.counted else _Stand.APART
            new = stand if at in counted else _Stand.APART
            if (old, run.order) != (new, order):
                self._move(run, at, old, new, order)
            if lent and new is _Stand.WAITS:
                self._inner[at].add(run.key)
            else:
                _discard(self._inner, at, run.key)
        self._recount(run, -1)
        run.order, run.stand, run.counted, run.lent = order, stand, counted, lent
        self._recount(run, 1)
        is_new = before != (order, stand, counted)
        if stand is _Stand.WAITS and is_new and not any(True for _ in self._behind(run)):
            self._woken[run.key] = None

    def _move(self, run: _Run, at: Key, old: _Stand, new: _Stand, order: Order) -> None:
        lane = self._lane_of(at)
        if old is _Stand.WAITS and new is _Stand.HOLDS and order == run.order:
            lane.begin(run.key, order)
        else:
            if old is _Stand.HOLDS and new is not _Stand.HOLDS:
                self._offer(at, lane.let_go(run.key))
            elif old is _Stand.WAITS:
                self._offer(at, lane.leave(run.key, run.order))
            if new is _Stand.HOLDS:
                lane.hold(run.key, order)
            elif new is _Stand.WAITS:
                lane.wait(run.key, order)
        if at.plural != _DEPLOYMENTS:
            self._woken[at] = None
        if at.plural == LIMITS:
            self._unsettled.add(at)

    def _recount(self, run: _Run, step: int) -> None:
        if run.stand is _Stand.WAITS:
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
        if at.plural == _DEPLOYMENTS:
            limit = integer(body, "spec", "concurrency", "limit")
        elif at.plural == QUEUES:
            is_open = not is_suspended(body)
        elif is_suspended(body) or has_rate(body):
            limit = None
        self._offer(at, lane.change(limit, is_open=is_open, taken=lane.taken))

    def _lane_changed(self, plural: str, old: Body | None, new: Body | None) -> None:
        at = _key_of(plural, new if new is not None else old)
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
            waiting = (key for key in self._members.get(at, ()) if self._runs[key].stand is not _Stand.HOLDS)
            self._woken.update(dict.fromkeys(waiting))

    def _tag_changed(self, at: Key, before: str, after: str) -> set[Key]:
        concerned: set[Key] = set()
        if before:
            _discard(self._limits_by_tag, (at.namespace, before), at)
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

    def _behind(self, run: _Run) -> Iterator[tuple[int, int, Key]]:
        """Give the lanes in which it is not a run's turn: by how many it is not, how many are before it, and which."""
        passing = self._passing(run)
        for at in run.counted:
            lane = self._lanes[at]
            ahead, free = lane.ahead(run.order, run.key), lane.free
            if (0 if at in passing else ahead) >= free:
                yield ahead - free, ahead, at

    def _passing(self, run: _Run) -> frozenset[Key]:
        """Give the lanes in which a run does not stand behind others, for they wait for what a run above it holds.

        What is kept for those who wait is kept from it for ever otherwise: they wait for the run above, that waits for
        this one. Who waits in two lanes ties them together: a lane counts if it is tied to one that is held above.
        """
        tied, grows = run.lent, bool(run.lent)
        while grows:
            wider = tied.union(*(lanes for lanes in self._lines if lanes & tied))
            tied, grows = wider, wider != tied
        return tied

    def _refused_by(self, run: _Run, lanes: Iterable[Key]) -> str:
        at = next((each for each in lanes if each.plural == _DEPLOYMENTS), None)
        if at is None or self._on_conflict(at) != "CancelNew":
            return ""
        return (
            f"{self._lanes[at].limit} of the runs of Deployment {run.deployment!r} are at work or come before this one,"
            " as many as its concurrency allows; with onConflict CancelNew none more is begun."
        )

    def _on_conflict(self, at: Key) -> str:
        return text(self._get(*at), "spec", "concurrency", "onConflict")

    def _supersede(self, new: _Run) -> None:
        """Have the runs looked at whose place a run takes that waits."""
        for at in new.counted:
            if at.plural == _DEPLOYMENTS and self._on_conflict(at) == "CancelRunning":
                others = (*self._lanes[at].holders, *self._lanes[at].line())
                older = (key for key in others if key != new.key and self._superseded_by(self._runs[key]))
                self._woken.update(dict.fromkeys(older))

    def _superseded_by(self, run: _Run) -> str:
        """Say, if a run has to make room for later ones of its Deployment, for which."""
        at = next((each for each in run.counted if each.plural == _DEPLOYMENTS), None)
        if at is None or run.stand is _Stand.APART or self._on_conflict(at) != "CancelRunning":
            return ""
        lane = self._lanes[at]
        if lane.limit is None:
            return ""
        later = [key for key in lane.holders if self._is_later(key, run)]
        claiming = [key for key in lane.line() if self._is_later(key, run) and self._could_go_without(key, run, at)]
        if not claiming or len(later) + len(claiming) < lane.limit:
            return ""
        newest = max((self._runs[key].order for key in claiming), key=_age)
        return (
            f"Run {newest.name!r} takes its place: Deployment {run.deployment!r} lets {lane.limit} work at once, and"
            " onConflict is CancelRunning."
        )

    def _is_later(self, key: Key, run: _Run) -> bool:
        return _age(self._runs[key].order) > _age(run.order)

    def _could_go_without(self, key: Key, run: _Run, at: Key) -> bool:
        """Tell whether a run that waits could go if it were not for another that holds slots."""
        frees = run.counted if run.stand is _Stand.HOLDS else _NO_LANES
        waiting = self._runs[key]
        lanes = ((each, self._lanes[each]) for each in waiting.counted if each != at)
        return all(
            lane.is_open and lane.ahead(waiting.order, key) < lane.free + (each in frees) for each, lane in lanes
        )


def _age(order: Order) -> tuple[float, str]:
    return order.since, order.name


def _key_of(plural: str, body: Body | None) -> Key:
    return Key(plural, text(body, "metadata", "namespace"), text(body, "metadata", "name"))


def _discard(
    index: defaultdict[Key, set[Key]] | defaultdict[str, set[Key]] | defaultdict[tuple[str, str], set[Key]],
    value: object,
    key: Key,
) -> None:
    found = index.get(value)  # type: ignore[call-overload]
    if found is not None:
        found.discard(key)
        if not found:
            del index[value]  # type: ignore[arg-type]
