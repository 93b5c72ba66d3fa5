"""A tilted detector: the cones of a powder meet it in ellipses. The powder is 4000 small crystals, each turned at random."""

import matplotlib.pyplot as plt
import numpy as np
from picture import show

from nanobragg_numba import Beam, Crystal, Detector, Parameters, Sampling, simulate

edge = 4.157  # A; lanthanum hexaboride
turns, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(4000, 3, 3)))
turns *= np.linalg.det(turns)[:, None, None]  # rotations, no reflections
parameters = Parameters(
    Crystal(cell=(edge, edge, edge, 90, 90, 90), n_cells=(20, 20, 20), shape="round", default_F=100, mosaic_rotations=turns),
    Beam(wavelength_A=0.8, fluence=1e29),
    Detector(pixels=(240, 240), pixel_size_mm=0.5, distance_mm=60, twotheta_deg=40),
    Sampling(oversample=1),
)
run = simulate(parameters)

figure, axes = plt.subplots(figsize=(7.2, 5.6), layout="constrained")
show(axes, run, least=1e3, most=1e5, rings=[edge / n**0.5 for n in (1, 2, 3, 4, 5, 6)])
axes.set_title("powder rings on a detector tilted by 40°")
figure.savefig("tilted_detector.png", dpi=120)
