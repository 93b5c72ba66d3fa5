"""Which steps can matter to which pixels: spots that end, or fall below what any pixel could show (docs/error-bound.md)."""
