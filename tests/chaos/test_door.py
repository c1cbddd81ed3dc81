"""The door before the webhook, with servers behind it that say who they are."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
from tests.chaos.door import Door, Way


class Doorman:
    """Says a word to each who comes, and repeats what it hears."""

    def __init__(self, word: bytes) -> None:
        self.word = word
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self._live, daemon=True).start()

    def _live(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                guest, _ = self.listener.accept()
                threading.Thread(target=self._talk, args=(guest,), daemon=True).start()

    def _talk(self, guest: socket.socket) -> None:
        with guest, contextlib.suppress(OSError):
            guest.sendall(self.word)
            while heard := guest.recv(100):
                guest.sendall(heard)


@pytest.fixture
def doorman() -> Iterator[Doorman]:
    """One who is there."""
    made = Doorman(b"here")
    yield made
    made.listener.close()


@pytest.fixture
def door(doorman: Doorman) -> Iterator[Door]:
    """A door to one who has gone, and to one who is there."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        with Door("127.0.0.1", lambda: [deaf.getsockname()[1], doorman.port]) as made:
            yield made


def visit(door: Door) -> socket.socket:
    """Go through the door."""
    return socket.create_connection(("127.0.0.1", door.port), timeout=30)


def is_cut(guest: socket.socket) -> bool:
    """Tell whether a connection ends without a word."""
    try:
        return guest.recv(100) == b""
    except ConnectionError:
        return True


def test_a_door_leads_to_whoever_listens(door: Door) -> None:
    """Past those that have gone, and in both directions."""
    with visit(door) as guest:
        assert guest.recv(100) == b"here"
        guest.sendall(b"good day")
        assert guest.recv(100) == b"good day"


def test_a_door_to_nobody(door: Door) -> None:
    """Who is inside is put out, who comes is turned away; afterwards it leads as before."""
    with visit(door) as before:
        assert before.recv(100) == b"here"
        door.lead(Way.NOBODY)
        assert is_cut(before)
    with visit(door) as guest:
        assert is_cut(guest)
    door.lead(Way.OPERATOR)
    with visit(door) as after:
        assert after.recv(100) == b"here"


def test_a_door_into_silence(door: Door) -> None:
    """Who comes is let in, and hears nothing; with the end of it he is put out, and may come again."""
    door.lead(Way.SILENCE)
    with visit(door) as guest:
        guest.sendall(b"good day")
        guest.settimeout(0.3)
        with pytest.raises(TimeoutError):
            guest.recv(100)
        guest.settimeout(30)
        door.lead(Way.OPERATOR)
        assert is_cut(guest)
    with visit(door) as after:
        assert after.recv(100) == b"here"


def test_nobody_behind_the_door() -> None:
    """As a Service without pods."""
    with Door("127.0.0.1", list) as door, visit(door) as guest:
        assert is_cut(guest)
