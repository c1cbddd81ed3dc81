"""Follows the FlowRun that this process is an attempt of: how a pod hears what is wanted of it while it runs.

    watch = own_watch()                          # one for the whole process; nothing is asked of the API yet
    stop = watch.subscribe(lambda body: …)       # now it is: called at once with what is known, then at each change

One thread and one watch serve all who want to know; both begin with the first of them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable
from typing import Final, TypeAlias

from towpath.cluster.follow import Follower
from towpath.cluster.port import Body, Cluster, Selector
from towpath.errors import ClusterError, PauseError

#: Called with the FlowRun as it is now; None: it was deleted.
Listener: TypeAlias = Callable[[Body | None], None]
#: Wait before following again after the API has said no for good; a role may be given back.
_REFUSED_SECONDS: Final = 10.0
log = logging.getLogger("towpath.cluster")


class OwnRunWatch:
    """The FlowRun of one process, as it changes.

    Args:
        cluster: where it is.
        name: of the FlowRun.
        uid: of the FlowRun; another of the same name is none of its business.
    """

    def __init__(self, cluster: Cluster, name: str, uid: str) -> None:
        self._cluster, self._name, self._uid = cluster, name, uid
        self._guard, self._telling = threading.Lock(), threading.RLock()
        self._listeners: list[Listener] = []
        self._latest: Body | None = None
        self._is_told = False  # whether anything is known yet
        self._follower: Follower | None = None
        self._closed = threading.Event()

    def latest(self) -> Body | None:
        """Give the FlowRun as last seen; None: it was not seen yet, or is gone. Asks nothing of the API."""
        with self._guard:
            return self._latest

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Have a function called with the FlowRun, if it is known, and at each change; gives what ends that.

        It is called in the watching thread, which has to go on: it may take a note and wake somebody, no more.
        """
        with self._telling:  # nobody hears of what was after what is
            with self._guard:
                self._listeners.append(listener)
                is_told, body = self._is_told, self._latest
                if self._follower is None and not self._closed.is_set():
                    self._follower = self._new_follower()
                    threading.Thread(target=self._follow, name="towpath-own-run", daemon=True).start()
            if is_told:
                self._call(listener, body)

        def stop() -> None:
            with self._guard, contextlib.suppress(ValueError):
                self._listeners.remove(listener)

        return stop

    def close(self) -> None:
        """Stop following."""
        self._closed.set()
        with self._guard:
            follower = self._follower
        if follower is not None:
            follower.stop()

    def _follow(self) -> None:
        while not self._closed.is_set():
            follower = self._follower
            assert follower is not None
            try:
                for change in follower.changes():
                    if change.uid == self._uid:
                        self._tell(change.body)
            except ClusterError as error:
                log.warning("What is wanted of this run is not heard, and asked again. %s", error)
            except Exception:
                log.exception("Following this run failed; it is tried again.")
            if not self._closed.wait(_REFUSED_SECONDS):
                with self._guard:
                    self._follower = self._new_follower()

    def _new_follower(self) -> Follower:
        follower = Follower(self._cluster, Selector(name=self._name))
        follower.note(self._uid)  # told as gone if the first list is without it
        return follower

    def _tell(self, body: Body | None) -> None:
        with self._telling:
            with self._guard:
                self._latest, self._is_told = body, True
                listeners = tuple(self._listeners)
            for listener in listeners:
                self._call(listener, body)

    @staticmethod
    def _call(listener: Listener, body: Body | None) -> None:
        try:
            listener(body)
        except Exception:
            log.exception("A listener to changes of this run failed.")


def own_watch() -> OwnRunWatch:
    """Give the watch of the run that this process is an attempt of, or works for.

    Raises:
        PauseError: it is for none.
        ConfigurationError: its environment does not say how to reach the cluster.
    """
    global _of_process
    with _guard:
        if _of_process is None:
            _of_process = _made()
        return _of_process


def close_own_watch() -> None:
    """Stop following, if that has begun."""
    with _guard:
        watch = _of_process
    if watch is not None:
        watch.close()


def _made() -> OwnRunWatch:
    from towpath.cluster.launcher import launcher_of_process

    if (launcher := launcher_of_process()) is not None:
        return OwnRunWatch(launcher.cluster, launcher.own.name, launcher.own.uid)
    from towpath.cluster.connect import connect
    from towpath.cluster.own import own_run

    own = own_run(os.environ)
    if own is None:
        raise PauseError("This process is no run's in a cluster, so there is nothing to follow.")
    return OwnRunWatch(connect(namespace=own.namespace or None), own.name, own.uid)


_of_process: OwnRunWatch | None = None
_guard = threading.Lock()


def _forget() -> None:
    global _of_process, _guard
    _of_process, _guard = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)
