"""The words of a command line: the table of options, and how they are read."""
