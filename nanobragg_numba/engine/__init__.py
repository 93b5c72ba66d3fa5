"""Runs an experiment: rows, blocks, batches, traces."""
