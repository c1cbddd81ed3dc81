"""Locks that keep two runs from working on the same key at the same time.

from towpath.locking.filesystem import FileSystemLockManager

policy = INPUTS.configure(isolation_level="SERIALIZABLE", lock_manager=FileSystemLockManager("/shared/locks"))
"""
