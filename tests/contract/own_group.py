"""Towpath's kinds in an API group that no operator knows.

A rule is tried with statuses that no operator would leave alone, in a cluster where one may be alive. The schema is the
same, word for word; only the group's name is not.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.contract.apiserver import ApiServer
from tests.kube import ApiError, Body

from towpath.api.v1alpha1 import KINDS
from towpath.names import GROUP, VERSION
from towpath_operator.crds import manifest_of

PLURALS = {kind.__name__: kind.crd.plural for kind in KINDS}


@dataclass(frozen=True, slots=True)
class OwnGroup:
    """Makes and changes objects of the kinds in a group of its own."""

    apiserver: ApiServer
    group: str
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def path(self, kind: str, name: str = "") -> str:
        """Give the path of a kind's objects in the session's namespace."""
        return self.apiserver.path(PLURALS[kind], name, group=f"/apis/{self.group}/{VERSION}")

    def create(self, body: Mapping[str, Any], name: str | None = None) -> Body:
        """Create what a builder built, under a name that nothing has, with the status that it has."""
        kind = body["kind"]
        metadata = {"name": name or f"{kind.lower()}-{next(self._numbers)}"}
        whole = {"apiVersion": f"{self.group}/{VERSION}", "kind": kind, "metadata": metadata, "spec": body["spec"]}
        made = self.apiserver.kube.call("POST", self.path(kind), whole, fieldValidation="Strict")
        if "status" in body:
            made = self.replace({**made, "status": body["status"]}, "status")
        return made

    def replace(self, body: Body, subresource: str = "") -> Body:
        """Replace an object, or its status."""
        path = self.path(body["kind"], body["metadata"]["name"])
        return self.apiserver.kube.call("PUT", f"{path}/{subresource}".rstrip("/"), body)


@contextmanager
def installed(apiserver: ApiServer) -> Iterator[OwnGroup]:
    """Install the kinds in a group of their own, and remove them with all their objects."""
    kube, group = apiserver.kube, f"contract-{secrets.token_hex(3)}.{GROUP}"
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    made = []
    try:
        for kind in KINDS:
            manifest = manifest_of(kind)
            manifest["metadata"]["name"] = f"{kind.crd.plural}.{group}"
            manifest["spec"]["group"] = group
            made.append(kube.create(definitions, manifest)["metadata"]["name"])
        for name in made:
            kube.wait(f"{definitions}/{name}", _served, what=f"CRD {name} is established")
        yield OwnGroup(apiserver, group)
    finally:
        for name in made:
            kube.delete(f"{definitions}/{name}")


def refusal_of(call: Callable[..., object], *arguments: object) -> ApiError:
    """Give the refusal that a call ends with, which must be that of a validation."""
    with pytest.raises(ApiError) as refused:
        call(*arguments)
    assert refused.value.status == 422, refused.value
    return refused.value


def _served(definition: Body | None) -> bool:
    conditions = (definition or {}).get("status", {}).get("conditions") or ()
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)
