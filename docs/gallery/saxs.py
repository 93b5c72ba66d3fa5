"""Small angles: a large "unit cell" that holds one sphere, its transform interpolated between the cell's reflections."""

import matplotlib.pyplot as plt
import numpy as np
from picture import show, two_theta

from nanobragg_numba import Beam, Crystal, Detector, Parameters, from_arrays, simulate

radius, edge, contrast = 50.0, 400.0, 0.1  # A, A, electrons per cubic A above the solvent


def sphere(q):
    """Amplitude of the sphere (electrons) at q = 4 pi sin(theta) / lambda, 1/A."""
    x = np.maximum(q * radius, 1e-3)
    return contrast * 4 * np.pi * radius**3 * (np.sin(x) - x * np.cos(x)) / x**3


hkl = np.stack(np.meshgrid(*[np.arange(-32, 33)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
table = from_arrays(hkl, sphere(2 * np.pi * np.linalg.norm(hkl, axis=1) / edge))
crystal = Crystal(cell=(edge, edge, edge, 90, 90, 90), n_cells=(1, 1, 1), structure_factors=table)
run = simulate(Parameters(crystal, Beam(1.0, fluence=1e27), Detector((256, 256), pixel_size_mm=0.6, distance_mm=2000)))

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
show(left, run, least=1e-4, cmap="viridis")
q = 4 * np.pi * np.sin(two_theta(run.geometry) / 2)  # at 1 A
right.semilogy(q.ravel()[::7], run.image.ravel()[::7] / run.image.max(), ".", ms=2, label="pixels")
line = np.linspace(0.001, 0.345, 1000)
right.semilogy(line, (sphere(line) / sphere(0)) ** 2, lw=0.8, label="formula")
right.set(xlabel="q = 4π sin θ / λ (1/Å)", ylabel="intensity / intensity at q = 0", ylim=(1e-7, 2))
right.legend()
figure.savefig("saxs.png", dpi=120)
