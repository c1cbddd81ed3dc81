"""`make chaos`: beat a real cluster while runs go on in it, and hold their whole history against the laws.

A cluster of its own is made for it, and taken away again. Everything random comes from one seed, which is printed: the
same seed gives the same workload and the same blows, though not the same microseconds.
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

from tests.chaos.havoc import SECONDS, THEMES, plan
from tests.chaos.judge import judge
from tests.chaos.report import Played, report, summary
from tests.chaos.stage import Round
from tests.chaos.workload import workload
from tests.cluster import project_images
from tests.cluster.api import Cluster, ClusterError, ClusterUnavailable
from tests.cluster.api import cluster as find_cluster
from tests.cluster.built import BuiltCluster
from tests.cluster.components import AUDIT
from tests.cluster.output import say, step
from tests.cluster.settings import REPOSITORY, default_name
from tests.kube import Kube

OWN_NAME = "TOWPATH_CHAOS_CLUSTER_NAME"
FLOWS = Path(__file__).parents[1] / "e2e" / "flows"


class NotBreakableError(ClusterUnavailable):
    """There is a cluster, but its parts are not ours to kill."""


def main(words: Sequence[str] | None = None) -> int:
    """Play the rounds; the exit code says whether all laws held."""
    arguments, began = _parser().parse_args(words), time.monotonic()
    seed = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    themes = arguments.theme or [list(THEMES)[number % len(THEMES)] for number in range(arguments.rounds)]
    say(f"seed {seed}: {', '.join(themes)}")
    try:
        cluster = breakable_cluster()
        image = flows_image(cluster)
    except ClusterUnavailable as unavailable:
        say(str(unavailable))
        return 3
    except ClusterError as error:
        say(str(error))
        return 1
    rounds: list[Played] = []
    try:
        with Kube(cluster.kubeconfig) as kube:
            for number, theme in enumerate(themes):
                say(f"round {number + 1} of {len(themes)}: {theme}, seed {seed + number}")
                rounds.append(_play(cluster, kube, image, theme, seed + number, arguments.seconds or SECONDS[theme]))
    finally:
        if not arguments.keep:
            cluster.provider.down()
    print("\n".join(summary(rounds, time.monotonic() - began)))
    return 1 if any(played.broken for played in rounds) else 0


def _play(cluster: Cluster, kube: Kube, image: str, theme: str, seed: int, seconds: float) -> Played:
    """Play a round, and tell what came of it."""
    name = f"chaos-{seed}-{theme.replace(' ', '-')}-{secrets.token_hex(2)}"  # the audit log remembers
    folder, began = REPOSITORY / ".cluster" / cluster.name / "chaos" / name, time.monotonic()
    stage = Round(cluster, kube, name, folder, lambda line: say(f"{theme}: {line}"))
    history = stage.play(workload(seed, image, spread=seconds / 2), plan(seed, theme, seconds), seed)
    played = Played(theme, seed, time.monotonic() - began, history, judge(history))
    print("\n".join(report(played)), flush=True)
    if played.broken:
        print(f"Logs: {stage.keep_log().parent}\nAgain: {played.again}", flush=True)
    stage.leave()
    return played


def breakable_cluster() -> Cluster:
    """Give a cluster that may be broken: one of this checkout's own, beside that of the other tests.

    Raises:
        ClusterUnavailable: none can be had here.
        NotBreakableError: there is one, but of a kind that cannot be beaten, or somebody's own.
    """
    name = os.environ.get(OWN_NAME) or f"{default_name(REPOSITORY)}-chaos"
    with mock.patch.dict(os.environ, {"TOWPATH_CLUSTER_NAME": name, AUDIT: "bodies"}):
        found = find_cluster()
    if not isinstance(found.provider, BuiltCluster):
        raise NotBreakableError(
            f"chaos needs a cluster built on this machine, whose parts can be killed; this one is {found.provider.kind}"
        )
    if '"RequestResponse"' not in (found.provider.instance.state / "etc" / "audit-policy.json").read_text():
        raise ClusterError(
            f"cluster {found.name!r} writes no bodies into its audit log; take it down, and it is made anew:"
            f" TOWPATH_CLUSTER_NAME={found.name} python3 -m tests.cluster down"
        )
    return found


def flows_image(cluster: Cluster) -> str:
    """Bring the image of the tests' own flows into a cluster."""
    with step("the image of the flows"):
        tag = cluster.images(("flow",))
        reference = project_images.reference("e2e", tag)
        if project_images.published():
            return reference
        cluster.build_image(
            reference, FLOWS / "Dockerfile", FLOWS, {"FLOW_IMAGE": project_images.reference("flow", tag)}
        )
    return reference


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="what everything random is made of; default: a new one, printed")
    parser.add_argument("--rounds", type=int, default=len(THEMES), help="how many, each about something else")
    parser.add_argument(
        "--theme", action="append", choices=THEMES, help="play this instead; may be given several times"
    )
    parser.add_argument(
        "--seconds", type=float, help="for which blows fall in a round; default: 60, 150 for everything"
    )
    parser.add_argument("--keep", action="store_true", help="leave the cluster up")
    return parser


if __name__ == "__main__":
    sys.exit(main())
