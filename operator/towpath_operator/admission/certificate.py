"""The certificate that the webhook shows: read from files that may come late, and be replaced at any time."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

log = logging.getLogger(__name__)


class Certificate:
    """A certificate and its key, as the kubelet mounts a Secret of type kubernetes.io/tls.

    The files are looked at with each handshake: so a new certificate is shown as soon as it is there, nothing has to
    run in the background, and an operator whose Secret is made after its pod is none the worse for it.

    Args:
        folder: holds `tls.crt` and `tls.key`.
    """

    def __init__(self, folder: Path) -> None:
        self._files = folder / "tls.crt", folder / "tls.key"
        self._read: tuple[int, ...] = ()
        self._loaded: ssl.SSLContext | None = None
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        """What a server is given; a handshake without a certificate fails."""
        self.context.sni_callback = self._shake_hands

    def _shake_hands(self, handshake: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> int | None:
        if (newest := self.newest()) is None:
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        handshake.context = newest
        return None

    def newest(self) -> ssl.SSLContext | None:
        """Give a context with the certificate that is there now, or the last one that could be used; None: none yet."""
        try:
            seen = tuple(number for file in self._files for number in _version(file))
            if seen != self._read:
                self._read = seen
                fresh = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                fresh.load_cert_chain(*self._files)
                self._loaded = fresh
                log.info("The webhook shows the certificate %s.", self._files[0])
        except OSError as error:  # an ssl.SSLError is one, too
            log.warning("The webhook's certificate %s cannot be used: %s", self._files[0], error)
        return self._loaded


def _version(file: Path) -> tuple[int, int, int]:
    found = file.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size
