"""The largest FlowRun that the API server takes, as ASCII: what the budget of 32 KiB has to hold."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from tests.builders import make_flowrun

from towpath import limits, names
from towpath.api.v1alpha1 import FlowRun
from towpath.api.v1alpha1.common import MAX_LIMITS
from towpath_operator.crds import schema_of

LONGEST_NAME = "n" * 63
MICROSECONDS = "2026-12-31T23:59:59.999999Z"


def largest(schema: dict[str, Any]) -> Any:
    """Build the largest value that a schema lets through, as ASCII."""
    if "enum" in schema:
        return max(schema["enum"], key=len)
    match schema["type"]:
        case "object":
            return {name: largest(field) for name, field in schema["properties"].items()}
        case "array":
            items = [largest(schema["items"]) for _ in range(schema["maxItems"])]
            for key in schema.get("x-kubernetes-list-map-keys", ()):
                for number, item in enumerate(items):
                    item[key] = f"{number}{item[key][1:]}"
            return items
        case "integer":
            return schema["maximum"]
        case "string" if schema.get("format") == "date-time":
            return MICROSECONDS
        case "string":
            return "x" * schema["maxLength"]
    raise AssertionError(f"no largest value for {schema}")


def largest_child_run() -> dict[str, Any]:
    """Build a run under a parent, with the longest names, all labels and the largest parameters that a run may have."""
    parent = make_flowrun(LONGEST_NAME)
    labels = (
        names.LABEL_PARENT,
        names.LABEL_ROOT_RUN,
        names.LABEL_FLOW,
        names.LABEL_DEPLOYMENT,
        names.LABEL_MANAGED_BY,
    )
    room = names.MAX_PARAMETERS_BYTES - len('{"p":""}')
    answer = limits.ANSWERS_BYTES - len('[{"pause":"p","input":{"a":""}}]')
    return make_flowrun(
        LONGEST_NAME,
        namespace=LONGEST_NAME,
        parent=parent,
        labels=dict.fromkeys(labels, LONGEST_NAME),
        flow_ref=LONGEST_NAME,
        parameters={"p": "x" * room},
        spec={
            "parent": {"name": LONGEST_NAME, "uid": parent["metadata"]["uid"], "call": "c" * 10, "depth": 20},
            "limits": [f"{number}{LONGEST_NAME[1:]}" for number in range(MAX_LIMITS)],
            "queue": LONGEST_NAME,
            "answers": [{"pause": "p", "input": {"a": "x" * answer}}],
        },
    )


def bytes_of(body: Any) -> int:
    """Count an object's bytes as the API server stores it."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return (
        len(text.encode()) + sum(5 * text.count(mark) for mark in "<>&") + 3 * len(re.findall("[\u2028\u2029]", text))
    )


def largest_status(ending: Literal["inline", "ref", "error", "pause"]) -> dict[str, Any]:
    """Build the largest status with a result in place, with one elsewhere, with an error, or of a run that waits."""
    status: dict[str, Any] = largest(schema_of(FlowRun)["properties"]["status"])
    if ending == "pause":
        status["state"]["type"] = "PAUSED"
        del status["result"], status["error"]
        return status
    del status["pause"]
    if ending == "error":
        del status["result"]
    else:
        del status["error"], status["result"]["ref" if ending == "inline" else "inline"]
    return status
