"""The page of what was measured: the figures between two marks, in prose that is written by hand."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.bench.cluster.findings import COLUMNS, Finding

_BEGIN: Final = "<!-- figures: written by make bench-cluster -->"
_END: Final = "<!-- end of figures -->"


def write(page: Path, findings: Sequence[Finding], seconds: float, load: float) -> None:
    """Put figures into a page, in place of those that are there.

    Args:
        page: the page; it has the two marks.
        findings: what was measured.
        seconds: what measuring took.
        load: how many processes wanted to run before it began.
    """
    before, _, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    page.write_text(f"{before}{_BEGIN}\n{rendered(findings, seconds, load)}\n{_END}{after}", encoding="utf-8")


def rendered(findings: Sequence[Finding], seconds: float, load: float) -> str:
    """Give the table and what there is to know about the machine, in Markdown."""
    lines = [list(COLUMNS), ["---"] * len(COLUMNS), *(finding.cells for finding in findings)]
    rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    date = time.strftime("%Y-%m-%d", time.gmtime())
    told = f"{load:.1f} processes wanted to run when it began. {date}; the whole took {seconds / 60:.0f} minutes."
    return f"{rows}\n\nMachine: {machine()}; {told}"


def machine() -> str:
    """Describe the machine."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = {line.partition(":")[2].strip() for line in lines if line.startswith("model name")}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    model = ", ".join(sorted(names)) or platform.machine()
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, {platform.system()}"
