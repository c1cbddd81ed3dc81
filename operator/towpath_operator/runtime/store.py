"""The last known body of every watched object, in memory, with indexes.

Three sources feed it at once: the watches, the sweeps that check on them, and the responses to our own writes. They
race, so the store alone decides what is newer: a body replaces another only with a higher resourceVersion (Kubernetes
promises that these compare as integers, KEP-5504), and an object that was deleted never comes back, because its UID is
remembered for a while. That is what makes writing through safe: the answer to a POST may arrive after the object's
DELETED event.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Body: TypeAlias = Mapping[str, Any]
Place: TypeAlias = tuple[str, str]
"""Namespace and name."""
Listener: TypeAlias = Callable[[str, Body | None, Body | None], None]
"""Told of every change: plural, the body before (None: new), the body after (None: gone)."""

#: UIDs of deleted objects that are remembered: more than can be deleted between a request and its answer.
_TOMBSTONES: Final = 4096


@dataclass(frozen=True, slots=True)
class Index:
    """A way to look objects of one kind up: `values` gives every value under which a body is found."""

    plural: str
    values: Callable[[Body], Iterable[str]]


def version_of(body: Body) -> int:
    """Give a body's resourceVersion as the number that orders it; 0 if it has none."""
    return int(body["metadata"].get("resourceVersion") or 0)


class Store:
    """Bodies by kind, namespace and name.

    Args:
        indexes: by name, how objects can be looked up with `find`.
        lean: makes a body smaller before it is kept (drops what no reader needs); it must not change its argument and
            must keep `metadata.name`, `namespace`, `uid` and `resourceVersion`.
        listener: called after each change, in the order of the changes; it must not change the store.
    """

    def __init__(
        self,
        indexes: Mapping[str, Index] | None = None,
        *,
        lean: Callable[[str, Body], Body] = lambda _plural, body: body,
        listener: Listener = lambda _plural, _old, _new: None,
    ) -> None:
        self._indexes = dict(indexes or {})
        self._lean = lean
        self._listener = listener
        self._bodies: dict[str, dict[Place, Body]] = {}
        self._found: dict[str, dict[str, set[Place]]] = {name: {} for name in self._indexes}
        self._dead: OrderedDict[str, None] = OrderedDict()

    def get(self, plural: str, namespace: str, name: str) -> Body | None:
        """Give an object as last seen, or None."""
        return self._bodies.get(plural, {}).get((namespace, name))

    def find(self, index: str, value: str) -> list[Body]:
        """Give the objects that an index knows under a value, in no order."""
        bodies = self._bodies.get(self._indexes[index].plural, {})
        return [bodies[place] for place in self._found[index].get(value, ())]

    def count_found(self, index: str, value: str) -> int:
        """Count the objects that an index knows under a value."""
        return len(self._found[index].get(value, ()))

    def all(self, plural: str) -> Iterable[Body]:
        """Give every object of a kind, in no order; the store must not change while it is walked through."""
        return self._bodies.get(plural, {}).values()

    def count(self, plural: str) -> int:
        """Count the objects of a kind."""
        return len(self._bodies.get(plural, {}))

    def is_news(self, plural: str, body: Body) -> bool:
        """Tell whether a body says more than what is known: it is newer, and the object is not known to be deleted."""
        metadata = body["metadata"]
        old = self.get(plural, metadata.get("namespace", ""), metadata["name"])
        return metadata["uid"] not in self._dead and (old is None or version_of(body) > version_of(old))

    def put(self, plural: str, body: Body) -> bool:
        """Keep a body if it is news; tell whether it was."""
        if not self.is_news(plural, body):
            return False
        metadata = body["metadata"]
        place = (metadata.get("namespace", ""), metadata["name"])
        bodies = self._bodies.setdefault(plural, {})
        old = bodies.get(place)
        if old is not None and old["metadata"]["uid"] != metadata["uid"]:
            self._remove(plural, place, old)  # deleted and made anew, and we missed the first half
            old = None
        new = self._lean(plural, body)
        bodies[place] = new
        self._reindex(plural, place, old, new)
        self._listener(plural, old, new)
        return True

    def drop(self, plural: str, namespace: str, name: str, uid: str) -> bool:
        """Forget an object that was deleted, if it is the one that is known, and never keep it again."""
        self._bury(uid)
        place = (namespace, name)
        old = self._bodies.get(plural, {}).get(place)
        if old is None or old["metadata"]["uid"] != uid:
            return False
        self._remove(plural, place, old)
        return True

    def prune(self, plural: str, namespace: str | None, listed: Collection[Place], list_version: int) -> int:
        """Drop the objects that a complete list no longer has; give their number.

        Args:
            namespace: the namespace that was listed; None for the whole cluster.
            listed: every object in the list.
            list_version: the list's resourceVersion; what is newer came after the list, and stays.
        """
        gone = [
            (place, body)
            for place, body in self._bodies.get(plural, {}).items()
            if place not in listed and (namespace is None or place[0] == namespace) and version_of(body) <= list_version
        ]
        for place, body in gone:
            self._bury(body["metadata"]["uid"])
            self._remove(plural, place, body)
        return len(gone)

    def _remove(self, plural: str, place: Place, old: Body) -> None:
        self._bury(old["metadata"]["uid"])
        del self._bodies[plural][place]
        self._reindex(plural, place, old, None)
        self._listener(plural, old, None)

    def _bury(self, uid: str) -> None:
        self._dead[uid] = None
        self._dead.move_to_end(uid)
        if len(self._dead) > _TOMBSTONES:
            self._dead.popitem(last=False)

    def _reindex(self, plural: str, place: Place, old: Body | None, new: Body | None) -> None:
        for name, index in self._of_kind(plural):
            before = set(index.values(old)) if old is not None else set()
            after = set(index.values(new)) if new is not None else set()
            found = self._found[name]
            for value in before - after:
                places = found[value]
                places.discard(place)
                if not places:
                    del found[value]
            for value in after - before:
                found.setdefault(value, set()).add(place)

    def _of_kind(self, plural: str) -> Iterator[tuple[str, Index]]:
        return ((name, index) for name, index in self._indexes.items() if index.plural == plural)
