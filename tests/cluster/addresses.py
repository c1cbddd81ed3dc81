"""Address ranges of an instance.

A machine has 64 slots of addresses. An instance prefers the slot that its name hashes to and takes the next one when
another instance, or anything else on the machine, already uses those addresses.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from tests.cluster.locks import locked
from tests.cluster.settings import ClusterError
from tests.cluster.shell import run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.cluster.settings import Instance

SLOTS = 64


@dataclass(frozen=True, slots=True)
class Addresses:
    """All addresses of one slot: a link between host and node, the pods' range, the services' range."""

    slot: int

    @property
    def link(self) -> IPv4Network:
        """The veth pair's four addresses."""
        return IPv4Network(f"10.104.{self.slot}.0/30")

    @property
    def host(self) -> IPv4Address:
        """The machine's end of the link."""
        return self.link[1]

    @property
    def node(self) -> IPv4Address:
        """The node's end of the link, where the API server listens."""
        return self.link[2]

    @property
    def pods(self) -> IPv4Network:
        """Where pods get their addresses."""
        return IPv4Network((int(IPv4Address("10.100.0.0")) + self.slot * 4096, 20))

    @property
    def services(self) -> IPv4Network:
        """Where services get their addresses."""
        return IPv4Network((int(IPv4Address("10.96.0.0")) + self.slot * 4096, 20))

    @property
    def api(self) -> IPv4Address:
        """The service ``kubernetes.default``."""
        return self.services[1]

    @property
    def dns(self) -> IPv4Address:
        """The service ``kube-dns``."""
        return self.services[10]

    @property
    def networks(self) -> tuple[IPv4Network, ...]:
        """Everything that must not be in use already."""
        return (self.link, self.pods, self.services)


def candidates(name: str) -> Iterator[Addresses]:
    """Yield all slots, the name's own first."""
    own = int(hashlib.sha256(name.encode()).hexdigest(), 16) % SLOTS
    for step in range(SLOTS):
        yield Addresses((own + step) % SLOTS)


def choose(name: str, taken: dict[int, str], routes: Iterable[IPv4Network]) -> Addresses:
    """Return the first slot that neither another instance (``taken``: slot → name) nor the machine's routes use."""
    used = [route for route in routes if route.prefixlen]
    for addresses in candidates(name):
        if taken.get(addresses.slot, name) != name:
            continue
        if any(network.overlaps(route) for network in addresses.networks for route in used):
            continue
        return addresses
    raise ClusterError(f"no free address range for cluster {name!r}: all {SLOTS} slots are in use on this machine.")


def reserve(instance: Instance) -> Addresses:
    """Return the instance's addresses, reserving a slot when it has none; ``release`` gives it back."""
    folder = instance.machine_state / "slots"
    with locked(instance.machine_state / "slots.lock"):
        folder.mkdir(exist_ok=True)
        taken = {int(file.name): file.read_text() for file in folder.iterdir() if file.name.isdigit()}
        mine = [slot for slot, name in taken.items() if name == instance.name]
        addresses = Addresses(mine[0]) if mine else choose(instance.name, taken, _routes())
        (folder / str(addresses.slot)).write_text(instance.name)
    return addresses


def release(instance: Instance) -> None:
    """Give the instance's slot back."""
    folder = instance.machine_state / "slots"
    if not folder.is_dir():
        return
    with locked(instance.machine_state / "slots.lock"):
        for file in folder.iterdir():
            if file.read_text() == instance.name:
                file.unlink()


def _routes() -> list[IPv4Network]:
    routes = json.loads(run(["ip", "-json", "-4", "route", "show"]).stdout or "[]")
    return [IPv4Network(route["dst"], strict=False) for route in routes if route["dst"] != "default"]
