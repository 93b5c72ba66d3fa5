"""nb-batch beside the C program run two at a time, and beside simulate_batch in a loop: NB_C_BIN=... python benchmarks/batch_jobs.py

Every comparison alternates its sides in one run, both on all processors, files written on both sides. Prints the median wall time of an
image (ms), the processor time (all processes), and the ratios of both: on a machine that others use, the second is the steadier one.
"""

import argparse
import csv
import itertools
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

EXAMPLES = Path(__file__).parent.parent / "examples"
MAIN = "from nanobragg_numba.cli.jobs import command; command()"
CRYSTAL = "-mat erl.mat -hkl {hkl} -lambda 1 -distance 100 -N 10 -oversample 1 -fluence 1e24"
STILLS = f"{CRYSTAL} -detpixels 256 -pixel 0.4 -mosaic 0.3 -mosaic_domains 5"
ROTATION = f"{CRYSTAL} -detpixels 1024 -pixel 0.1 -phisteps 4"
TINY = "-cell 70 80 90 90 90 90 -default_F 100 -lambda 1 -distance 100 -detpixels 16 -pixel 0.5 -N 5 -oversample 1 -nonoise"
LOOP = """
import sys
import numpy as np
from nanobragg_numba import parameters_from_command_line, simulate_batch
lines = [line.split("-seed")[0] for line in open("lines.txt")]
parameters = [parameters_from_command_line(line.replace("-nonoise", ""), "c") for line in lines]
for number, image in enumerate(simulate_batch(parameters, compat="c")):
    image.tofile(f"loop_{number:05d}.bin")
"""


def spent(words: Sequence[str], folder: str) -> tuple[float, float]:
    """Wall and processor time (seconds) of a process and its children."""
    started = perf_counter()
    process = subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)[:300]}: ended with status {status}")
    return perf_counter() - started, usage.ru_utime + usage.ru_stime


class Bench:
    """A folder of runs."""

    def __init__(self, folder: str, rounds: int):
        self.folder, self.rounds = folder, rounds
        self._numbers = itertools.count()

    def batch(self, base: str, rows: Sequence[str], form: str, *more: str) -> tuple[float, float]:
        """A run of nb-batch."""
        out = f"out{next(self._numbers)}"
        words = [sys.executable, "-c", MAIN, *rows, "--seed", "3", "--base", base, "--format", form, "--out", out, "--quiet", *more]
        times = spent(words, self.folder)
        subprocess.run(["rm", "-rf", out], cwd=self.folder, check=True)
        return times

    def lines(self, base: str, rows: Sequence[str]) -> int:
        """Write the command lines of the same images for the C program; how many."""
        words = [*rows, "--seed", "3", "--base", f"{base} -roi 0 0 0 0", "--format", "smv", "--out", "words", "--quiet"]
        subprocess.run([sys.executable, "-c", MAIN, *words], cwd=self.folder, check=True)
        with open(Path(self.folder) / "words" / "manifest.csv", newline="") as file:
            commands = [shlex.split(row["command"]) for row in csv.DictReader(file)]
        subprocess.run(["rm", "-rf", "words"], cwd=self.folder, check=True)
        with open(Path(self.folder) / "lines.txt", "w") as file:
            for number, words in enumerate(commands):
                at = words.index("-roi")
                own = words[3:at] + words[at + 5 :]
                names = f"-floatfile c{number}.bin -intfile /dev/null -noisefile c{number}.img -dump c{number}.dump -nopgm"
                file.write(shlex.join([*own, *names.split()]) + "\n")
        return len(commands)

    def reference(self, binary: str, nonoise: bool) -> tuple[float, float]:
        """The same images by the C program, as many at once as there are processors."""
        words = f"xargs -a lines.txt -P {os.cpu_count()} -L1 {shlex.quote(binary)}"
        text = (Path(self.folder) / "lines.txt").read_text()
        if nonoise:
            (Path(self.folder) / "lines.txt").write_text(
                "\n".join(f"{line} -nonoise" if "-nonoise" not in line else line for line in text.splitlines()) + "\n"
            )
        times = spent(["sh", "-c", words], self.folder)
        (Path(self.folder) / "lines.txt").write_text(text)
        subprocess.run("rm -f c*.bin c*.img c*.dump", shell=True, cwd=self.folder, check=True)
        return times

    def compared(self, what: str, images: int, sides: dict[str, Callable[[], tuple[float, float]]]) -> dict[str, float]:
        """Alternate the sides; print each one's times and the ratios of the first to the others. Returns the ms of an image, wall."""
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
        for _ in range(self.rounds):
            for name, side in sides.items():
                times[name].append(side())
        medians = {name: tuple(statistics.median(column) for column in zip(*own, strict=True)) for name, own in times.items()}
        print(f"\n{what}, {images} images\n\n| | ms an image | processor ms | ratio, wall | ratio, processor |")
        print("| --- | --- | --- | --- | --- |")
        first = next(iter(medians.values()))
        for name, (wall, processor) in medians.items():
            each = f"{wall / images * 1e3:.2f} | {processor / images * 1e3:.2f}"
            print(f"| {name} | {each} | {first[0] / wall:.2f} | {first[1] / processor:.2f} |", flush=True)
        return {name: own[0] / images * 1e3 for name, own in medians.items()}


def large_list(folder: str) -> int:
    """A list in P1 of all reflections to 1.2 A of the examples' crystal; how many."""
    count = 0
    with open(Path(folder) / "large.hkl", "w") as file:
        for h, k, l in itertools.product(range(-44, 45), range(-19, 20), range(-19, 20)):
            if (h / 53.0) ** 2 + (k / 23.1) ** 2 + (l / 23.1) ** 2 < 1.0 / 1.2**2:
                file.write(f"{h} {k} {l} {20 + (h * 7 + k * 13 + l * 29) % 400}\n")
                count += 1
    return count


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=500, help="stills")
    parser.add_argument("--rotation", type=int, default=180, help="images of the rotation")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    binary = os.environ.get("NB_C_BIN")
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("erl.mat", "erl.hkl"):
            (Path(folder) / name).write_bytes((EXAMPLES / name).read_bytes())
        reflections = {"erl.hkl": 4189, "large.hkl": large_list(folder)}
        bench = Bench(folder, options.rounds)
        bench.batch(STILLS.format(hkl="erl.hkl"), ["--orientations", "4"], "nexus")
        rows = ["--orientations", str(options.images)]
        for name, count in reflections.items() if binary else ():
            base = STILLS.format(hkl=name)
            images = bench.lines(base, rows)
            what = f"stills of 256x256, 5 domains, {count} reflections"
            bench.compared(f"{what}, float files", images, {
                "C program": lambda: bench.reference(binary, True), "nb-batch": lambda: bench.batch(f"{base} -nonoise", rows, "float"),  # noqa: B023
            })  # fmt: skip
            bench.compared(f"{what}, with noise", images, {
                "C program": lambda: bench.reference(binary, False), "nb-batch, NXmx": lambda: bench.batch(base, rows, "nexus"),  # noqa: B023
            })  # fmt: skip
        if binary and options.rotation:
            turn = ["--scan", f"phi=0:{options.rotation}:1"]
            base = ROTATION.format(hkl="erl.hkl")
            bench.compared("rotation, 1024x1024, 4 phi steps, with noise", bench.lines(base, turn), {
                "C program": lambda: bench.reference(binary, False), "nb-batch, NXmx": lambda: bench.batch(base, turn, "nexus"),
            })  # fmt: skip
        base = STILLS.format(hkl="erl.hkl") + " -nonoise"
        images = bench.lines(base, rows)
        bench.compared("float files", images, {
            "simulate_batch in a loop": lambda: spent([sys.executable, "-c", LOOP], folder),
            "nb-batch, 1 worker": lambda: bench.batch(base, rows, "float", "--workers", "1"),
            "nb-batch, 2 workers": lambda: bench.batch(base, rows, "float", "--workers", "2"),
        })  # fmt: skip
        few, many = (["--orientations", str(number)] for number in (200, 2200))
        print("\n| engine | ms an image of 16x16 beyond the start, float files |\n| --- | --- |")
        for engine in ("inline", "processes", "dask"):
            times = [[bench.batch(TINY, rows, "float", "--engine", engine)[0] for rows in (few, many)] for _ in range(options.rounds)]
            print(f"| {engine} | {statistics.median(long - short for short, long in times) / 2000 * 1e3:.2f} |", flush=True)


if __name__ == "__main__":
    main()
