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
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

from tests.chaos.havoc import THEMES, plan
from tests.chaos.history import History
from tests.chaos.judge import Verdict, fail_overs, judge
from tests.chaos.lives import state_of
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
    arguments = _parser().parse_args(words)
    seed = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    themes = arguments.theme or [list(THEMES)[number % len(THEMES)] for number in range(arguments.rounds)]
    try:
        cluster = breakable_cluster()
        image = flows_image(cluster)
    except ClusterUnavailable as unavailable:
        say(str(unavailable))
        return 3
    except ClusterError as error:
        say(str(error))
        return 1
    say(f"seed {seed}: {', '.join(themes)}")
    held = True
    try:
        with Kube(cluster.kubeconfig) as kube:
            for number, theme in enumerate(themes):
                own = seed + number
                name = f"chaos-{own}-{theme.replace(' ', '-')}-{secrets.token_hex(2)}"  # the audit log remembers
                began = time.monotonic()
                played = Round(cluster, kube, name, REPOSITORY / ".cluster" / cluster.name / "chaos" / name, say)
                history = played.play(workload(own, image, spread=20), plan(own, theme, arguments.seconds), own)
                verdicts = judge(history)
                print("\n".join(report(theme, own, history, verdicts, time.monotonic() - began)), flush=True)
                if any(verdict.breaches for verdict in verdicts):
                    held = False
                    print(f"Logs: {played.folder}\nAgain: make chaos SEED={own} THEME={theme!r}", flush=True)
                played.leave()
    finally:
        if not arguments.keep:
            cluster.provider.down()
    print(f"Seed {seed}: {'every law held' if held else 'laws were broken, see above'}.")
    return 0 if held else 1


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


def report(theme: str, seed: int, history: History, verdicts: Sequence[Verdict], took: float) -> Iterator[str]:
    """Tell what was done in a round, and what came of it."""
    blows = Counter(str(blow.what).partition(" for ")[0].partition(" (")[0] for blow in history.blows)
    ends = Counter(str(state_of(run)) for run in history.left.get("flowruns", ()))
    yield ""
    yield f"Round {theme!r}, seed {seed}, {took:.0f} s"
    yield "  done   " + ", ".join(f"{count} {what}" for what, count in blows.most_common())
    yield "  runs   " + ", ".join(f"{count} {end}" for end, count in ends.most_common())
    if took_over := fail_overs(history):
        yield "  another operator took over after " + ", ".join(f"{seconds:.1f} s" for seconds in took_over)
    for verdict in verdicts:
        mark = "BROKEN" if verdict.breaches else "held" if verdict.looked_at else "-"
        yield f"  {mark:6} {verdict.looked_at:5}  {verdict.law}"
        for what in verdict.breaches:
            yield f"                  {what}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="what everything random is made of; default: a new one, printed")
    parser.add_argument("--rounds", type=int, default=len(THEMES), help="how many, each about something else")
    parser.add_argument(
        "--theme", action="append", choices=THEMES, help="play this instead; may be given several times"
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="for which blows fall in a round")
    parser.add_argument("--keep", action="store_true", help="leave the cluster up")
    return parser


if __name__ == "__main__":
    sys.exit(main())
