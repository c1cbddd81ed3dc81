"""What a lock manager is."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class LockManager(Protocol):
    """Gives locks by name to holders; a holder that has a lock may take it again."""

    def acquire_lock(self, key: str, holder: str, acquire_timeout: float | None = None) -> bool:
        """Take a lock, waiting for it if somebody else has it; tell whether it was had.

        Args:
            key: what is locked.
            holder: on whose behalf.
            acquire_timeout: how long to wait at most, in seconds; None: as long as it takes.
        """

    def release_lock(self, key: str, holder: str) -> None:
        """Give a lock back.

        Raises:
            ValueError: the holder does not have it.
        """

    def is_locked(self, key: str) -> bool:
        """Tell whether anybody has a lock."""

    def is_lock_holder(self, key: str, holder: str) -> bool:
        """Tell whether a holder has a lock."""

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Wait until nobody has a lock, `timeout` seconds at most; tell whether that came."""
