"""A still of 16 million pixels: 256 panels, each with its own tilt, beside one plane of as many pixels.

    python benchmarks/panels.py [--threads 2] [--repeats 5]

Both in turn, each in a process of its own: the median of the times, and the most memory above what a small image had taken, in images of
4-byte floats.
"""

import argparse
import resource
import statistics
import subprocess
import sys
from time import perf_counter

import numpy as np

from nanobragg_numba import Panel, PanelDetector, parameters_from_command_line, simulate, simulate_panels

LINE = "-cell 79 79 38 90 90 90 -misset 10 20 30 -default_F 100 -N 10 -lambda 1 -distance 300 -detpixels 4096 -pixel 0.075 -oversample 2"
SIDE, EDGE, PIXEL = 16, 256, 0.075


def tilted_panels() -> PanelDetector:
    """16 x 16 panels of 256 x 256 pixels where the plane of ``LINE`` is (MOSFLM: the beam along x), each turned by up to a degree."""
    rng = np.random.default_rng(1)
    panels = []
    for row in range(SIDE):
        for column in range(SIDE):
            tilt = np.radians(rng.uniform(-1, 1, 2))
            fast = (float(np.sin(tilt[0])), 0.0, float(np.cos(tilt[0])))
            slow = (0.0, -1.0, 0.0)
            corner = (300.0 + float(tilt[1]), (SIDE / 2 - row) * EDGE * PIXEL, (column - SIDE / 2) * EDGE * PIXEL)
            panels.append(Panel(f"r{row}c{column}", (EDGE, EDGE), PIXEL, corner, fast, slow))
    return PanelDetector(tuple(panels))


def measure(kind: str, threads: int) -> None:
    """Print seconds and bytes above the small image's."""
    parameters, panels = parameters_from_command_line(LINE), tilted_panels()
    simulate(parameters_from_command_line(f"{LINE} -roi 0 63 0 63 -detpixels 64"), threads=threads)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = perf_counter()
    image = (simulate_panels(parameters, panels, threads=threads) if kind == "panels" else simulate(parameters, threads=threads)).image
    seconds = perf_counter() - started
    assert image.size == (SIDE * EDGE) ** 2
    print(seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)


def main() -> None:
    """Measure both kinds in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--one", choices=("panels", "plane"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        measure(asked.one, asked.threads)
        return
    found: dict[str, list[tuple[float, float]]] = {"plane": [], "panels": []}
    for _ in range(asked.repeats):
        for kind, figures in found.items():
            words = [sys.executable, __file__, "--one", kind, "--threads", str(asked.threads)]
            seconds, size = map(float, subprocess.run(words, capture_output=True, text=True, check=True).stdout.split())
            figures.append((seconds, size / (4 * (SIDE * EDGE) ** 2)))
    for kind, figures in found.items():
        times, sizes = zip(*figures, strict=True)
        print(f"{kind:8s} {statistics.median(times):6.2f} s ({min(times):.2f} to {max(times):.2f}), {max(sizes):.2f} images of memory")


if __name__ == "__main__":
    main()
