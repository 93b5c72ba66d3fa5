"""Runs the commands and scripts of a page as they stand, in a folder with the crystal of examples/; blocks marked sh are only shown."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent

ROOT = Path(__file__).parents[2]
RUN = {"bash": ["bash", "-e", "-o", "pipefail", "-c"], "python": [sys.executable, "-c"]}
"""What runs a block of a language."""


def run_page(page: str, folder: Path) -> list[str]:
    """Run the blocks of docs/PAGE.md one after the other in ``folder``; what each printed. A command that fails raises."""
    for name in ("erl.mat", "erl.hkl"):
        shutil.copy(ROOT / "examples" / name, folder)
    environment = {**os.environ, "PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}", "MPLBACKEND": "Agg"}
    environment.pop("DISPLAY", None)
    printed = []
    for language, block in re.findall(r"^```(bash|python)\n(.*?)^```", (ROOT / "docs" / f"{page}.md").read_text(), re.S | re.M):
        done = subprocess.run([*RUN[language], dedent(block)], cwd=folder, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{page}.md: status {done.returncode} of\n{block}{done.stdout}{done.stderr}")
        printed.append(done.stdout + done.stderr)
    return printed


def draw_page(page: str, picture: str) -> None:
    """Run a page, and keep the picture that it makes."""
    with TemporaryDirectory() as folder:
        run_page(page, Path(folder))
        shutil.copy(Path(folder) / picture, picture)
