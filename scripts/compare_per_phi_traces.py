"""Compare the phi steps of a trace's JSON with the reference's log: nb-compare-phi as a script."""

from nanobragg_numba.cli.compare_phi import command

if __name__ == "__main__":
    command()
