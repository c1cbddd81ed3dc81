"""Values in Secrets that automations name: read when they are needed, kept for half a minute, never shown.

The operator may read the Secrets whose names the chart's value `automations.secretNames` lists, and no others.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol

from towpath.errors import ClusterError, TowpathError
from towpath_operator.kinds import SECRETS
from towpath_operator.reconcile.observed import Body
from towpath_operator.reconcile.reading import mapping, mappings, text
from towpath_operator.runtime.client import ApiError
from towpath_operator.runtime.resources import Resource

_KEPT_SECONDS: Final = 30.0


class SecretError(TowpathError):
    """A value cannot be had; the words say why and what to do, and hold nothing of it."""


class Source(Protocol):
    """What reads objects; `Client` is one."""

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any]:
        """Read one object."""
        ...


class Secrets:
    """Reads values.

    Args:
        source: where from.
        clock: seconds of any clock that only goes forward.
    """

    def __init__(self, source: Source, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._kept: dict[tuple[str, str], tuple[float, Mapping[str, Any] | SecretError]] = {}

    async def value(self, namespace: str, reference: Mapping[str, Any]) -> str:
        """Give the value of a key.

        Args:
            namespace: of the Secret.
            reference: its `name`, and a `key` of it.

        Raises:
            SecretError: there is no such Secret or key, the operator may not read it, or it holds no text.
        """
        name, key = text(reference, "name"), text(reference, "key")
        data = await self._data(namespace, name)
        if key not in data:
            raise SecretError(f"Secret {name!r} in namespace {namespace!r} has no key {key!r}. Add it.")
        try:
            return base64.b64decode(data[key]).decode().strip()
        except (binascii.Error, UnicodeDecodeError, TypeError):
            raise SecretError(f"The key {key!r} of Secret {name!r} in namespace {namespace!r} is no text.") from None

    def forget(self, namespace: str) -> None:
        """Let the Secrets of a namespace be read again: what was read of them may be old."""
        self._kept = {place: read for place, read in self._kept.items() if place[0] != namespace}

    async def problem_of(self, automation: Body) -> str:
        """Say why a Secret that an automation names cannot be read; empty if all can."""
        namespace = text(automation, "metadata", "namespace")
        for reference in references(automation):
            try:
                await self.value(namespace, reference)
            except SecretError as error:
                return str(error)
        return ""

    async def _data(self, namespace: str, name: str) -> Mapping[str, Any]:
        now = self._clock()
        kept = self._kept.get((namespace, name))
        if kept is None or now - kept[0] > _KEPT_SECONDS:
            kept = self._kept[namespace, name] = (now, await self._read(namespace, name))
        if isinstance(kept[1], SecretError):
            raise SecretError(str(kept[1]))
        return kept[1]

    async def _read(self, namespace: str, name: str) -> Mapping[str, Any] | SecretError:
        try:
            return mapping(await self._source.get(SECRETS, namespace, name), "data")
        except ApiError as error:
            if error.status == 404:
                return SecretError(f"There is no Secret {name!r} in namespace {namespace!r}. Make it.")
            if error.status == 403:
                return SecretError(
                    f"The operator may not read Secret {name!r} in namespace {namespace!r}: add {name!r} to the chart's"
                    " value automations.secretNames, or let the operator's service account `get` it by a Role of your"
                    " own."
                )
            raise SecretError(f"Secret {name!r} in namespace {namespace!r} could not be read: {error}") from error
        except ClusterError as error:
            raise SecretError(f"Secret {name!r} in namespace {namespace!r} could not be read: {error}") from error


def references(automation: Body) -> Iterator[Mapping[str, Any]]:
    """Give every reference to a key of a Secret in an automation's spec."""
    for action in mappings(automation, "spec", "actions"):
        webhook = mapping(action, "webhook")
        found = [mapping(webhook, "urlFrom", "secretKeyRef"), mapping(webhook, "signingSecretRef")]
        found += [mapping(header, "secretKeyRef") for header in mappings(webhook, "headers")]
        yield from (one for one in found if one)
