"""Waits for the ends of any number of runs with one watch, in one background thread that starts when it is needed."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from towpath.cluster.follow import Follower
from towpath.cluster.port import Body, Cluster, Selector
from towpath.errors import ClusterError, NotFound
from towpath.states import TERMINAL

End: TypeAlias = Body | ClusterError | None
"""How waiting for a run ended: its body in a terminal state; None: it was deleted; an error: nobody can know."""
log = logging.getLogger("towpath.cluster")


def has_ended(body: Mapping[str, Any]) -> bool:
    """Tell whether a run is in a terminal state."""
    state = (body.get("status") or {}).get("state") or {}
    return state.get("type") in TERMINAL


class Ends:
    """Calls back once for each run that is waited for, mostly from the watching thread."""

    def __init__(self, cluster: Cluster, selector: Selector, *, wait: Callable[[float], object] | None = None) -> None:
        self._cluster = cluster
        self._follower = Follower(cluster, selector, wait=wait)
        self._guard = threading.Lock()
        self._waiting: defaultdict[str, list[Callable[[End], None]]] = defaultdict(list)
        self._told: set[str] = set()  # UIDs of runs seen to end; not their bodies, of which a parent may have thousands
        self._thread: threading.Thread | None = None
        self._over: ClusterError | None = None

    def expect(self, run: Body, on_end: Callable[[End], None]) -> None:
        """Ask for the end of a run that exists.

        Args:
            run: the run as last seen; its metadata is enough.
            on_end: called once, with the run's body when it has ended, None when it was deleted, or an error.
        """
        uid: str = run["metadata"]["uid"]
        with self._guard:
            over = self._over
            told = uid in self._told
            if over is None:
                self._waiting[uid].append(on_end)
                self._follower.note(uid)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._follow, name="towpath-watch", daemon=True)
                    self._thread.start()
        if over is not None:
            on_end(over)
        elif told:  # it ended before anybody asked: the watch will not say so again
            self._look(run["metadata"]["name"], uid)

    def close(self, reason: ClusterError) -> None:
        """Stop watching; whoever still waits gets the reason."""
        self._follower.stop()
        self._give_up(reason)

    def _follow(self) -> None:
        try:
            for change in self._follower.changes():
                if change.body is None or has_ended(change.body):
                    self._tell(change.uid, change.body)
        except ClusterError as error:
            self._give_up(error)
        except Exception as error:
            log.exception("Watching runs failed.")
            self._give_up(ClusterError(f"Watching runs failed: {error!r}. The runs themselves go on."))

    def _look(self, name: str, uid: str) -> None:
        try:
            body: Body | None = self._cluster.get_run(name)
        except NotFound:
            body = None
        except ClusterError as error:
            self._tell(uid, error)
            return
        if body is None or body["metadata"]["uid"] != uid:
            self._tell(uid, None)
        elif has_ended(body):  # else it was started anew: the watch goes on telling
            self._tell(uid, body)

    def _tell(self, uid: str, end: End) -> None:
        with self._guard:
            self._told.add(uid)
            waiting = self._waiting.pop(uid, ())
        for on_end in waiting:
            on_end(end)

    def _give_up(self, reason: ClusterError) -> None:
        with self._guard:
            self._over = self._over or reason
            waiting, self._waiting = self._waiting, defaultdict(list)
        for on_end in (each for several in waiting.values() for each in several):
            on_end(reason)
