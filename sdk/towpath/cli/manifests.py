"""The Flow and the Deployment of a flow, made from its code. Pure."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from towpath import names
from towpath.errors import ConfigurationError

if TYPE_CHECKING:
    from towpath.flows import Flow

#: What a Flow takes of a description.
_DESCRIPTION: Final = 4096


def flow_manifest(flow: Flow[Any, Any], entrypoint: str, image: str | None) -> dict[str, Any]:
    """Make the Flow of a flow.

    Args:
        flow: the flow.
        entrypoint: where it is in the image.
        image: holds the code; None for the one that the flow names itself.

    Raises:
        ConfigurationError: there is no image.
    """
    from towpath.cluster.children import template_of

    chosen = image or flow.image
    if not chosen:
        raise ConfigurationError(
            f"Flow {flow.name!r} names no image: say which one holds its code, with --image registry/image:tag or"
            " @flow(image=…)."
        )
    spec: dict[str, Any] = {"image": chosen, "entrypoint": entrypoint}
    if flow.description:
        spec["description"] = inspect.cleandoc(flow.description)[:_DESCRIPTION]
    spec["parameters"] = flow.parameter_schema()
    if flow.timeout_seconds is not None:
        spec["timeoutSeconds"] = math.ceil(flow.timeout_seconds)
    if flow.retries:
        spec["retries"] = flow.retries
    if flow.infra_retries is not None:
        spec["infraRetries"] = flow.infra_retries
    if template := template_of(flow.template, {"resources": flow.resources} if flow.resources else {}):
        spec["template"] = template
    return _object("Flow", names.slug(flow.name), spec)


def deployment_manifest(
    flow: Flow[Any, Any], name: str | None, parameters: Mapping[str, Any], tags: Sequence[str]
) -> dict[str, Any]:
    """Make the Deployment of a flow.

    Args:
        flow: the flow.
        name: of the Deployment; None for the flow's.
        parameters: as JSON values.
        tags: of every run.

    Raises:
        ConfigurationError: the name cannot be one.
    """
    if name is not None and names.slug(name) != name:
        raise ConfigurationError(
            f"A Deployment's name is at most 63 lower-case letters, digits and '-'; got {name!r}. Use"
            f" {names.slug(name)!r}, for example."
        )
    spec: dict[str, Any] = {"flowRef": names.slug(flow.name)}
    if parameters:
        spec["parameters"] = dict(parameters)
    if tags:
        spec["tags"] = sorted(set(tags))
    if flow.result_storage:
        spec["resultStorage"] = flow.result_storage
    return _object("Deployment", name or names.slug(flow.name), spec)


def _object(kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": dict(spec)}
