"""Degrees and radians, with the reference's constant."""

RTD = 180.0 * 0.31830988618379067154
"""Degrees in a radian; angles in degrees are divided by it, so that the bits are the reference's."""
