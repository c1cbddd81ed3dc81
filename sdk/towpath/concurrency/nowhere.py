"""A place without limits, that says so."""

from __future__ import annotations

from towpath.concurrency.port import Admitted, LimitInUse, Refused, Ticket
from towpath.errors import ConcurrencySlotAcquisitionError, ConfigurationError


class Nowhere:
    """Where no limits can be kept: everybody gets in, with a warning; whoever is strict does not.

    Args:
        why: a sentence that ends in what to do about it.
    """

    def __init__(self, why: str) -> None:
        self._why = why

    def ask(self, ticket: Ticket) -> None:
        """Let everybody in who is not strict."""
        names = ", ".join(map(repr, sorted(ticket.wish.names)))
        if ticket.wish.strict:
            ticket.tell(Refused(ConcurrencySlotAcquisitionError(f"There is no limit {names}. {self._why}")))
        else:
            ticket.tell(Admitted(f"{names} limits nothing here. {self._why}"))

    def leave(self, ticket: Ticket) -> None:
        """Do nothing: there is nothing to give back."""

    def tag_limits(self) -> frozenset[str]:
        """Give none."""
        return frozenset()

    def limits(self) -> list[LimitInUse]:
        """Give none.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(self._why)

    def set(self, *_: object) -> None:
        """Refuse.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(self._why)

    def delete(self, *_: object) -> bool:
        """Refuse.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(self._why)
