"""The chart as tests see it: rendered by the real helm, taken apart into objects."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster import tools
from tests.cluster.settings import in_ci, instance

CHART = Path(__file__).resolve().parents[2] / "helm" / "towpath"
RELEASE = "towpath"
NAMESPACE = "towpath-system"
Body = dict[str, Any]


def tool(name: str) -> Path:
    """Find a program that the test cluster brings, or the machine's own; without one the test skips, but fails in CI."""
    built = tools.installed(instance())
    found = shutil.which(name, path=os.pathsep.join([*([str(built)] if built else []), os.environ.get("PATH", "")]))
    if found:
        return Path(found)
    reason = f"{name} is not here; `make cluster-up` brings it"
    if in_ci():
        pytest.fail(reason)
    pytest.skip(reason)


def run(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, whatever that is."""
    return subprocess.run([tool(program), *arguments], capture_output=True, text=True, check=False)


@dataclass(frozen=True, slots=True)
class Rendered:
    """The objects that the chart makes out of some values."""

    objects: tuple[Body, ...]

    def of(self, kind: str) -> list[Body]:
        """Give the objects of a kind, in the chart's order."""
        return [body for body in self.objects if body["kind"] == kind]

    def one(self, kind: str, name: str | None = None) -> Body:
        """Give the only object of a kind, or the only one of that name."""
        (found,) = [body for body in self.of(kind) if name in (None, body["metadata"]["name"])]
        return found


def arguments(values: Body) -> list[str]:
    """Write values as helm's command line takes them."""
    return [word for key, value in values.items() for word in ("--set-json", f"{key}={json.dumps(value)}")]


def render(
    values: Body | None = None, *, show_only: Sequence[str] = (), release: str = RELEASE, namespace: str = NAMESPACE
) -> Rendered:
    """Render the chart.

    Args:
        values: over the chart's own.
        show_only: templates to render, such as "templates/runner.yaml"; all by default.
        release: the release's name.
        namespace: the release's namespace.
    """
    only = [word for template in show_only for word in ("--show-only", template)]
    done = run("helm", "template", release, CHART, "--namespace", namespace, *only, *arguments(values or {}))
    assert done.returncode == 0, done.stderr
    return Rendered(tuple(body for body in yaml.safe_load_all(done.stdout) if body))
