"""The help text: every option, grouped by subject, with unit and default."""

import textwrap
from collections.abc import Iterable

from nanobragg_numba.command_line import own_input_options
from nanobragg_numba.command_line.option_table import OPTIONS, Option
from nanobragg_numba.command_line.whole_image import options as whole_image

from .own_options import ROWS

GROUPS = ("crystal", "structure factors", "beam", "geometry", "detector", "sampling", whole_image.GROUP, "output", "this program")
INTRODUCTION = """\
nanoBragg: X-ray diffraction images from small crystals.

  nanoBragg -mat A.mat -hkl P1.hkl -lambda 1 -N 10 -distance 100 -detpixels 1024
  nanoBragg -cell 70 80 90 90 90 90 -misset 10 20 30 -default_F 100 -N 5 -lambda 1

A crystal (-mat or -cell) and structure factors (-hkl or -default_F) are needed. The options and all output are
those of the C program nanoBragg; Q1 ... Q11 are its quirks, explained in docs/compat.md.
"""


def all_options() -> Iterable[Option]:
    """The reference's options, then ours."""
    return (*OPTIONS, *own_input_options.ROWS, *whole_image.ROWS, *ROWS)


def help_text() -> str:
    """The text of ``nanoBragg --help``."""
    parts = [INTRODUCTION]
    for group in GROUPS:
        parts.append(f"\n{group.capitalize()}\n")
        for option in all_options():
            if option.group == group:
                parts.append(entry_text(option))
    return "".join(parts)


def entry_text(option: Option) -> str:
    """The lines about one option."""
    head = f"  {' '.join(option.words)} {option.arguments}".rstrip()
    facts = [option.help]
    if option.default:
        facts.append(f"default: {option.default}")
    if option.quirk:
        facts.append(option.quirk)
    body = textwrap.fill("; ".join(facts), 100, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return f"{head}\n{body}\n"


def markdown_table() -> str:
    """The README's table of options."""
    rows = ["| option | values (unit) | default | meaning | quirk |", "| --- | --- | --- | --- | --- |"]
    for group in GROUPS:
        rows.append(f"| **{group}** | | | | |")
        for option in all_options():
            if option.group == group:
                words = " ".join(f"`{word}`" for word in option.words)
                cells = [words, option.arguments, option.default, option.help, option.quirk]
                rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(markdown_table(), end="")
