"""-expt FILE[:N[:IMAGE]]: the option, and the parts of its value."""

import os

from nanobragg_numba.command_line.option_table import Option

EXPT = Option(
    ("-expt",), "this program", "FILE[:N[:IMAGE]]", "none",
    "beam, panels, goniometer, scan and crystal of a DIALS list: of its experiment N, counted from 0, at that image of the scan, by "
    "default the first", exact=True,
)  # fmt: skip


def expt_parts(value: str) -> tuple[str, int | None, int | None]:
    """The file of -expt, and the numbers of experiment and image behind it, None where they are not given."""
    numbers: list[int] = []
    while len(numbers) < 2 and not os.path.exists(value):
        name, colon, number = value.rpartition(":")
        if not (colon and name and number.isascii() and number.isdigit() and len(number) < 10):
            break
        value = name
        numbers.insert(0, int(number))
    return value, *(numbers + [None, None])[:2]  # type: ignore[return-value]


def expt_file(value: str) -> str:
    """The file of -expt."""
    return expt_parts(value)[0]
