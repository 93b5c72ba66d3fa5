"""Runs of many small images for the tests: their words, and what a finished folder holds."""

import json
from pathlib import Path

BASE = (
    "-cell 70 80 90 90 90 90 -default_F 100 -N 5 -lambda 1 -distance 100 -detpixels 24 -pixel 0.5 -oversample 1 "
    "-mosaic 1 -mosaic_domains 2 -fluence 1e24"
)
"""A crystal without files."""
MAIN = "import sys; from nanobragg_numba.cli.jobs import command; command()"


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a finished run that is to be the same however it was computed: all but the summary's times."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    summary = json.loads(files.pop("summary.json"))
    assert summary["images"] > 0
    return files
