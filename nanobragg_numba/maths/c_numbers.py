"""Text to number and back as C's ``atof``, ``atoi`` and ``printf`` do it."""

import math
import re
from typing import Any

FLOAT_PATTERN = (
    r"[+-]?(?:0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)(?:[pP][+-]?\d+)?"
    r"|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[iI][nN][fF](?:[iI][nN][iI][tT][yY])?|[nN][aA][nN])"
)
C_SPACE = " \t\n\v\f\r"
_FLOAT = re.compile(FLOAT_PATTERN)
_INT = re.compile(r"[+-]?\d+")


def to_float(digits: str) -> float:
    """The value of text that matches ``FLOAT_PATTERN``."""
    if "x" in digits or "X" in digits:
        return float.fromhex(digits)
    return float(digits)


def atof(text: str) -> float:
    """The number that ``text`` begins with, white space skipped; 0.0 if it begins with none."""
    match = _FLOAT.match(text.lstrip(C_SPACE))
    return to_float(match.group()) if match else 0.0


def atoi(text: str) -> int:
    """The integer that ``text`` begins with, wrapped to 32 bits as on x86-64; 0 if none."""
    match = _INT.match(text.lstrip(C_SPACE))
    if not match:
        return 0
    value = max(-(2**63), min(2**63 - 1, int(match.group())))
    return (value + 2**31) % 2**32 - 2**31


def c_negative(value: int) -> int:
    """``-value`` of a 32-bit integer: the most negative one is its own negative."""
    return value if value == -(2**31) else -value


def c_int(value: float) -> int:
    """A double converted to a 32-bit integer as on x86-64: what is beyond, and nan, becomes the most negative one."""
    return int(value) if -(2.0**31) - 1.0 < value < 2.0**31 else -(2**31)


def shown(text: str) -> str:
    """``text`` quoted for a message, cut short if it is long."""
    return repr(text if len(text) <= 24 else text[:24] + "...")


def is_number(text: str) -> bool:
    """Whether all of ``text`` is one number, so that ``atof`` loses nothing."""
    return _FLOAT.fullmatch(text.strip(C_SPACE)) is not None


def c_format(template: str, *values: Any) -> str:
    """``template % values``, but a nan whose sign bit is set prints as ``-nan``, as in glibc."""
    if not any(isinstance(value, float) and math.isnan(value) for value in values):
        return template % values
    remaining = list(values)

    def one(match: re.Match[str]) -> str:
        if match.group() == "%%":
            return "%"
        value = remaining.pop(0)
        if isinstance(value, float) and math.isnan(value):
            width = int(match.group(2) or 0)
            text = "-nan" if math.copysign(1.0, value) < 0 else "nan"
            return text.ljust(width) if "-" in match.group(1) else text.rjust(width)
        return match.group() % value

    return re.sub(r"%%|%([-+ 0#]*)(\d*)(?:\.\d+)?[a-zA-Z]", one, template)
