"""What the numbers of a fit mean: rigid parts of a detector, structure factors of an asymmetric unit, and the pieces of a shot."""
