"""Kinds of words in a text of numbers."""

FRACTION, WHOLE, OTHER = 0, 1, 2
"""A plain decimal number, one without point and exponent, and what was not converted."""
