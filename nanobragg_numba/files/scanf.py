"""Reading numbers from a text one after another, as glibc's ``fscanf`` takes them off a file."""

import re

from nanobragg_numba.maths.c_numbers import C_SPACE, FLOAT_PATTERN, atoi, to_float

_SPACE = re.compile(rf"[{C_SPACE}]*")
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(FLOAT_PATTERN)
# What fscanf takes off the file for a %lg, which may be more than the number in it: "1e" and "1e+" are 1, "0x." is 0.
_TAKEN = re.compile(
    r"[+-]?(?:[nN][aA][nN]|[iI][nN][fF](?:[iI][nN][iI][tT][yY]|(?![iI]))"
    r"|0[xX](?:(?:[0-9a-fA-F]+(?:\.[0-9a-fA-F]*)?|\.[0-9a-fA-F]+)(?:[pP][+-]?[0-9]*)?|\.)"
    r"|(?!0[xX])(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]*)?)"
)


class Scanner:
    """A place in a text, from which numbers are taken off."""

    def __init__(self, text: str, at: int = 0):
        self.text, self.at = text, at

    def skip_space(self) -> None:
        """Go on to what is not white space."""
        space = _SPACE.match(self.text, self.at)
        self.at = space.end() if space else self.at

    def real(self) -> float | None:
        """The number that ``%lg`` reads here; None where it reads none, and then the place is where it gave up."""
        self.skip_space()
        taken = _TAKEN.match(self.text, self.at)
        number = _NUMBER.match(taken.group()) if taken else None
        if taken is None or number is None:
            return None
        self.at = taken.end()
        return to_float(number.group())

    def whole(self) -> int | None:
        """The 32-bit integer that ``%d`` reads here, or None."""
        self.skip_space()
        taken = _WHOLE.match(self.text, self.at)
        if taken is None:
            return None
        self.at = taken.end()
        return atoi(taken.group())

    def word(self) -> str:
        """What stands here up to the next white space; empty at the end of the text."""
        self.skip_space()
        return self.text[self.at :].split(maxsplit=1)[0] if self.at < len(self.text) else ""

    @property
    def line(self) -> int:
        """The number, from 1, of the line that the place is on."""
        return self.text.count("\n", 0, self.at) + 1
