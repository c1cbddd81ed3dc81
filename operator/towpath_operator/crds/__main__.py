"""Command line of the generator: write the files into the folders that are named, or everything to standard output."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from towpath_operator.crds import manifest, reference


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 when everything was written."""
    parser = argparse.ArgumentParser(
        prog="python -m towpath_operator.crds",
        description="Write Towpath's CustomResourceDefinitions, or their reference, as made from the models.",
    )
    parser.add_argument(
        "folders", metavar="DIR", nargs="*", type=Path, help="folder to write to; none: standard output"
    )
    parser.add_argument("--docs", action="store_true", help=f"write the reference ({reference.FILE}) instead")
    options = parser.parse_args(arguments)
    made = {reference.FILE: reference.reference_page()} if options.docs else manifest.files()
    if not options.folders:
        sys.stdout.write("---\n".join(made.values()))
    for folder in options.folders:
        _write(folder, made)
    return 0


def _write(folder: Path, made: Mapping[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
