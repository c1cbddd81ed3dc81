"""`towpath deploy`: makes a flow's resources from its code, for Git or right into a cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from towpath.cli import given
from towpath.cli.exits import Exit
from towpath.cli.files import read_text, write_text
from towpath.cli.manifests import deployment_manifest, flow_manifest
from towpath.cli.output import note, say, say_json
from towpath.cli.resources import ready_of
from towpath.cli.running import load
from towpath.cli.target import cluster_meant, flags_for
from towpath.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse

    from towpath.cluster.console import Console
    from towpath.cluster.port import Body, Cluster
    from towpath.flows import Flow

#: How long the operator may take to look at what was applied.
_PATIENCE_SECONDS: Final = 15.0
_LOOK_SECONDS: Final = 0.1


def deploy(asked: argparse.Namespace) -> int:
    """Make the Flow and the Deployment, and write or apply them."""
    if asked.force and not asked.apply:
        raise ConfigurationError("--force is for --apply.")
    flow = load(asked.flow)
    made = [
        flow_manifest(flow, asked.entrypoint or entrypoint_in_image(asked.flow), asked.image),
        deployment_manifest(flow, asked.name, _parameters(flow, asked), asked.tag),
    ]
    made[1]["spec"] |= _turns(asked)
    if asked.output:
        write_text(asked.output, as_yaml(made, asked.flow))
    if asked.apply:
        with cluster_meant(asked) as (cluster, console):
            return _apply(cluster, console, made, asked)
    if asked.json:
        say_json(made)
    elif asked.output:
        note(f"{asked.output} is written. To apply it: kubectl apply -f {asked.output}")
    else:
        say(as_yaml(made, asked.flow).rstrip())
    return Exit.OK


def entrypoint_in_image(entrypoint: str) -> str:
    """Give the entrypoint as the image has it, if its working directory looks like the one here.

    Raises:
        ConfigurationError: it cannot, because the file is elsewhere.
    """
    place, _, function = entrypoint.partition(":")
    if not place.endswith(".py"):
        return entrypoint
    try:
        inside = Path(place).absolute().resolve().relative_to(Path.cwd().resolve())
    except ValueError as error:
        raise ConfigurationError(
            f"{place!r} is not below the working directory, so it cannot be told where it is in the image: say it with"
            f" --entrypoint path/in/image.py:{function}."
        ) from error
    return f"{inside.as_posix()}:{function}"


def as_yaml(manifests: Sequence[Mapping[str, Any]], source: str) -> str:
    """Write manifests as YAML.

    Args:
        manifests: the objects.
        source: what they are made from.

    Raises:
        ConfigurationError: there is no PyYAML.
    """
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "Writing YAML needs the package 'yaml': pip install 'towpath[cluster]'. --json works without, and kubectl"
            " takes that as well."
        ) from error

    class Dumper(yaml.SafeDumper):
        """Writes texts of several lines as they read."""

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, text)
    Dumper.ignore_aliases = lambda *_: True  # type: ignore[method-assign] # some readers of manifests know no anchors
    written = yaml.dump_all(
        manifests, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120, explicit_start=True
    )
    return f"# Made from {source} by `towpath deploy`.\n{written}"


def _turns(asked: argparse.Namespace) -> dict[str, Any]:
    """Read what is said about whose turn it is."""
    from towpath.serving.turns import ConcurrencyLimitConfig, said_of_turns

    limit: Any = asked.concurrency_limit
    if asked.on_conflict is not None:
        if limit is None:
            raise ConfigurationError("--on-conflict goes with --concurrency-limit.")
        limit = ConcurrencyLimitConfig(limit, asked.on_conflict.replace("-", "_"))
    said = {"limits": asked.limit or None, "work_queue_name": asked.work_queue, "priority": asked.priority}
    return said_of_turns(said | {"concurrency_limit": limit})


def _parameters(flow: Flow[Any, Any], asked: argparse.Namespace) -> dict[str, Any]:
    """Read the Deployment's parameters; what is missing each run has to give."""
    from towpath.parameters import to_json

    schema = flow.parameter_schema()
    parameters = given.parameters(asked.param, asked.params_json, schema, read_text)
    required = set(schema.get("required") or ())
    given.check(flow.name, schema, parameters, preset=required)
    if required <= parameters.keys():
        flow.validate_parameters(parameters)
    return to_json(parameters, flow.name)


def _apply(cluster: Cluster, console: Console, made: Sequence[Body], asked: argparse.Namespace) -> int:
    applied = [console.apply(manifest, force=asked.force) for manifest in made]
    if asked.json:
        say_json(applied)
    flow, deployment = (body["metadata"]["name"] for body in applied)
    for look in (lambda: console.flow(flow), lambda: cluster.get_deployment(deployment)):
        body, ready, message = _looked_at(look)
        what = f"{body['kind']} {body['metadata']['name']!r}"
        if ready is None:
            note(f"{what} is applied, but the operator has not looked at it: `towpath doctor` says why.")
            return Exit.TIMED_OUT
        if not ready:
            note(f"{what} is applied, but cannot be run: {message}")
            return Exit.NOT_COMPLETED
        if not asked.json:
            say(f"{what} is applied in namespace {console.namespace!r}.")
    if not asked.json:
        note(f"To run it: towpath deployments run {deployment} {flags_for(asked)}")
    return Exit.OK


def _looked_at(
    look: Callable[[], Body],
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> tuple[Body, bool | None, str | None]:
    """Wait until the operator has said whether something can be run."""
    until = monotonic() + _PATIENCE_SECONDS
    while True:
        body = look()
        ready, message = ready_of(body)
        if ready is not None or monotonic() > until:
            return body, ready, message
        sleep(_LOOK_SECONDS)
