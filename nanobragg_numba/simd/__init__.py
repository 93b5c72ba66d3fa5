"""The guarded engine: vectorised over the pixels of a row, each pixel's rounding proven."""
