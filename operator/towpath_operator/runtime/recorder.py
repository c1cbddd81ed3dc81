"""Events for people who look with `kubectl describe`: told once, in the background, and never missed by the machine."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

from towpath.errors import ClusterError
from towpath_operator.runtime.client import Client
from towpath_operator.runtime.resources import Resource

log = logging.getLogger(__name__)

#: The same words about the same object are not repeated within this time; the API server forgets Events after an hour.
_QUIET_SECONDS: Final = 1800.0
_REMEMBERED: Final = 2048
_WAITING: Final = 256


class EventRecorder:
    """Sends core/v1 Events one after the other; when too many wait, new ones are dropped.

    Args:
        resource: the kind Event.
        component: who is speaking.
        clock: Unix time in seconds.
    """

    def __init__(
        self, client: Client, resource: Resource, component: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._resource = resource
        self._component = component
        self._clock = clock
        self._instance = os.environ.get("HOSTNAME") or socket.gethostname()
        self._waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_WAITING)
        self._said: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    def record(self, regarding: Mapping[str, Any], reason: str, message: str, *, warning: bool = False) -> None:
        """Take an Event about an object (its apiVersion, kind, namespace, name and uid); never fails, never waits."""
        key = (str(regarding.get("uid")), reason, message)
        now = self._clock()
        if now - self._said.get(key, -_QUIET_SECONDS) < _QUIET_SECONDS or self._waiting.full():
            return
        self._said[key] = now
        self._said.move_to_end(key)
        if len(self._said) > _REMEMBERED:
            self._said.popitem(last=False)
        moment = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._waiting.put_nowait(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {
                    "name": f"{regarding['name']}.{time.time_ns():x}",
                    "namespace": regarding["namespace"],
                },
                "involvedObject": dict(regarding),
                "type": "Warning" if warning else "Normal",
                "reason": reason,
                "message": message[:1024],
                "source": {"component": self._component},
                "reportingComponent": self._component,
                "reportingInstance": self._instance,
                "firstTimestamp": moment,
                "lastTimestamp": moment,
                "count": 1,
            }
        )

    async def run(self) -> NoReturn:
        """Send for ever; what cannot be sent is let go."""
        while True:
            event = await self._waiting.get()
            try:
                await self._client.create(self._resource, event["metadata"]["namespace"], event)
            except ClusterError as error:
                log.debug("An Event could not be sent: %s", error)
