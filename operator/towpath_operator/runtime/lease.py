"""Which of several replicas works: the one that holds the Lease (coordination.k8s.io/v1), and renews it in time.

Nobody's clock is compared with anybody else's. A follower watches the Lease change; once it has seen no change for the
Lease's whole duration by its own clock, it takes it. The holder stops believing in it well before that, counted from
before its last renewal was sent: so there is no moment at which two believe, however slow the network or long a pause.
`is_held` is asked before each write. What was sent just before and arrives late finds a changed `resourceVersion`, or a
name that is taken.

A Lease that is missing may have been deleted, and still be believed in, even by somebody who has made it since it was
last seen missing. So whoever finds it missing makes it, in nobody's name, and all wait for it as for one that is held.

The rules are those of client-go's leader election; its documentation names the trap that they avoid, clocks that
differ in rate.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Never

from towpath.errors import ClusterError, TowpathError
from towpath_operator.reconcile.reading import integer, text
from towpath_operator.runtime.client import ApiError, Client
from towpath_operator.runtime.resources import Resource

LEASES: Final = Resource("coordination.k8s.io", "v1", "leases", "Lease")
_AGAIN_SECONDS: Final = 0.5  # after trouble
_NOBODY: Final = "nobody-yet"  # holds a Lease that was just made; no identity of a process
log = logging.getLogger(__name__)


class LeaseLostError(TowpathError):
    """Somebody else works now, or may: this process has to end, and to begin again as a follower."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Seconds that replicas agree on: another takes over at most `duration + 2 * every` after the holder has gone."""

    duration: int = 10
    """How long others leave alone a Lease that they do not see renewed."""
    believed: float = 8.0
    """How long its holder believes in it after it was renewed; below `duration`."""
    every: float = 2.0
    """How often it is renewed, or looked at."""
    patience: float = 2.5
    """How long the API server's answer is waited for; twice that is less than is left before belief ends."""


def boot_time() -> float:
    """Give seconds on a clock that never jumps, and does not stand still while the machine sleeps, where there is one.

    On Linux that is CLOCK_BOOTTIME; elsewhere the monotonic clock.
    """
    return time.clock_gettime(_BOOT_CLOCK)


_BOOT_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Lease:
    """This process's part in a Lease.

    Args:
        client: asks the API server; one of its own, that nothing holds up.
        namespace: where the Lease is.
        name: of the Lease.
        identity: of this process. One that comes back under the same identity, as a container that is restarted in its
            pod, has the Lease back at once: so it must be unique among those that live.
        terms: the same in all replicas.
        clock: seconds that never jump.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        identity: str,
        *,
        terms: Terms = Terms(),
        clock: Callable[[], float] = boot_time,
    ) -> None:
        self.held = asyncio.Event()
        """Set once it is ours; if it is lost, `run` ends."""
        self._client, self._namespace, self._name = client, namespace, name
        self._identity, self._terms, self._clock = identity, terms, clock
        self._until = float("-inf")  # when belief in it ends
        self._seen: tuple[str | None, float] = (None, 0.0)  # the version that was seen last, and since when
        self._holder = ""
        self._spec: dict[str, Any] = {}  # as we wrote it last

    def is_held(self) -> bool:
        """Tell whether nobody else can have it at this moment."""
        return self._clock() < self._until

    async def run(self) -> Never:
        """Wait for the Lease, take it, and keep it.

        Raises:
            LeaseLostError: it was ours, and is not any more.
        """
        while True:
            pause = self._terms.every
            try:
                async with asyncio.timeout(self._terms.patience):
                    await self._look()
            except (ClusterError, TimeoutError) as error:
                why = str(error) or f"no answer within {self._terms.patience:g} s"
                log.warning("The Lease %s/%s cannot be seen to: %s.", self._namespace, self._name, why.rstrip("."))
                pause = _AGAIN_SECONDS
            if self.held.is_set() and not self.is_held():
                raise LeaseLostError(
                    f"The Lease {self._namespace}/{self._name} was not renewed in time: another replica may work now."
                )
            await asyncio.sleep(pause)

    async def release(self) -> None:
        """Give it up, so that another need not wait; to be called when nothing will be written any more."""
        if not self.is_held():
            return
        self._until = float("-inf")
        try:
            await self._write({**self._spec, "holderIdentity": "", "leaseDurationSeconds": 1})
        except (ClusterError, _OvertakenError) as error:
            log.info("The Lease could not be given up, and runs out by itself: %s", error)

    async def _look(self) -> None:
        began = self._clock()
        if self.is_held():
            try:
                await self._take({**self._spec, "renewTime": _now()}, began)
            except _OvertakenError:
                self._note(await self._read(), began)  # touched by somebody: let us see by whom
                if self._holder != self._identity:
                    self._until = float("-inf")
            return
        found = await self._read()
        self._note(found, began)
        if found is None:
            await self._create(began)
            return
        left_alone = integer(found, "spec", "leaseDurationSeconds") or self._terms.duration
        if self._holder not in {"", self._identity} and began - self._seen[1] < left_alone:
            return
        with contextlib.suppress(_OvertakenError):  # another was faster
            await self._take(self._first_spec((integer(found, "spec", "leaseTransitions") or 0) + 1), began)

    def _note(self, lease: Mapping[str, Any] | None, now: float) -> None:
        version, holder = text(lease, "metadata", "resourceVersion"), text(lease, "spec", "holderIdentity")
        if version != self._seen[0]:
            self._seen = (version, now)
        if holder != self._holder and holder not in {"", _NOBODY, self._identity}:
            log.info("%s holds the Lease %s/%s.", holder, self._namespace, self._name)
        self._holder = holder

    async def _read(self) -> dict[str, Any] | None:
        try:
            return await self._client.get(LEASES, self._namespace, self._name)
        except ApiError as error:
            if error.status != 404:
                raise
            return None

    async def _create(self, began: float) -> None:
        """Make the Lease in nobody's name; who made it may believe in it no sooner than any other."""
        spec = {**self._first_spec(0), "holderIdentity": _NOBODY}
        metadata = {"name": self._name, "namespace": self._namespace}
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        try:
            self._note(await self._client.create(LEASES, self._namespace, body), began)
        except ApiError as error:
            if error.status != 409:
                raise

    async def _take(self, spec: dict[str, Any], began: float) -> None:
        self._got(await self._write(spec), spec, began)

    async def _write(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        patch: list[Mapping[str, Any]] = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": self._seen[0]},
            {"op": "add", "path": "/spec", "value": spec},
        ]
        try:
            return await self._client.patch(LEASES, self._namespace, self._name, patch)
        except ApiError as error:
            if error.status in {404, 409, 422}:
                raise _OvertakenError from error
            raise

    def _got(self, lease: Mapping[str, Any], spec: dict[str, Any], began: float) -> None:
        self._note(lease, began)
        self._spec, self._until = spec, began + self._terms.believed
        if not self.held.is_set():
            log.info("This replica works now: %s holds the Lease %s/%s.", self._identity, self._namespace, self._name)
            self.held.set()

    def _first_spec(self, transitions: int) -> dict[str, Any]:
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._terms.duration,
            "acquireTime": _now(),
            "renewTime": _now(),
            "leaseTransitions": transitions,
        }


class _OvertakenError(Exception):
    """The Lease is not as it was seen last."""


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
