"""A slow, plain twin of the "spec" kernel: the physics written again with numpy, one sum at a time."""

import math

import numpy as np


def rotation(axis, angle):
    """Rotation matrix about a unit axis (radians)."""
    x, y, z = axis
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * skew + (1 - math.cos(angle)) * skew @ skew


def lattice_sum(x, shape):
    """Amplitude of the crystal's transform at fractional indices x for a shape."""
    n = np.array([x.tables.crystal.na, x.tables.crystal.nb, x.tables.crystal.nc])
    fudge = x.tables.crystal.fudge

    def square(hkl):
        amplitude = 1.0
        for index, count in zip(hkl, n, strict=True):
            phases = 2j * np.pi * index * np.arange(count)
            amplitude *= abs(np.exp(phases).sum())
        return amplitude

    def round_(hkl):
        away = (hkl - np.round(hkl)) * n
        radius = math.pi * math.sqrt((away @ away) * fudge)
        transform = 1.0 if radius == 0 else 3 * (math.sin(radius) - radius * math.cos(radius)) / radius**3
        return n.prod() * 0.723601254558268 * transform

    def gauss(hkl):
        away = (hkl - np.round(hkl)) * n
        exponent = (away @ away) / 0.63 * fudge
        # The spot ends where its square is below e^-60 of the peak.
        return n.prod() * math.exp(-exponent) if exponent <= 30 else 0.0

    return {"square": square, "round": round_, "gauss": gauss}[shape]


def pixel(x, fast, slow, shape, structure_factor):
    """Photons of one pixel: the mean over sub-pixels and orientations, the sum over layers and weighted sources."""
    g, t = x.geometry, x.tables
    axes = np.array([x.lattice.a, x.lattice.b, x.lattice.c]) * 1e-10
    transform = lattice_sum(x, shape)
    photons = 0.0
    over = x.oversample
    rotations = x.mosaic.reshape(-1, 3, 3) if len(x.mosaic) else np.eye(3)[None]
    for layer in range(g.layers):
        for sub_slow in range(over):
            for sub_fast in range(over):
                f = (fast + (sub_fast + 0.5) / over) * g.pixel_size
                s = (slow + (sub_slow + 0.5) / over) * g.pixel_size
                depth = layer * g.layer_thickness
                position = f * np.array(g.fast) + s * np.array(g.slow) + depth * np.array(g.normal) + np.array(g.pix0)
                path = np.linalg.norm(position)
                ray = position / path
                omega = g.pixel_size**2 / path**2 * (g.close_distance / path)
                capture = 1.0
                if g.thickness:
                    slant = ray @ np.array(g.normal)
                    capture = math.exp(-layer * g.layer_thickness * g.mu / slant) * (1 - math.exp(-g.layer_thickness * g.mu / slant))
                for source in range(len(t.beam.wavelengths)):
                    beam = t.beam.incident[source]
                    scattering = (ray - beam) / t.beam.wavelengths[source]
                    cosine = beam @ ray
                    b = np.cross(g.polarization_axis, beam)
                    b /= np.linalg.norm(b)
                    e = np.cross(beam, b)
                    psi = -math.atan2(ray @ b, ray @ e)
                    polar = 0.5 * (1 + cosine**2 - t.beam.kahn * math.cos(2 * psi) * (1 - cosine**2))
                    total = 0.0
                    for tic in range(x.phi.count):
                        turned = axes @ rotation(g.spindle_axis, x.phi_start + tic * x.phi.step).T
                        for domain in rotations:
                            hkl = (turned @ domain.T) @ scattering
                            total += (structure_factor(hkl) * transform(hkl)) ** 2
                    total /= x.phi.count * len(rotations)
                    weight = x.sources.intensities[source] / x.sources.intensities.sum()
                    water = x.parameters.crystal.water_um * 1e-6
                    molecules = water**3 * 1e6 * 6.02214179e23 / 18.0
                    photons += weight * 7.94079248018965e-30 * x.fluence * (total + 2.57**2 * molecules) * polar * omega * capture
    return photons / over**2
