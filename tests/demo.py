"""`make demo`: Towpath on a real cluster in one command, from nothing to the result of a flow with children.

Takes the cluster that `TOWPATH_TEST_KUBECONFIG` or `CLUSTER=current` names, else makes one; installs Towpath into it;
applies examples/almanac.yaml; shows the runs while they go, then the tree, the result, and what to type next.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from tests.cluster.api import Cluster, ClusterError, ClusterUnavailable
from tests.cluster.api import cluster as find_cluster
from tests.cluster.output import say, step
from tests.installation import ROOT, install

from towpath.cli.tree import explain, run_tree, state_of
from towpath.states import TERMINAL, StateType

NAMESPACE = "towpath-demo"
RUN = "almanac-1"
PATIENCE_SECONDS = 300

Body = dict[str, Any]


def main() -> int:
    """Run the demo; the exit code says whether the flow completed."""
    try:
        with step("a cluster"):
            cluster = find_cluster()
        with step("Towpath in it"):
            image = install(cluster).demo_image
        apply_example(cluster, image)
        runs = follow(cluster)
    except ClusterUnavailable as unavailable:
        say(str(unavailable))
        return 3
    except ClusterError as error:
        say(str(error))
        return 1
    return report(cluster, runs)


def apply_example(cluster: Cluster, image: str) -> None:
    """Apply the example's YAML, with the image of this checkout in it; runs of an earlier demo go first."""
    cluster.kubectl("delete", "flowruns.towpath.dev", "--all", "--namespace", NAMESPACE, "--wait=true")
    documents: list[Body] = list(yaml.safe_load_all((ROOT / "examples" / "almanac.yaml").read_text()))
    for document in documents:
        document["metadata"]["namespace"] = NAMESPACE
        if document["kind"] == "Flow":
            document["spec"]["image"] = image
    say(f"kubectl apply -f {Path('examples') / 'almanac.yaml'}")
    cluster.apply(*documents)


def follow(cluster: Cluster) -> list[Body]:
    """Say a line for each new state of each run until all have ended; give the runs."""
    seen: dict[str, str] = {}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        runs: list[Body] = cluster.get("flowruns.towpath.dev", "--namespace", NAMESPACE)["items"]
        for run in runs:
            name, state = run["metadata"]["name"], state_of(run)
            if seen.get(name) != state["name"]:
                seen[name] = state["name"]
                say(f"  {name:50} {state['name']}")
        if runs and all(StateType(state_of(run)["type"]) in TERMINAL for run in runs):
            return runs
        if time.monotonic() > deadline:
            say(f"Some runs have not ended after {PATIENCE_SECONDS} s.")
            return runs
        time.sleep(0.3)


def report(cluster: Cluster, runs: list[Body]) -> int:
    """Print the tree, the result, and what to type next."""
    top = next(run for run in runs if run["metadata"]["name"] == RUN)
    out = ["", run_tree(runs, datetime.now(UTC)), ""]
    out += [
        f"{run['metadata']['name']}: {explain(run)}" for run in runs if state_of(run)["type"] != StateType.COMPLETED
    ]
    completed = state_of(top)["type"] == StateType.COMPLETED
    if completed:
        out += [f"What {RUN} returned:", "", json.loads(top["status"]["result"]["inline"]), ""]
    job = (top.get("status") or {}).get("job", "…")
    out += [
        "What to type next:",
        f"  export KUBECONFIG={cluster.kubeconfig}",
        f"  kubectl get flowruns -n {NAMESPACE} -o wide",
        f"  kubectl describe flowrun {RUN} -n {NAMESPACE}",
        f"  kubectl logs -n {NAMESPACE} job/{job}",
        f"  kubectl get all,towpath -n {NAMESPACE}",
        "  make test            # everything that must hold",
        "  make cluster-down    # take the cluster away again",
        "",
    ]
    sys.stdout.write("\n".join(out))
    return 0 if completed else 1


if __name__ == "__main__":
    sys.exit(main())
