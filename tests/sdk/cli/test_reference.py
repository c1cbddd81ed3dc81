"""The reference page says what the command line does."""

from __future__ import annotations

from pathlib import Path

from towpath.cli import reference

PAGE = Path(__file__).parents[3] / "docs" / "reference" / reference.FILE


def test_the_page_is_what_the_table_says(tmp_path: Path) -> None:
    """The committed page is up to date; `make generate` writes it."""
    assert PAGE.read_text(encoding="utf-8") == reference.page()
    assert reference.main([str(tmp_path)]) == 0
    assert (tmp_path / reference.FILE).read_bytes() == PAGE.read_bytes()
