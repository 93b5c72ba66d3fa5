"""The throughput of ``nanoBragg -batch`` beside one process a line, on 64x64 images; prints a table."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

COMMAND = [sys.executable, "-c", "from nanobragg_numba.cli.start import command; command()"]
LINE = "-cell 100 100 100 90 90 90 -default_F 100 -lambda 1 -N 5 -distance 100 -detpixels 64 -oversample 1"
PROCESSES, LINES = 10, 1000


def seconds(words: list[str], folder: str) -> float:
    """Wall time of one command."""
    started = perf_counter()
    # An installed package has its bytecode.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([*COMMAND, *words], cwd=folder, stdout=subprocess.DEVNULL, check=True, env=environment)
    return perf_counter() - started


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        seconds(LINE.split(), folder)
        single = sum(seconds([*LINE.split(), "-seed", str(n + 1)], folder) for n in range(PROCESSES)) / PROCESSES
        lines = [f"{LINE} -seed {n + 1} -floatfile f{n}.bin" for n in range(LINES)]
        (Path(folder) / "lines.txt").write_text("\n".join(lines))
        batch = seconds(["-batch", "lines.txt"], folder) / LINES
    print("| | ms a line |\n| --- | --- |")
    print(f"| one process a line ({PROCESSES} measured) | {single * 1e3:.1f} |")
    print(f"| -batch, {LINES} lines | {batch * 1e3:.2f} |")
    print(f"| ratio | {single / batch:.0f} |")


if __name__ == "__main__":
    main()
