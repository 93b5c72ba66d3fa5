"""Vectors, constants and numbers: what everything else is made of; needs nothing of this project."""
