"""What Kubernetes complains of in Events: why a Job cannot make its pod, and why a node cannot prepare it.

Neither Job nor pod says so in its status: a quota, a Secret that a volume names, a service account that is not there.
Events are not watched, for there are very many and few are of use. They are listed when a run waits that nothing else
explains: one list a namespace for all runs that ask, and so seldom that it takes a twentieth of the time at most.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

from towpath.errors import ClusterError
from towpath_operator.kinds import EVENTS
from towpath_operator.reconcile.explaining import complaint_in
from towpath_operator.reconcile.observed import Complaint
from towpath_operator.runtime.client import Client

log = logging.getLogger(__name__)

#: What is common, and said by the status of Job or pod too.
_COMMON: Final = ("BackoffLimitExceeded", "BackOff", "FailedScheduling", "Unhealthy")
_LISTED: Final = dataclasses.replace(
    EVENTS, field_selector=",".join(["type=Warning", *(f"reason!={reason}" for reason in _COMMON)])
)
#: How long a list is good for, in seconds, and how many times the time that it took.
_FRESH_SECONDS: Final = 5.0
_FRESH_TIMES: Final = 20.0
#: How long nobody tries again after Events could not be read.
_DENIED_SECONDS: Final = 300.0


class Complaints:
    """Complaints about Jobs and pods, by namespace.

    Args:
        clock: seconds, from any beginning.
    """

    def __init__(self, client: Client, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._known: dict[str, tuple[float, Mapping[str, Complaint]]] = {}
        self._listing: dict[str, asyncio.Lock] = {}

    async def of(self, namespace: str) -> Mapping[str, Complaint]:
        """Give the last complaint about each Job and pod of a namespace, by UID; what cannot be read is none."""
        async with self._listing.setdefault(namespace, asyncio.Lock()):
            good_until, known = self._known.get(namespace, (0.0, {}))
            began = self._clock()
            if namespace in self._known and began < good_until:
                return known
            found: dict[str, Complaint] = {}
            fresh = _FRESH_SECONDS
            try:
                async for events, _ in self._client.pages(_LISTED, namespace):
                    for event in events:
                        uid, complaint = complaint_in(event)
                        if complaint is not None and (uid not in found or found[uid].at <= complaint.at):
                            found[uid] = complaint
            except ClusterError as error:
                fresh = _DENIED_SECONDS
                log.warning("Events in namespace %r cannot be read, which tell why runs wait: %s", namespace, error)
            ended = self._clock()
            self._known[namespace] = (ended + max(fresh, _FRESH_TIMES * (ended - began)), found)
            return found
