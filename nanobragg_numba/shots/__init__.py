"""Many shots at once: host formulas replayed, and only the pixels that are asked for computed."""
