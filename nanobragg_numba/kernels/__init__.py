"""The exact physics, in one place: every compiled engine is made from these functions."""
