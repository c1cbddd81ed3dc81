"""What stands in the pages as Python is Python, and what is marked as runnable runs.

A block whose first fence reads ```` ```python run ```` is run, each by itself, in a history of its own; any other
```` ```python ```` block needs a cluster or leaves something out, and is only compiled.
"""

from __future__ import annotations

import pkgutil
import re
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

import pytest

import towpath
from towpath.testing import harness

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MIGRATION = ROOT / "docs" / "migrating-from-prefect.md"
FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of Python in a page."""

    page: str
    line: int
    code: str
    runs: bool

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str, text: str) -> list[Block]:
    """Find the Python of a page."""
    found = []
    for match in FENCE.finditer(text):
        language, *marks = match["info"].split() or [""]
        if language == "python":
            assert marks in ([], ["run"]), f"{page}: a fence is marked {marks!r}; `run` is all there is."
            line = text.count("\n", 0, match.start("code"))
            found.append(Block(page, line, match["code"], runs=marks == ["run"]))
    return found


BLOCKS = [block for page in PAGES for block in blocks(str(page.relative_to(ROOT)), page.read_text(encoding="utf-8"))]


def compiled(block: Block) -> CodeType:
    """Compile a block so that errors name the page and its line."""
    return compile("\n" * block.line + block.code, block.page, "exec", dont_inherit=True)


@pytest.mark.parametrize("block", [block for block in BLOCKS if not block.runs], ids=str)
def test_what_is_shown_is_python(block: Block) -> None:
    """A block that is not run has no slip in its syntax."""
    assert compiled(block)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.runs], ids=str)
def test_what_is_marked_as_runnable_runs(block: Block) -> None:
    """A runnable block runs as it stands, asserts included."""
    with harness():
        exec(compiled(block), {"__name__": "example"})


def test_blocks_are_found_with_their_line_and_mark() -> None:
    """The page's own line is what an error names; other languages are none of ours."""
    text = "# Page\n\n```python run\nx = 1\n```\n\n```\nkubectl\n```\n\n```python\ny\n```\n"
    assert blocks("page", text) == [Block("page", 3, "x = 1\n", runs=True), Block("page", 11, "y\n", runs=False)]


def test_the_migration_page_names_what_there_is() -> None:
    """Each `towpath.…` in the page can be had, and each public name is in it."""
    text = MIGRATION.read_text(encoding="utf-8")
    named = set(re.findall(r"`(towpath(?:\.[A-Za-z_]+)+)`", text))
    assert named
    for name in named:
        assert pkgutil.resolve_name(name) is not None
    mentioned = set(re.findall(r"\w+", text))
    assert {name for name in towpath.__all__ if not name.startswith("_")} <= mentioned
