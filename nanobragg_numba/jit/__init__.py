"""Compiling, keeping and calling code."""
