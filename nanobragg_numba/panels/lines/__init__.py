"""Command lines whose detector, or more, stands in a file that -panels or -expt names."""
