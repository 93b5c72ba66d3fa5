"""What becomes of photons on the way to a detector's numbers: amorphous background, point spread, noise, read-out."""
