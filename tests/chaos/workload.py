"""What runs while the cluster is beaten: a seeded mix, each piece with the end that its code says it has."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.history import Promise

Body = dict[str, Any]
TREE = 9  # runs below the top: ten deep


@dataclass(frozen=True, slots=True)
class Piece:
    """One run that somebody starts."""

    name: str
    spec: Body
    promise: Promise
    at: float
    """Seconds after the beginning."""
    cancel_depth: int | None = None
    """Its cancellation is wished when its tree has so many runs."""
    retry_after: int | None = None
    """The attempt after whose bad end one more is asked for."""


@dataclass(frozen=True, slots=True)
class Workload:
    """All that is started in one round."""

    flows: tuple[Body, ...]
    deployments: tuple[Body, ...]
    """Applied before their Flows: the webhook refuses one that does not fit its Flow."""
    lanes: tuple[Body, ...]
    """Queues and limits."""
    pieces: tuple[Piece, ...]
    scheduled: Mapping[str, Promise] = field(default_factory=dict)
    """How the runs of a Deployment's schedules end."""


@dataclass(frozen=True, slots=True)
class _Kind:
    function: str = ""
    """Of tests/e2e/flows/flows.py; else a plain container."""
    script: str = ""
    parameters: Body = field(default_factory=dict)
    ends: tuple[str, ...] = ("COMPLETED",)
    attempts: int | None = 1
    cancelled: bool = False
    retried: int | None = None
    under: Body = field(default_factory=dict)
    """Whose slots it needs, as its spec says it."""
    deployed: str = ""
    """The Deployment of which it is a run; else its flow is its own."""
    together: bool = False
    """All of it start at the same time, so that they stand in each other's way."""


_KINDS: Mapping[str, _Kind] = {
    "quick": _Kind(script="exit 0"),
    "failing": _Kind(script="exit 3", ends=("FAILED",)),
    "slow": _Kind(script="sleep 6"),
    "queued": _Kind(script="sleep 2", under={"queue": "narrow"}, together=True),
    "limited": _Kind(script="sleep 3", under={"limits": ["pair"]}, together=True),
    "single": _Kind(deployed="single", together=True),
    "add": _Kind("add", parameters={"x": 1}),
    "sell": _Kind("sell", parameters={"item": "bread"}, ends=("FAILED",)),
    "vanish": _Kind("vanish_once", attempts=2),
    "lucky": _Kind("lucky"),
    "shop": _Kind("careful_shop", parameters={"item": "milk"}),
    "guarded": _Kind("guarded", parameters={"limit": "desk", "times": 3, "seconds": 1.0}, together=True),
    "retried": _Kind("out_of_stock_until", parameters={"attempt": 2}, attempts=2, retried=1),
    "tree": _Kind(
        "tower",
        parameters={"height": TREE, "seconds": 600},
        ends=("CANCELLED",),
        cancelled=True,
    ),
}
#: How often each kind is there; plain containers cost little.
_COUNTS: Mapping[str, int] = {"quick": 3, "slow": 2, "queued": 5, "limited": 4, "single": 3, "guarded": 2}
_LIGHT = ("quick", "failing", "slow", "queued")


def workload(seed: int, image: str, *, spread: float, light: bool = False) -> Workload:
    """Make the mix that a seed stands for.

    Args:
        seed: the same gives the same mix.
        image: of the tests' own flows.
        spread: within how many seconds it is started.
        light: plain containers only, and fewer.
    """
    chance = random.Random(f"workload {seed}")
    kinds = _LIGHT if light else tuple(_KINDS)
    pieces = [piece for kind in kinds for piece in _pieces(kind, image, chance, spread)]
    ticking = {"image": image, "command": ["sh", "-c", "exit 0"]}
    # The parameters of these runs do not fit, so they end without a pod: many ticks, no cost.
    strict = {**ticking, "parameters": {"type": "object", "required": ["x"], "properties": {"x": {"type": "integer"}}}}
    moment = {"image": image, "command": ["sleep", "2"]}
    return Workload(
        flows=(
            _object("Flow", "ticking", ticking),
            _object("Flow", "strict", strict),
            _object("Flow", "single", moment),
        ),
        deployments=(
            _deployment("ticking", every=7),
            _deployment("strict", every=2),
            _object("Deployment", "single", {"flowRef": "single", "concurrency": {"limit": 1}}),
        ),
        lanes=(
            _object("Queue", "narrow", {"limit": 2}),
            _object("ConcurrencyLimit", "pair", {"limit": 2}),
            _object("ConcurrencyLimit", "desk", {"limit": 1}),
        ),
        pieces=tuple(sorted(pieces, key=lambda piece: piece.at)),
        scheduled={"ticking": Promise(frozenset({"COMPLETED"})), "strict": Promise(frozenset({"FAILED"}), None)},
    )


def without_webhook(number: int) -> tuple[Piece, Piece]:
    """Make two runs to be started while nobody answers the API server: one that fits, and one that does not.

    Args:
        number: part of their names.
    """
    wrong: Body = {"flowRef": "strict", "parameters": {"x": "many"}}
    return (
        Piece(f"fits-{number}", {"flowRef": "ticking"}, Promise(frozenset({"COMPLETED"})), at=0.0),
        Piece(f"misfit-{number}", wrong, Promise(frozenset({"FAILED"}), None), at=0.0),
    )


def _pieces(name: str, image: str, chance: random.Random, spread: float) -> Iterator[Piece]:
    kind, together = _KINDS[name], chance.uniform(0, spread)
    for number in range(_COUNTS.get(name, 1)):
        code = {"entrypoint": f"flows.py:{kind.function}"} if kind.function else {"command": ["sh", "-c", kind.script]}
        what: Body = {"deploymentRef": kind.deployed} if kind.deployed else {"flow": {"image": image, **code}}
        spec = {**what, **kind.under} | ({"parameters": kind.parameters} if kind.parameters else {})
        at = together if kind.together else chance.uniform(0, spread)
        yield Piece(
            name=f"{name}-{number}",
            spec=spec,
            promise=Promise(frozenset(kind.ends), kind.attempts if not kind.cancelled else None),
            at=at,
            cancel_depth=chance.randint(TREE // 2, TREE + 1) if kind.cancelled else None,
            retry_after=kind.retried,
        )


def _deployment(name: str, every: int) -> Body:
    schedule = {"name": "ticks", "intervalSeconds": every}
    spec = {"flowRef": name, "schedules": [schedule], "missedRunPolicy": "All"}
    return _object("Deployment", name, spec)


def _object(kind: str, name: str, spec: Body) -> Body:
    return {"apiVersion": "towpath.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
