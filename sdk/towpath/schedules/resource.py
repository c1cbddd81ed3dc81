"""Schedules as a Deployment resource says them, and the runs that they make: for the operator and for the command line.

A run's name is made of deployment, schedule and time. So whoever makes it, and however often, the API server keeps one:
an operator that was killed after half of its work, a second one, or somebody who fills a gap by hand.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from towpath import names
from towpath.errors import ConfigurationError
from towpath.schedules.base import Schedule
from towpath.schedules.cron import Cron
from towpath.schedules.interval import Interval
from towpath.schedules.rrule import RRule

#: Fields of an entry of `spec.schedules` that say when it is due; by their values it is known whether it was edited.
_WHEN: Final = ("cron", "dayOr", "intervalSeconds", "anchor", "rrule", "timezone")
_KINDS: Final = ("cron", "intervalSeconds", "rrule")


def definition_of(entry: Mapping[str, Any]) -> str:
    """Give a hash of what an entry of `spec.schedules` says about when it is due."""
    return names.digest(_said(entry))


def schedule_of(entry: Mapping[str, Any]) -> Schedule:
    """Understand an entry of `spec.schedules`, as far as it says when runs are due.

    Raises:
        ConfigurationError: it cannot be understood, or is never due.
    """
    found = _understood(_said(entry))
    if isinstance(found, str):
        raise ConfigurationError(found)
    return found


def run_manifest(
    namespace: str, deployment: str, schedule: str, due: datetime, parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """Build the FlowRun that a schedule makes for a time; its name is the same for the same time.

    Args:
        namespace: of the Deployment.
        deployment: the Deployment's name.
        schedule: the schedule's name within it.
        due: when the run is due.
        parameters: the Deployment's, and the schedule's over them: what the run is given does not depend on when
            somebody edits either.
    """
    name = names.scheduled_run_name(deployment, schedule, due)
    labels = {
        names.LABEL_RUN: name,
        names.LABEL_ROOT_RUN: name,
        names.LABEL_DEPLOYMENT: deployment,
        names.LABEL_SCHEDULE: schedule,
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
    }
    spec: dict[str, Any] = {"deploymentRef": deployment, "scheduledTime": written(due)}
    if parameters:
        spec["parameters"] = dict(parameters)
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": names.API_VERSION, "kind": "FlowRun", "metadata": metadata, "spec": spec}


def written(due: datetime) -> str:
    """Write a time for people and machines: UTC, to the second where that is exact."""
    return due.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _said(entry: Mapping[str, Any]) -> str:
    return names.canonical_json({name: entry[name] for name in _WHEN if entry.get(name) is not None})


@functools.lru_cache(maxsize=8192)
def _understood(said: str) -> Schedule | str:
    """Give the schedule, or what is wrong with it; kept, because a rule that is never due takes long to find out."""
    import json

    entry: dict[str, Any] = json.loads(said)
    kinds = [kind for kind in _KINDS if kind in entry]
    if len(kinds) != 1:
        have = " and ".join(kinds) if kinds else "none"
        return f"A schedule says exactly one of cron, intervalSeconds and rrule; this one says {have}."
    zone = entry.get("timezone")
    try:
        if "cron" in entry:
            return Cron(entry["cron"], zone, entry.get("dayOr", True))
        if "rrule" in entry:
            return RRule(entry["rrule"], zone)
        return Interval(entry["intervalSeconds"], _anchor(entry.get("anchor")), zone)
    except ConfigurationError as error:
        return str(error)


def _anchor(text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text)
    except (ValueError, TypeError):
        raise ConfigurationError(
            f"A schedule's anchor must be a time such as 2026-01-31T09:00:00Z; got {text!r}."
        ) from None
