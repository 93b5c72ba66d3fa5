"""Space groups from their generators (International Tables A), and what follows for reflections, in numpy alone."""

from itertools import product

import numpy as np

GENERATORS = {
    "P 1": [],
    "P -1": ["-x,-y,-z"],
    "P 1 21 1": ["-x,y+1/2,-z"],
    "C 1 2 1": ["x+1/2,y+1/2,z", "-x,y,-z"],
    "P 21 21 21": ["-x+1/2,-y,z+1/2", "-x,y+1/2,-z+1/2"],
    "I 4": ["x+1/2,y+1/2,z+1/2", "-x,-y,z", "-y,x,z"],
    "P 41 21 2": ["-x,-y,z+1/2", "-y+1/2,x+1/2,z+1/4", "-x+1/2,y+1/2,-z+1/4"],
    "P 31 2 1": ["-y,x-y,z+1/3", "y,x,-z"],
    "R 3:H": ["x+2/3,y+1/3,z+1/3", "-y,x-y,z"],
    "P 61": ["-y,x-y,z+1/3", "-x,-y,z+1/2"],
    "I 21 3": ["x+1/2,y+1/2,z+1/2", "-x+1/2,-y,z+1/2", "-x,y+1/2,-z+1/2", "z,x,y"],
    "F -4 3 m": ["x,y+1/2,z+1/2", "x+1/2,y,z+1/2", "-x,-y,z", "-x,y,-z", "z,x,y", "y,x,z"],
}
CELLS = {
    "P 1": (11.0, 12.5, 14.0, 80.0, 97.0, 105.0),
    "P -1": (11.0, 12.5, 14.0, 80.0, 97.0, 105.0),
    "P 1 21 1": (11.0, 12.5, 14.0, 90.0, 103.0, 90.0),
    "C 1 2 1": (17.0, 12.5, 14.0, 90.0, 103.0, 90.0),
    "P 21 21 21": (11.0, 12.5, 14.0, 90.0, 90.0, 90.0),
    "I 4": (14.0, 14.0, 17.0, 90.0, 90.0, 90.0),
    "P 41 21 2": (14.0, 14.0, 17.0, 90.0, 90.0, 90.0),
    "P 31 2 1": (14.0, 14.0, 17.0, 90.0, 90.0, 120.0),
    "R 3:H": (18.0, 18.0, 17.0, 90.0, 90.0, 120.0),
    "P 61": (14.0, 14.0, 17.0, 90.0, 90.0, 120.0),
    "I 21 3": (20.0, 20.0, 20.0, 90.0, 90.0, 90.0),
    "F -4 3 m": (20.0, 20.0, 20.0, 90.0, 90.0, 90.0),
}


def parsed(triplet):
    """x' = R x + t of "x,y,z": R (3, 3), t (3,)."""

    def row(text):
        def value(x, y, z):
            return eval(text, {"x": x, "y": y, "z": z})

        shift = value(0, 0, 0)
        return [value(*unit) - shift for unit in np.eye(3)], shift

    rows = [row(part) for part in triplet.split(",")]
    return np.rint([r for r, _ in rows]).astype(int), np.array([t for _, t in rows], float)


def operations(name):
    """All operations of the group, centring included: R (m, 3, 3), t (m, 3), by multiplying the generators until none is new."""
    found = {}

    def add(R, t):
        t = np.rint(t * 24).astype(int) % 24
        key = (*R.ravel().tolist(), *t.tolist())
        new = key not in found
        found[key] = (R, t / 24)
        return new

    add(np.eye(3, dtype=int), np.zeros(3))
    generators = [parsed(text) for text in GENERATORS[name]]
    while any(add(R @ S, R @ u + t) for (R, t), (S, u) in product(list(found.values()), generators)):
        pass
    return np.array([R for R, _ in found.values()]), np.array([t for _, t in found.values()])


def axes_of(cell):
    """(3, 3): columns a, b, c; any orientation."""
    a, b, c = cell[:3]
    alpha, beta, gamma = np.radians(cell[3:])
    x = (np.cos(alpha) - np.cos(beta) * np.cos(gamma)) / np.sin(gamma)
    return np.array([
        [a, b * np.cos(gamma), c * np.cos(beta)],
        [0, b * np.sin(gamma), c * x],
        [0, 0, c * np.sqrt(1 - np.cos(beta) ** 2 - x**2)],
    ])  # fmt: skip


def scattering_vectors(hkl, cell):
    """(n, 3), 1/A."""
    return hkl @ np.linalg.inv(axes_of(cell))


def inside(cell, d_min):
    """Every h k l but 0 0 0 with d >= d_min, by trying a block."""
    h, k, l = (int(edge / d_min) + 2 for edge in cell[:3])
    block = np.array(list(product(range(-h, h + 1), range(-k, k + 1), range(-l, l + 1))))
    s = np.linalg.norm(scattering_vectors(block, cell), axis=1)
    return block[(s <= (1 + 1e-9) / d_min) & (s > 0)]


def present(hkl, name):
    """Which of ``hkl`` symmetry leaves: the phases of h over the operations that keep it do not cancel."""
    R, t = operations(name)
    kept = (np.einsum("ni,mij->mnj", hkl, R) == hkl).all(axis=2)
    phases = np.exp(2j * np.pi * (hkl @ t.T)).T
    return np.abs((phases * kept).sum(axis=0)) > 1e-6


def orbits(hkl, name, friedel):
    """(n,): one number for all that are equivalent by symmetry, and by Friedel's law if ``friedel``."""
    R, _ = operations(name)
    mates = np.einsum("ni,mij->mnj", hkl, R)
    mates = np.concatenate([mates, -mates]) if friedel else mates
    keys = (mates[..., 0] * 1000 + mates[..., 1]) * 1000 + mates[..., 2]
    return keys.max(axis=0)
