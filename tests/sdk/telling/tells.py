"""A script that tells things: `python tells.py threads|processes`."""

import sys

from towpath import ProcessPoolTaskRunner, flow, task
from towpath.artifacts import create_markdown_artifact
from towpath.events import emit_event


@task(task_run_name="part-{n}")
def part(n: int) -> None:
    """Tell an artifact and an event."""
    create_markdown_artifact(f"# {n}", key=f"part-{n}")
    emit_event("part.done", {"towpath.resource.id": f"part-{n}"}, payload={"n": n})


@flow(flow_run_name="the-run", task_runner=ProcessPoolTaskRunner(max_workers=2) if sys.argv[1] == "processes" else None)
def main() -> None:
    """Tell in the flow and in tasks."""
    create_markdown_artifact("top", key="top")
    part.map(range(3)).result()


if __name__ == "__main__":
    main()
