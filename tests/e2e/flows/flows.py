"""Flows that the end-to-end tests run; each does one thing that a run can do or suffer."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import threading
import time

from towpath import (
    ProcessPoolTaskRunner,
    flow,
    get_run_logger,
    pause_flow_run,
    run_deployment,
    runtime,
    suspend_flow_run,
    task,
)
from towpath.artifacts import create_markdown_artifact, create_table_artifact
from towpath.blocks.system import Secret
from towpath.concurrency.sync import concurrency, rate_limit
from towpath.events import emit_event
from towpath.input import RunInput
from towpath.variables import Variable


class OutOfStock(Exception):
    """An exception of the flow's own, to be seen again in the parent."""


@flow
def add(x: int, y: int = 1) -> int:
    """Add two numbers."""
    return x + y


@flow
def sum_of_doubles(n: int) -> int:
    """Run n children side by side and add up what they give back."""
    futures = [add.submit(i, i) for i in range(n)]
    return sum(future.result() for future in futures)


@flow
async def async_sum(n: int) -> int:
    """Do the same from an async flow."""
    return sum(await asyncio.gather(*(async_add(i, i) for i in range(n))))


@flow
async def async_add(x: int, y: int) -> int:
    """Add two numbers, asynchronously."""
    await asyncio.sleep(0)
    return x + y


@flow
def sell(item: str) -> str:
    """Fail as a flow does."""
    raise OutOfStock(f"no {item} left")


@flow
def careful_shop(item: str) -> str:
    """See the child's own exception."""
    try:
        return sell(item)
    except OutOfStock as error:
        return f"sorry: {error}"


@flow
def careless_shop(item: str) -> str:
    """Let the child's exception end this run as well."""
    return sell(item)


@flow
def nap(seconds: float) -> str:
    """Take time."""
    get_run_logger().info("asleep for %s s", seconds)
    time.sleep(seconds)
    return "awake"


@flow
def dormitory(sleepers: int, seconds: float) -> list[str]:
    """Wait for children that take their time."""
    return [future.result() for future in [nap.submit(seconds + i / 1000) for i in range(sleepers)]]


@flow
def tower(height: int, seconds: float) -> int:
    """Stand on a run that stands on a run …, the lowest of which takes its time."""
    if height == 0:
        time.sleep(seconds)
        return 0
    return tower(height - 1, seconds) + 1


@flow
def stubborn(how: str) -> None:
    """Refuse to stop when told to."""
    match how:
        case "swallows what is raised":
            swallow_for_ever()
        case "is deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(600)
        case "never comes back from C":
            library, lock = ctypes.PyDLL(None), ctypes.create_string_buffer(128)  # it keeps the interpreter's lock, too
            library.pthread_mutex_lock(lock)
            library.pthread_mutex_lock(lock)
        case "leaves processes":
            subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 600"], start_new_session=True)
            time.sleep(600)
        case "leaves threads":
            threading.Thread(target=swallow_for_ever).start()
            time.sleep(600)


def swallow_for_ever() -> None:
    """Sleep whatever is raised."""
    while True:
        try:
            time.sleep(0.2)
        except BaseException as error:
            print("not stopping for", repr(error))


@flow
async def stubborn_coroutine() -> None:
    """Refuse to be cancelled."""
    while True:
        try:
            await asyncio.sleep(600)
        except BaseException as error:
            print("not stopping for", repr(error))


@flow
def glutton(mebibytes: int) -> int:
    """Use memory."""
    return len(bytearray(os.urandom(1024)) * 1024 * mebibytes)


@flow
def vanish(code: int) -> None:
    """End the process without a word."""
    os._exit(code)


@flow
def vanish_once() -> int:
    """End the first attempt's process without a word; the next one completes."""
    attempt = int(os.environ["TOWPATH_ATTEMPT"])
    if attempt == 1:
        os._exit(9)
    return attempt


@flow
def out_of_stock_until(attempt: int) -> int:
    """Fail as a flow does, up to an attempt that somebody has to ask for."""
    if int(os.environ["TOWPATH_ATTEMPT"]) < attempt:
        raise OutOfStock("come again")
    return attempt


@flow
def letter(size: int) -> str:
    """Return a text of some size."""
    return "x" * size


@task(retries=2)
def third_time_lucky() -> int:
    """Fail twice."""
    if runtime.task_run.run_count < 3:
        raise OSError("not yet")
    return runtime.task_run.run_count


@flow
def lucky() -> int:
    """Complete thanks to a task's retries."""
    return third_time_lucky()


@flow
def orders(deployment: str) -> int:
    """Run a deployment and use its result."""
    return run_deployment(deployment, parameters={"x": 40}).result()


@flow
def meddle(with_run: str) -> int:
    """Try to write another run's status with this run's own credentials; gives the API server's answer."""
    import ssl
    from pathlib import Path

    import httpx

    folder = Path("/var/run/secrets/towpath")
    server = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
    path = f"/apis/towpath.dev/v1alpha1/namespaces/{(folder / 'namespace').read_text()}/flowruns/{with_run}/status"
    answer = httpx.patch(
        server + path,
        json={"status": {"waitingFor": "meddled with"}},
        headers={
            "Authorization": f"Bearer {(folder / 'token').read_text()}",
            "Content-Type": "application/merge-patch+json",
        },
        verify=ssl.create_default_context(cafile=str(folder / "ca.crt")),
    )
    return answer.status_code


@task
def part(n: int) -> None:
    """Tell an artifact and an event in a task."""
    create_table_artifact([{"n": n}], key=f"part-{n}")
    emit_event("part.done", {"towpath.resource.id": f"part-{n}"}, payload={"n": n})


@flow
def tell(in_processes: bool = False) -> dict[str, object]:
    """Tell things, and give back what was told by whoever runs this, the secret's length only."""
    runner = ProcessPoolTaskRunner(max_workers=1) if in_processes else None
    create_markdown_artifact("# All well", key="report")
    flow(lambda: part.map(range(2)).wait(), name="parts", inline=True, task_runner=runner)()
    return {
        "batch": Variable.get("my-batch"),
        "region": Variable.get("region"),
        "missing": Variable.get("missing", default="default"),
        "characters": [len(Secret.load(name).get()) for name in ("warehouse/password", "token")],
        "shown": str(Secret.load("token")),
    }


class Approval(RunInput):
    """What somebody has to say."""

    granted: bool
    by: str = "nobody"


@flow
def asks() -> str:
    """Wait for somebody, in this process."""
    approval = pause_flow_run(wait_for_input=Approval.with_initial_data(description="Größe < 5 & so?"))
    return f"{approval.granted} by {approval.by}"


@flow
def leaves() -> str:
    """Wait for somebody, without a process."""
    approval = suspend_flow_run(wait_for_input=Approval, timeout=None)
    return f"{approval.granted} by {approval.by}"


@flow
def works() -> None:
    """Call tasks until somebody ends this."""
    while True:
        tick()
        time.sleep(0.1)


@task
def tick() -> None:
    """Do nothing."""


@flow
def deaf(depth: int = 0) -> None:
    """Do not hear of SIGTERM; nor does the run that is called."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if depth:
        deaf.submit(depth - 1)
    while True:
        time.sleep(60)


@flow
def guarded(limit: str, times: int, seconds: float) -> list[list[float]]:
    """Hold a slot several times; give when, from and to."""
    spans = []
    for _ in range(times):
        with concurrency(limit):
            began = time.time()
            time.sleep(seconds)
            spans.append([began, time.time()])
        time.sleep(0.2)  # longer than what is given back stays in this process
    return spans


@task(tags=["e2e-slots"])
def timed() -> list[float]:
    """Work for a moment; give from when to when."""
    began = time.time()
    time.sleep(0.2)
    return [began, time.time()]


@flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
def tagged(times: int) -> list[list[float]]:
    """Run tasks with a tag, side by side in processes; give when each worked."""
    return [future.result() for future in [timed.submit() for _ in range(times)]]


@flow
def paced(limit: str, times: int) -> float:
    """Take slots at a limit's rate; give how long it took."""
    began = time.monotonic()
    for _ in range(times):
        rate_limit(limit)
    return time.monotonic() - began
