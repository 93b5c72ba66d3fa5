"""Detectors of many panels: what they are, where they stand, the files that describe them, and the images that they record."""
