"""Follows runs for as long as somebody wants to know: lists, watches, and comes back after whatever breaks the watch.

A watch may end in order, in the middle of a line, with 410 as its answer or as an event in the stream. Nobody may miss
an end because of that: after each new list, whatever is gone since is told as gone.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from towpath.cluster.backoff import Backoff
from towpath.cluster.port import Body, Cluster, Event, EventType, Expired, Selector, Watch
from towpath.errors import NotFound, Refused, Unreachable

#: A refusal may pass, as when a role is just being granted or the authenticator is restarted: ten seconds or so.
_MOST_REFUSALS: Final = 8
_BACKOFF: Final = Backoff(first_seconds=0.05, most_seconds=5.0)
log = logging.getLogger("towpath.cluster")


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one run; a body of None says that it was deleted."""

    uid: str
    body: Body | None


class Follower:
    """One endless watch; iterate over `changes` in one thread, `stop` from any."""

    def __init__(
        self,
        cluster: Cluster,
        selector: Selector,
        *,
        wait: Callable[[float], object] | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._cluster, self._selector = cluster, selector
        self._stopped = threading.Event()
        self._wait = wait or self._stopped.wait
        self._chance = chance
        self._guard = threading.Lock()
        self._watch: Watch | None = None
        self._known: set[str] = set()  # UIDs

    def stop(self) -> None:
        """End the iteration, also while it waits for the API."""
        with self._guard:
            self._stopped.set()
            if self._watch is not None:
                self._watch.close()

    def note(self, uid: str) -> None:
        """Count a run that was just created as known, so that it is told as gone if the next list is without it."""
        with self._guard:
            self._known.add(uid)

    def changes(self) -> Iterator[Change]:
        """Give each run as it is now, then each change; ends after `stop`.

        Raises NotFound or Refused when the API goes on saying no; an API that is away is waited for.
        """
        version: str | None = None
        failures = refusals = 0
        while not self._stopped.is_set():
            try:
                if version is None:
                    with self._guard:
                        before = frozenset(self._known)  # what is created while the list is made may be missing in it
                    listing = self._cluster.list_runs(self._selector)
                    yield from self._listed(before, listing.items)
                    version = listing.resource_version
                    refusals = 0
                for event in self._events(version):
                    failures = refusals = 0
                    version = event.resource_version
                    if event.type is not EventType.BOOKMARK:
                        yield self._told(event)
            except Expired:
                version = None
            except (NotFound, Refused) as error:
                refusals += 1
                if refusals > _MOST_REFUSALS:
                    raise
                log.warning("Watching runs was refused; trying again. %s", error)
            except Unreachable as error:
                log.warning("Watching runs was interrupted; trying again. %s", error)
            if not self._stopped.is_set():  # also after an orderly end: a server that hangs up at once is not hammered
                self._wait(_BACKOFF.delay(failures, self._chance()))
                failures += 1

    def _events(self, version: str) -> Iterator[Event]:
        watch = self._cluster.watch_runs(self._selector, version)
        with self._guard:
            if self._stopped.is_set():
                return
            self._watch = watch
        try:
            with watch:
                yield from watch
        finally:
            with self._guard:
                self._watch = None

    def _listed(self, before: frozenset[str], items: tuple[Body, ...]) -> Iterator[Change]:
        now: dict[str, Body] = {item["metadata"]["uid"]: item for item in items}
        gone = before - now.keys()
        with self._guard:
            self._known = (self._known - gone) | now.keys()
        for uid in sorted(gone):
            yield Change(uid, None)
        for uid, item in now.items():
            yield Change(uid, item)

    def _told(self, event: Event) -> Change:
        uid: str = event.object["metadata"]["uid"]
        deleted = event.type is EventType.DELETED
        with self._guard:
            if deleted:
                self._known.discard(uid)
            else:
                self._known.add(uid)
        return Change(uid, None if deleted else event.object)
