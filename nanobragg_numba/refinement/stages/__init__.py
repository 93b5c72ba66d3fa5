"""The stages of a joint fit: how it goes, which spots are looked at, and how much of the images a model explains."""
