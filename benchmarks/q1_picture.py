"""Makes docs/q1.png: an image in "spec", and what the phi = 0 carryover (Q1) of "c" changes in it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from nanobragg_numba import parameters_from_command_line, simulate

LINE = "-cell 100 100 100 90 90 90 -default_F 100 -lambda 1 -N 5 -distance 100 -detpixels 256 -phi 0 -osc 1 -phisteps 10 -oversample 1"


def main() -> None:
    """Write the picture and print the largest change."""
    parameters = parameters_from_command_line(LINE)
    images = {}
    for carryover in (False, True):
        sampling = replace(parameters.sampling, carryover=carryover)
        images[carryover] = simulate(replace(parameters, sampling=sampling), dtype=np.float64).image
    spec, c = images[False], images[True]
    change = (c - spec) / np.maximum(spec, np.percentile(spec, 50))
    grey = 255 * (1 - np.clip(np.log(np.maximum(spec, 1e-30) / np.percentile(spec, 50)) / np.log(1e4), 0, 1))
    left = np.repeat(grey[:, :, None], 3, axis=2)
    strength = np.clip(change / 0.3, -1, 1)
    right = np.stack([255 * (1 - np.clip(-strength, 0, 1)), 255 * (1 - np.abs(strength)), 255 * (1 - np.clip(strength, 0, 1))], axis=2)
    gap = np.full((spec.shape[0], 12, 3), 255.0)
    picture = np.concatenate([left, gap, right], axis=1).astype(np.uint8)
    target = Path(__file__).parent.parent / "docs" / "q1.png"
    Image.fromarray(picture).resize((picture.shape[1] * 2, picture.shape[0] * 2), Image.Resampling.NEAREST).save(target)
    print(f"largest relative change of a pixel above the median: {np.abs(change).max():.1%}")


if __name__ == "__main__":
    main()
