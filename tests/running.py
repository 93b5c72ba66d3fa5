"""Run the command inside the test process, in a folder of its own."""

import os
import re
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

GOLDEN = Path(__file__).parent.parent / "golden"
POINTER = re.compile(rb"(mmap\([^)]*\) = ).*")


@dataclass
class Run:
    """What a run left: exit status, standard output, standard error, files."""

    status: int
    stdout: bytes
    stderr: str
    folder: Path

    def files(self, inputs: Iterable[str] = ()) -> dict[str, bytes]:
        """Content of every file in the folder but the inputs."""
        return {p.name: p.read_bytes() for p in sorted(self.folder.iterdir()) if p.is_file() and p.name not in inputs}


def nanobragg(words, folder: Path, capfdbinary, inputs: Iterable[str] = ()) -> Run:
    """Run ``nanoBragg words`` in ``folder``, with copies of golden inputs beside it."""
    from nanobragg_numba.cli.nanobragg import main

    return _run(main, words, folder, capfdbinary, [GOLDEN / "inputs" / name for name in inputs])


def sister(program: str, words, folder: Path, capfdbinary, inputs: Iterable[str] = ()) -> Run:
    """Run ``noisify`` or ``nonBragg`` likewise."""
    main = import_module(f"nanobragg_numba.cli.{program.lower()}").main
    return _run(main, words, folder, capfdbinary, [GOLDEN / "sister" / "inputs" / name for name in inputs])


def _run(main, words, folder: Path, capfdbinary, inputs: Iterable[Path]) -> Run:
    folder.mkdir(parents=True, exist_ok=True)
    for path in inputs:
        shutil.copy(path, folder)
    before = os.getcwd()
    os.chdir(folder)
    capfdbinary.readouterr()
    try:
        status = main(list(words))
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os.chdir(before)
    out, err = capfdbinary.readouterr()
    return Run(status, POINTER.sub(rb"\1POINTER", out), err.decode(errors="replace"), folder)


def describe_difference(got: bytes, want: bytes, width: int) -> str:
    """Where two float images first differ, both values, and how many pixels do."""
    import numpy as np

    a, b = np.frombuffer(got, "<f4"), np.frombuffer(want, "<f4")
    if a.size != b.size:
        return f"{a.size} pixels instead of {b.size}"
    different = np.flatnonzero(a.view("<u4") != b.view("<u4"))
    if not different.size:
        return "the float images are equal"
    first = int(different[0])
    return (
        f"first difference at slow {first // width}, fast {first % width}: {a[first]!r} instead of {b[first]!r}; "
        f"{different.size} of {a.size} pixels differ"
    )
