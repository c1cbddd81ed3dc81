"""Operators of this checkout, each under the eyes of something that starts it again, as a kubelet does."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import yaml

AGAIN_SECONDS = 0.5  # between an operator's end and its next beginning


class Replica:
    """One operator: started again whenever it ends, unless it is to stay down.

    Args:
        name: as it is called in the Lease.
        port: of its seat at the proxy.
        folder: where its log and kubeconfig are.
        environ: its settings.
    """

    def __init__(self, name: str, port: int, folder: Path, environ: dict[str, str]) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.starts, self.since = 0, time.monotonic()
        self.log.touch()
        self._began_at = 0  # in it
        self._kubeconfig = folder / f"{name}.kubeconfig"
        self._kubeconfig.write_text(yaml.safe_dump(kubeconfig(f"http://127.0.0.1:{port}")))
        self._environ = environ
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._wanted, self._over = True, threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    @property
    def admission_port(self) -> int | None:
        """Where its webhook listens, if it says so."""
        with self._lock, self.log.open("rb") as log:
            log.seek(self._began_at)
            said = re.search(rb"webhook listens on port (\d+)", log.read())
        return int(said[1]) if said else None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it is there to get it."""
        with self._lock:
            if self._process and self._process.poll() is None:
                self._process.send_signal(number)

    def down(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it, and leave it down."""
        self._wanted = False
        self.send(number)

    def up(self) -> None:
        """Let it be there."""
        self._wanted = True
        self.send(signal.SIGCONT)

    def close(self) -> None:
        """End it for good."""
        self._over.set()
        self._keeper.join()
        with self._lock:
            if self._process:
                self._process.kill()
                self._process.wait()

    def _keep(self) -> None:
        while not self._over.is_set():
            with self._lock:
                ended = self._process is None or self._process.poll() is not None
                if ended and self._wanted:
                    self._start()
            self._over.wait(AGAIN_SECONDS if ended else 0.1)

    def _start(self) -> None:
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TOWPATH_")},
            "KUBECONFIG": str(self._kubeconfig),
            "TOWPATH_OPERATOR_LISTEN_PORT": "0",
            "TOWPATH_OPERATOR_IDENTITY": self.name,
            **self._environ,
        }
        with self.log.open("ab") as log:
            self._began_at = log.tell()
            log.write(f"---- start {self.starts} at {time.time():.3f}\n".encode())
            self._process = subprocess.Popen(
                [sys.executable, "-m", "towpath_operator"], env=environ, stdout=log, stderr=log
            )
        self.starts, self.since = self.starts + 1, time.monotonic()


def kubeconfig(server: str) -> dict[str, object]:
    """Give a kubeconfig for a server that asks for no credentials."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "proxy",
        "clusters": [{"name": "proxy", "cluster": {"server": server}}],
        "users": [{"name": "nobody", "user": {}}],
        "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "nobody"}}],
    }
