"""What the runtime has to know of a kind in order to ask the API for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resource:
    """A namespaced kind: where its objects are in the API, and which of them matter to us."""

    group: str
    """API group; empty for the core group."""
    version: str
    plural: str
    """Name in URLs; also the name of the kind in store, metrics and health."""
    kind: str
    label_selector: str = ""
    """Objects that do not match are neither listed nor watched; empty means all of them."""
    field_selector: str = ""
    """The same, by fields, for lists."""

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """Give the URL path of an object, of a namespace's objects, or without namespace of all objects of the kind."""
        parts = ["", "api", self.version] if not self.group else ["", "apis", self.group, self.version]
        if namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/".join(parts)
