"""`towpath doctor`: says what is wrong with this machine and the cluster, and how to mend it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from towpath.cli import checks
from towpath.cli.checks import Finding
from towpath.cli.exits import Exit
from towpath.cli.output import Style, aligned, say, say_json, style_of
from towpath.cli.target import cluster_meant, is_cluster
from towpath.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse


def examine(asked: argparse.Namespace) -> int:
    """Check everything, and report."""
    found = list(_findings(asked))
    if asked.json:
        say_json(found)
    else:
        say(_report(found, style_of(sys.stdout)))
    return Exit.NOT_COMPLETED if any(one.passed is False for one in found) else Exit.OK


def _findings(asked: argparse.Namespace) -> Iterator[Finding]:
    wanted = is_cluster(asked)
    yield from checks.on_this_machine(with_cluster=wanted)
    if asked.local or not (wanted or _names_cluster()):
        said = "not looked at" if asked.local else "no kubeconfig names one: flows run on this machine"
        yield Finding("Cluster", None, said)
        return
    try:
        with cluster_meant(asked) as (_, console):
            yield from checks.in_cluster(console)
    except ConfigurationError as error:
        yield Finding("Cluster", False, str(error))


def _names_cluster() -> bool:
    from towpath.cluster import access, kubeconfig

    return any(file.is_file() for file in kubeconfig.paths(os.environ)) or access.in_pod(os.environ) is not None


def _report(found: list[Finding], style: Style) -> str:
    lines = aligned([(style.passed(one.passed), one.check, one.said) for one in found]).splitlines()
    out = []
    for line, one in zip(lines, found, strict=True):
        out.append(line)
        if one.cure and one.passed is not True:
            out.append(f"   → {one.cure}")
    return "\n".join(out)
