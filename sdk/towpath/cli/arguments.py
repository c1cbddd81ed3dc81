"""Arguments that several verbs take."""

from __future__ import annotations

from typing import Final

from towpath.cli.words import flag, many, place, value

JSON: Final = flag("--json", help="print JSON, for programs")
CONTEXT: Final = value("--context", metavar="NAME", help="context of the kubeconfig; the current one by default")
NAMESPACE: Final = value(
    "-n", "--namespace", metavar="NAME", help="namespace; TOWPATH_NAMESPACE or the context's own by default"
)
#: For verbs that know both places.
TARGET: Final = (
    flag("--cluster", help="the cluster of the kubeconfig, not this machine; -n and --context say so as well"),
    CONTEXT,
    NAMESPACE,
    flag("--local", help="this machine, even if TOWPATH_TARGET=cluster is set"),
)
#: For verbs that make sense in a cluster only.
IN_CLUSTER: Final = (CONTEXT, NAMESPACE)
PARAMETERS: Final = (
    many(
        "-p",
        "--param",
        metavar="NAME=VALUE",
        help="a parameter; the value is read as JSON (5, true, null, [1, 2]) where that fits the flow, else as text",
    ),
    value(
        "--params-json",
        metavar="JSON",
        help="all parameters as a JSON object, or as @FILE that holds one (@- is standard input); -p goes over it",
    ),
)
FLOW_FILE: Final = place(
    "flow", "the flow: path/file.py:function or package.module:function", metavar="FILE:FLOW", completes="file"
)
RUN: Final = place("run", "name or id of the run, or the beginning of either if it fits one run only")
TIMEOUT: Final = value(
    "--timeout", metavar="SECONDS", type=float, help="stop waiting after so long (exit code 6); the run goes on"
)
