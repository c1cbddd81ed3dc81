"""`flow.deploy(...)`: a flow's resources, made from its code and applied to a cluster.

The image is somebody else's work, a build pipeline's as a rule; what is applied says where in it the flow is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Unpack

from towpath import names
from towpath.errors import ConfigurationError
from towpath.schedules import Cron, Interval, RRule, Schedule
from towpath.schedules.resource import written
from towpath.schedules.zones import zone_named
from towpath.serving.deployment import to_deployment

if TYPE_CHECKING:
    from towpath.flows import Flow
    from towpath.serving.deployment import DeploymentOptions, ServedDeployment

#: Options of a deployment on one machine that the resource has no field for.
_UNKNOWN: Final = ("description", "version")


def deploy(  # noqa: PLR0917 each is given, by `Flow.deploy`
    flow: Flow[Any, Any],
    name: str | None,
    image: str | None,
    entrypoint: str | None,
    context: str | None,
    namespace: str | None,
    force: bool,
    **options: Unpack[DeploymentOptions],
) -> str:
    """Apply a Flow and a Deployment; give the Deployment's name. See `Flow.deploy`."""
    from towpath.cluster.connect import connect
    from towpath.cluster.console import Console

    made = manifests(flow, name, image, entrypoint, **options)
    cluster = connect(context=context, namespace=namespace)
    try:
        console = Console(cluster, cluster.namespace)
        applied = [console.apply(manifest, force=force) for manifest in made]
    finally:
        cluster.close()
    deployed: str = applied[-1]["metadata"]["name"]
    return deployed


def manifests(
    flow: Flow[Any, Any],
    name: str | None,
    image: str | None,
    entrypoint: str | None,
    **options: Unpack[DeploymentOptions],
) -> list[dict[str, Any]]:
    """Make the Flow and the Deployment.

    Raises:
        ConfigurationError: an option that cannot be, no image, or no place that the flow could be loaded from.
        ParameterError: parameters that do not fit the flow.
    """
    from towpath.cli.deploying import entrypoint_in_image
    from towpath.cli.manifests import deployment_manifest, flow_manifest

    for option in _UNKNOWN:
        if options.get(option) is not None:
            raise ConfigurationError(f"A Deployment in a cluster has no {option}; leave it out of `.deploy(...)`.")
    deployment = to_deployment(flow, name, **options)
    where = entrypoint or entrypoint_in_image(deployment.place.entrypoint)
    made = deployment_manifest(flow, name, deployment.parameters, sorted(deployment.tags))
    made["spec"] |= deployment.turns
    made["spec"] |= _said_of_schedules(deployment, chooses="missed_runs" in options)
    return [flow_manifest(flow, where, image), made]


def schedule_entry(schedule: Schedule) -> dict[str, Any]:
    """Write a schedule as an entry of a Deployment's `spec.schedules`.

    Raises:
        ConfigurationError: it is of another kind, or an interval with a fraction of a second.
    """
    entry: dict[str, Any] = {"name": names.slug(schedule.key)}
    match schedule:
        case Cron():
            entry |= {"cron": schedule.cron, "timezone": schedule.timezone}
            if not schedule.day_or:
                entry["dayOr"] = False
        case RRule():
            entry |= {"rrule": schedule.rrule, "timezone": schedule.timezone}
        case Interval():
            entry |= _interval(schedule)
        case _:
            raise ConfigurationError(f"A Deployment in a cluster knows Cron, Interval and RRule; got {schedule!r}.")
    entry |= {"parameters": dict(schedule.parameters) or None, "suspend": None if schedule.active else True}
    return {field: value for field, value in entry.items() if value is not None}


def _interval(schedule: Interval) -> dict[str, Any]:
    seconds = schedule.interval.total_seconds()  # type: ignore[union-attr] # made so when the schedule was
    if seconds != int(seconds):
        raise ConfigurationError(f"An interval in a cluster is whole seconds; got {seconds!r}.")
    entry: dict[str, Any] = {"intervalSeconds": int(seconds), "timezone": schedule.timezone}
    if (anchor := schedule.anchor_date) is not None:
        if anchor.tzinfo is None:
            anchor = anchor.replace(tzinfo=zone_named(schedule.timezone))
        entry["timezone"] = schedule.timezone or getattr(anchor.tzinfo, "key", None)
        entry["anchor"] = written(anchor)
    return entry


def _said_of_schedules(deployment: ServedDeployment, *, chooses: bool) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if deployment.schedules:
        said["schedules"] = [schedule_entry(schedule) for schedule in deployment.schedules]
    if deployment.paused:
        said["suspend"] = True
    if chooses:
        said["missedRunPolicy"] = deployment.missed_runs.value.capitalize()
    return said
