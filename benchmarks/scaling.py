"""Time and memory of the guarded engine against the number of steps a pixel; prints a table."""

import resource
from time import perf_counter

from nanobragg_numba import parameters_from_command_line
from nanobragg_numba.engine.pixel_engine import PixelEngine
from nanobragg_numba.experiment.derive import derive_experiment

LINE = "-cell 100 100 100 90 90 90 -default_F 100 -lambda 1 -N 5 -distance 100 -detpixels {0} -oversample 1 -mosaic 0.5 -mosaic_domains {1}"


def main() -> None:
    """Print the table, one thread."""
    print("| steps a pixel | image | ns/step | peak memory (MB) |\n| --- | --- | --- | --- |")
    for steps, side in ((1, 2048), (10, 1024), (100, 512), (1000, 256), (10_000, 128), (100_000, 64)):
        times = []
        for _ in range(4):
            engine = PixelEngine(derive_experiment(parameters_from_command_line(LINE.format(side, steps), "c"), "c"), threads=1)
            started = perf_counter()
            for _ in engine.blocks():
                pass
            times.append((perf_counter() - started) / (side * side * steps))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"| {steps} | {side}x{side} | {min(times[1:]) * 1e9:.2f} | {memory:.0f} |", flush=True)


if __name__ == "__main__":
    main()
