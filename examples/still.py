"""A still image in ten lines, saved as an array and as a picture."""

import numpy as np
from matplotlib import image

from nanobragg_numba import Beam, Crystal, Detector, Parameters, simulate

crystal = Crystal(cell=(79, 79, 38, 90, 90, 90), misset_deg=(10, 20, 30), n_cells=(12, 12, 24), default_F=100)
beam = Beam(wavelength_A=1.0, fluence=1e28)
detector = Detector(pixels=(512, 512), pixel_size_mm=0.2, distance_mm=100)
run = simulate(Parameters(crystal, beam, detector))
np.save("still.npy", run.image)
image.imsave("still.png", np.log10(run.image + 0.01), cmap="gray_r")
print(f"{run.image.sum():.4g} photons on {run.image.shape[1]} x {run.image.shape[0]} pixels")
