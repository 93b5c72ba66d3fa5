"""noisify and nonBragg beside the C programs: whole commands, which take turns; each figure is the median of REPEATS.

noisify by the clock, on two threads; the C program has one. nonBragg by processor time, on one thread: of the whole commands, in which
ours pays for Python's start, and of our kernels alone, once loaded. The outputs must be equal. NB_NOISIFY_BIN and
NB_NONBRAGG_BIN name the C programs.

    NB_NOISIFY_BIN=/path/to/noisify NB_NONBRAGG_BIN=/path/to/nonBragg python benchmarks/sisters.py
"""

import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

from nanobragg_numba.cli.nonbragg import derive
from nanobragg_numba.command_line.nonbragg_line import read_nonbragg_line
from nanobragg_numba.response.amorphous_image import render

REPEATS = 3
SIDE = 2048
NOISY = f"-floatfile image.bin -detpixels {SIDE} -pixel 0.1 -readout_noise 2 -seed 1"
NOISIFY = {
    "no point spread": NOISY,
    "fiber, radius 30": f"{NOISY} -psf fiber -psf_fwhm 100 -psf_radius 30",
    "gauss, radius 30": f"{NOISY} -psf gauss -psf_fwhm 900 -psf_radius 30",
    "gauss, automatic radius": f"{NOISY} -psf gauss -psf_fwhm 300",
}
SAMPLE = "-stol table.stol -detpixels 1024 -pixel 0.2 -lambda 1 -noprogress -nonoise -seed 1"
NONBRAGG = {
    "-oversample 6": f"{SAMPLE} -oversample 6",
    "-oversample 6 -polar 0.9": f"{SAMPLE} -oversample 6 -polar 0.9",
    "-oversample 3, 5 wavelengths": f"{SAMPLE} -oversample 3 -dispersion 1 -dispsteps 5",
    "-oversample 3, 15 sources, -polar 0.9": f"{SAMPLE} -oversample 3 -dispersion 1 -dispsteps 5 -hdivrange 1 -hdivsteps 3 -polar 0.9",
}
OURS = "from nanobragg_numba.cli.start import {0} as command; command()"


def processor() -> str:
    """The processor's name and how many this process may use."""
    named = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return f"{named[0] if named else platform.processor()}, {len(os.sched_getaffinity(0))} cores"


def timed(command: list[str], folder: Path) -> tuple[float, float]:
    """Seconds by the clock, and of processor time."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    wall, after = perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def kernel_time(words: str, folder: Path) -> float:
    """Processor time of nonBragg's kernels."""
    before = os.getcwd()
    os.chdir(folder)
    x = derive(read_nonbragg_line(words.split()))
    os.chdir(before)
    started = process_time()
    render(x.geometry, x.line.parameters, x.sources, x.points, x.oversample, x.fluence, x.molecules, 1)
    return process_time() - started


def compare(name: str, program: str, binary: str, words: str, threads: int, by_clock: bool, kept: str) -> None:
    """Run both in turn, see that the file ``kept`` is the same, and print a line."""
    seconds: dict[str, list[float]] = {"C": [], "ours": []}
    alone = []
    with tempfile.TemporaryDirectory() as base:
        for who in seconds:
            (Path(base) / who).mkdir()
            make_inputs(Path(base) / who, program)
        command = [sys.executable, "-c", OURS.format(program.lower()), "-threads", str(threads)]
        # Compiles, if it must.
        subprocess.run([*command, "-version"], capture_output=True, check=True)
        timed([*command, *words.split()], Path(base) / "ours")
        for _ in range(REPEATS):
            for who, start in (("C", [binary]), ("ours", command)):
                wall, busy = timed([*start, *words.split()], Path(base) / who)
                seconds[who].append(wall if by_clock else busy)
            alone += [kernel_time(words, Path(base) / "ours")] if program == "nonBragg" else []
        same = (Path(base) / "C" / kept).read_bytes() == (Path(base) / "ours" / kept).read_bytes()
    c, ours = (statistics.median(seconds[who]) for who in ("C", "ours"))
    equal = "equal" if same else "NOT EQUAL"
    kernels = f"   kernels {statistics.median(alone):5.2f} s   {c / statistics.median(alone):5.1f}x" if alone else ""
    print(f"{program} {name:38} C {c:7.2f} s   ours {ours:6.2f} s   {c / ours:5.1f}x{kernels}   {kept} {equal}", flush=True)


def make_inputs(folder: Path, program: str) -> None:
    """An image of spots on a background of a few photons, or a smooth table of structure factors."""
    if program == "noisify":
        rng = np.random.default_rng(1)
        image = 5.0 + np.where(rng.random((SIDE, SIDE)) < 0.002, rng.gamma(1.0, 2000.0, (SIDE, SIDE)), 0.0)
        image.astype("<f4").tofile(folder / "image.bin")
        return
    s = np.linspace(0.0, 0.6, 3000)
    F = 2.57 + 5.0 * np.exp(-(((s - 0.16) / 0.04) ** 2)) + np.sin(20.0 * s) ** 2
    (folder / "table.stol").write_text("".join(f"{x:.6g} {f:.6g}\n" for x, f in zip(s, F, strict=True)))


def main() -> None:
    """Print a line for each case of the programs that there are."""
    print(f"{processor()}; medians of {REPEATS}")
    if binary := os.environ.get("NB_NOISIFY_BIN"):
        for name, words in NOISIFY.items():
            compare(name, "noisify", os.path.abspath(binary), words, 2, True, "noiseimage.img")
    if binary := os.environ.get("NB_NONBRAGG_BIN"):
        for name, words in NONBRAGG.items():
            compare(name, "nonBragg", os.path.abspath(binary), words, 1, False, "floatimage.bin")


if __name__ == "__main__":
    main()
