"""Decisions: pure functions from what is observed to what should be done. Nothing here does I/O or reads a clock."""
