"""Processes that are measured: scripts of a tool, and Prefect's server, whose work counts as Prefect's."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from tests.bench.peers.venvs import ROOT, python_of

TOOLS: Final = Path(__file__).parent / "tools"
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_START_SECONDS: Final = 120
_SETTLE_SECONDS: Final = 60


class Bench:
    """Runs scripts of tools, each tool in a folder of its own.

    Args:
        folder: where tools may leave what they want.
        server: Prefect's.
    """

    def __init__(self, folder: Path, server: PrefectServer) -> None:
        self._folder = folder
        self._server = server

    def home(self, tool: str) -> Path:
        """Give the folder of a tool."""
        home = self._folder / tool
        home.mkdir(parents=True, exist_ok=True)
        return home

    def environment(self, tool: str, **more: str) -> dict[str, str]:
        """Give the environment of a tool's processes: nothing goes out, and nothing is kept elsewhere."""
        own = {"BENCH_TOOL": tool, "PYTHONPATH": str(ROOT) if tool == "bare" else "", "DO_NOT_TRACK": "1"}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TOWPATH_", "PREFECT_"))}
        home = {"HOME": str(self.home(tool)), "TOWPATH_HOME": str(self.home(tool)), "DBOS__CLOUD": "false"}
        return {**inherited, **own, **home, **(self._server.environment if tool == "prefect" else {}), **more}

    def script(self, tool: str, name: str, *args: object, **environment: str) -> Any:
        """Run a script of a tool; gives what it told as JSON, with the work of its server in `cpu`."""
        before = self._server.cpu()
        done = self._run(tool, [TOOLS / f"{name}.py", *args], **environment)
        told = json.loads(done.stdout.splitlines()[-1])
        if tool == "prefect" and "cpu" in told:
            told["cpu"] += (self._server.settled() - before) / int(str(args[1]))
        return told

    def process_cpu(self, tool: str, *command: object) -> float:
        """Give the CPU seconds of a whole process, and of the server on its behalf."""
        served = self._server.cpu()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._run(tool, command)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return spent + (self._server.settled() - served if tool == "prefect" else 0)

    def start(self, tool: str, name: str, *args: object, **environment: str) -> subprocess.Popen[str]:
        """Start a script of a tool."""
        command = [str(part) for part in (python_of(tool), TOOLS / f"{name}.py", *args)]
        return subprocess.Popen(
            command,
            cwd=self.home(tool),
            env=self.environment(tool, **environment),
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _run(self, tool: str, command: Any, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(part) for part in (python_of(tool), *command)],
            check=False,
            cwd=self.home(tool),
            env=self.environment(tool, **environment),
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"{tool}, {command}: {done.stderr[-2000:]}")
        return done


class PrefectServer:
    """Prefect's server, which records what its flows do; on this machine only, without telemetry."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._folder = folder
        self.environment = {
            "PREFECT_HOME": str(folder / "home"),
            "PREFECT_API_URL": f"http://127.0.0.1:{self._port}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        command = [python_of("prefect"), "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
        environment = {**os.environ, **self.environment, "HOME": str(self._folder), "DO_NOT_TRACK": "1"}
        with (self._folder / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*map(str, command), "--port", str(self._port)],
                cwd=self._folder,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self._folder / "server.log").read_text(encoding="utf-8")[-2000:])
            time.sleep(0.2)
        self.settled()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()

    def cpu(self) -> float:
        """Give the CPU seconds that it has spent so far."""
        assert self._process is not None
        members = (entry for entry in Path("/proc").iterdir() if entry.name.isdigit())
        return sum(map(self._spent_of, members))

    def settled(self) -> float:
        """Wait until it has worked off what it was told, and give the CPU seconds that it has spent so far."""
        spent, deadline = self.cpu(), time.monotonic() + _SETTLE_SECONDS
        while time.monotonic() < deadline:
            time.sleep(1.0)
            before, spent = spent, self.cpu()
            if spent - before < 0.1:
                break
        return spent

    def _spent_of(self, process: Path) -> float:
        """Give the CPU seconds of a process, if it belongs to the server's session."""
        with suppress(OSError):
            fields = (process / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            if self._process is not None and int(fields[3]) == self._process.pid:
                return (int(fields[11]) + int(fields[12])) / _TICKS
        return 0.0

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.environment['PREFECT_API_URL']}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
