"""docs/install.md says what the chart makes: what is installed, what it may do, and what is taken away in the end."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
import yaml
from tests.helm.chart import CHART, Body, render

PAGE = (CHART.parents[1] / "docs" / "install.md").read_text(encoding="utf-8")
PLURALS = {yaml.safe_load(path.read_text())["spec"]["names"]["plural"] for path in (CHART / "crds").glob("*.yaml")}
#: All that whoever has rights in a namespace, and none in the cluster, may be able to make there.
NAMESPACED = {"ConfigMap", "Deployment", "Role", "RoleBinding", "Service", "ServiceAccount"}


def documented(heading: str) -> dict[str, set[str]]:
    """Read the table of rights below a line: verbs by resource; those of subresources under the subresource's name."""
    table = PAGE.partition(heading)[2].strip().partition("\n\n")[0]
    found: dict[str, set[str]] = {}
    for line in table.splitlines()[2:]:
        resources, verbs, *_ = line.strip("| ").split(" | ")
        for resource in re.findall(r"`([a-z]+(?:/[a-z]+)?)`", resources):
            found.setdefault(resource.rpartition("/")[2], set()).update(re.findall(r"[a-z]+", verbs))
    return {resource: verbs - {"and", "its", "own"} for resource, verbs in found.items()}


def granted(roles: Iterable[Body]) -> dict[str, set[str]]:
    """Give what roles grant, as `documented` does."""
    found: dict[str, set[str]] = {}
    for rule in (rule for role in roles for rule in role["rules"]):
        for resource in rule["resources"]:
            found.setdefault(resource.rpartition("/")[2], set()).update(rule["verbs"])
    return found


@pytest.mark.cluster
def test_rights_are_listed_as_they_are_granted() -> None:
    """Whoever binds by hand, with rbac.create=false, misses nothing; whoever reviews sees all."""
    rendered = render()
    runner, lease = (rendered.one("Role", name) for name in ("towpath-runner", "towpath-operator-lease"))
    assert documented("The operator, in the whole cluster or in each runner namespace:") == granted(
        [rendered.one("ClusterRole"), lease]
    )
    assert documented("in its own namespace:") == granted([runner])


def test_all_kinds_are_listed_and_can_be_removed() -> None:
    """The row about CRDs, and the command that removes everything, leave none out."""
    (row,) = [line for line in PAGE.splitlines() if line.startswith("| CRDs ")]
    assert set(re.findall(r"`([a-z]+)`", row)) == PLURALS
    (command,) = [line for line in PAGE.splitlines() if line.startswith("kubectl delete crd ")]
    assert set(command.removeprefix("kubectl delete crd ").split()) == {f"{plural}.towpath.dev" for plural in PLURALS}


@pytest.mark.cluster
def test_nothing_of_the_cluster_is_needed() -> None:
    """With the values that the page names, everything is made in the release's namespace."""
    (line,) = [line for line in PAGE.splitlines() if "--skip-crds" in line and "scope=namespaces" in line]
    values = dict(pair.split("=") for pair in re.findall(r"--set ([a-zA-Z.]+=[a-z]+)", line))
    assert values == {"scope": "namespaces", "admissionPolicy.enabled": "false", "admissionWebhook.enabled": "false"}
    rendered = render(
        {"scope": "namespaces", "admissionPolicy": {"enabled": False}, "admissionWebhook": {"enabled": False}}
    )
    assert {body["kind"] for body in rendered.objects} <= NAMESPACED
    assert {body["metadata"]["namespace"] for body in rendered.objects} == {"towpath-system"}
