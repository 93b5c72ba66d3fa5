"""Numbers of nature and of spot shapes, with the reference's digits, so that the bits are the reference's."""

RTD = 180.0 * 0.31830988618379067154
"""Degrees in a radian; angles in degrees are divided by it."""
ELECTRONVOLT_ANGSTROM = 12398.42
"""h c: energy (eV) times wavelength (A) of a photon (CODATA: 12398.41984)."""
THOMSON_CROSS_SECTION = 7.94079248018965e-30
"""Squared classical electron radius, m^2 (CODATA: 2.8179403e-15 m)."""
AVOGADRO = 6.02214179e23
"""Molecules in a mole (CODATA 2006)."""
WATER_F = 2.57
"""Structure factor of a molecule of liquid water in the forward direction, electrons, of the reference's background."""
WATER_WEIGHT = 18.0
"""Grams in a mole of water; its density is taken as 1 g/cm^3."""
SPHERE_HEIGHT = 0.723601254558268
"""sqrt(pi / 6), the square root of the volume ratio of the ellipsoid to the parallelepiped around it."""
GAUSSIAN_WIDTH = 0.63
"""A Gaussian spot is L = N exp(-R^2 / 0.63), R^2 = sum (N dh)^2: about as wide as a parallelepiped's, with 0.98 of its photons."""
GAUSSIAN_END = 30.0
"""In "spec" a Gaussian spot ends where R^2 / 0.63 exceeds this: at R = 4.35, where L^2 has fallen to e^-60 = 9e-27 of its peak."""
TOPHAT_EDGE = 0.3969
"""A flat spot is where R^2 < 0.63^2: a ball with 4/3 pi 0.63^3 = 1.05 of a parallelepiped's photons."""
