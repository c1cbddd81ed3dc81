"""What happened in a namespace, as the API server wrote it down: its audit log with bodies, and what is left in the end.

The log is complete but for one gap: of a request that an API server had carried out when it was killed, nothing may be
written. So the laws are about what was seen, and what is left counts as seen.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

Body = Mapping[str, Any]
#: Blows after which a request may have been carried out, and nothing, or a failure, is written of it.
LOSE_LINES = ("apiserver", "etcd", "whole node")


@dataclass(frozen=True)
class Write:
    """A write that the API server was asked for."""

    verb: str
    """create, update, patch or delete."""
    plural: str
    name: str
    code: int
    """The HTTP status that was answered."""
    writer: str
    """The user agent: for operators who they are, and when they sent it."""
    began: datetime
    """When the API server received it."""
    done: datetime
    """When it answered."""
    body: Body | None = None
    """The object as it was answered."""
    user: str = ""
    """Who that is for the API server."""

    @property
    def succeeded(self) -> bool:
        """Tell whether it was carried out."""
        return 200 <= self.code < 300

    @property
    def version(self) -> int:
        """The version that it led to; 0 if it says none."""
        return version_of(self.body)

    @property
    def operator(self) -> str:
        """Which operator sent it; empty if none did."""
        return self._marks.get("operator", "")

    @property
    def sent(self) -> datetime:
        """When it was sent, as far as the sender says so."""
        mark = self._marks.get("sent")
        return datetime.fromtimestamp(float(mark), UTC) if mark else self.began

    @property
    def _marks(self) -> dict[str, str]:
        return dict(part.split("=", 1) for part in self.writer.split() if "=" in part)


@dataclass(frozen=True)
class History:
    """All that was written in a namespace, and to the Lease of its operators."""

    writes: Sequence[Write]
    left: Mapping[str, Sequence[Body]] = field(default_factory=dict)
    """The objects that are there in the end, by plural."""
    blows: Sequence[Blow] = ()
    """What was done to the cluster on purpose."""
    promises: Mapping[str, Promise] = field(default_factory=dict)
    """How runs end that nothing was done to, by name."""
    refuses_again: bool | None = None
    """Whether the webhook refuses what does not fit once all is well; None: nobody asked."""

    @cached_property
    def versions(self) -> Mapping[tuple[str, str], Sequence[Body]]:
        """Every version of every object that was seen, in the order of the versions, by plural and UID."""
        seen: dict[tuple[str, str], dict[int, Body]] = defaultdict(dict)
        for plural, body in self._bodies():
            seen[plural, body["metadata"]["uid"]][version_of(body)] = body
        return {key: [found[version] for version in sorted(found)] for key, found in seen.items()}

    def of(self, plural: str) -> Iterator[Sequence[Body]]:
        """Give the versions of each object of a kind."""
        return (versions for (kind, _), versions in self.versions.items() if kind == plural)

    def may_lack(self, since: int, until: int) -> bool:
        """Tell whether something may have been carried out between two versions of which nothing is written."""
        began, ended = self._times.get(since), self._times.get(until)
        return began is None or any(
            blow.what.startswith(LOSE_LINES) and blow.ended > began and (ended is None or blow.began < ended)
            for blow in self.blows
        )

    @cached_property
    def _times(self) -> Mapping[int, datetime]:
        return {write.version: write.done for write in self.writes}

    def _bodies(self) -> Iterator[tuple[str, Body]]:
        for write in self.writes:
            is_object = write.succeeded and write.body is not None and (write.body.get("metadata") or {}).get("uid")
            if is_object and write.verb != "delete" and write.body is not None:
                yield write.plural, write.body
        for plural, bodies in self.left.items():
            for body in bodies:
                yield plural, body


@dataclass(frozen=True, slots=True)
class Blow:
    """Something that was done on purpose."""

    what: str
    began: datetime
    ended: datetime
    harms: str = ""
    """Whose process it may have ended: the name of a run, `*` for every run with a live pod, nobody's if empty."""


@dataclass(frozen=True, slots=True)
class Promise:
    """How a run ends that nothing was done to."""

    ends: frozenset[str]
    """Types of state."""
    attempts: int | None = 1
    """Which attempt it ends in; None: any."""


def read(log: Path, namespace: str, *, leases: str = "") -> list[Write]:
    """Read what was written in a namespace.

    Args:
        log: the audit log.
        namespace: in which.
        leases: the namespace of the operators' Lease.
    """
    writes = (write for line in lines(log, namespace, leases) for write in _write(line, namespace, leases))
    return sorted(writes, key=lambda write: (write.done, write.began))


def lines(log: Path, *namespaces: str) -> Iterator[str]:
    """Give the lines of an audit log that speak of some namespaces; files that were full stand beside it."""
    wanted = [f'"namespace":"{name}"' for name in namespaces if name]
    for file in [*sorted(log.parent.glob(f"{log.stem}-*{log.suffix}")), log]:
        with file.open(encoding="utf-8", errors="replace") as opened:
            yield from (line for line in opened if any(word in line for word in wanted))


def _write(line: str, namespace: str, leases: str) -> Iterable[Write]:
    try:
        event = json.loads(line)
    except json.JSONDecodeError:
        return  # the API server was killed while it wrote the line
    about = event.get("objectRef") or {}
    plural = about.get("resource", "")
    where = leases if plural == "leases" else namespace
    if "dryRun=" in event.get("requestURI", ""):
        return
    if event["verb"] in {"create", "update", "patch", "delete"} and about.get("namespace") == where:
        body = event.get("responseObject")
        yield Write(
            verb=event["verb"],
            plural=plural,
            name=about.get("name") or ((body or {}).get("metadata") or {}).get("name", ""),
            code=(event.get("responseStatus") or {}).get("code", 0),
            writer=event.get("userAgent", ""),
            began=datetime.fromisoformat(event["requestReceivedTimestamp"]),
            done=datetime.fromisoformat(event["stageTimestamp"]),
            body=body,
            user=(event.get("impersonatedUser") or event.get("user") or {}).get("username", ""),
        )


def version_of(body: Body | None) -> int:
    """Give the version of an object; 0 if it says none."""
    return int(((body or {}).get("metadata") or {}).get("resourceVersion") or 0)
