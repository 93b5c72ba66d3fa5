"""Text to number and back as C's ``atof``, ``atoi`` and ``printf`` do it."""

import math
import re
from typing import Any

# Digits are spelt out: \d would take those of every script, which C does not.
FLOAT_PATTERN = (
    r"[+-]?(?:0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)(?:[pP][+-]?[0-9]+)?"
    r"|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[iI][nN][fF](?:[iI][nN][iI][tT][yY])?|[nN][aA][nN])"
)
C_SPACE = " \t\n\v\f\r"
_FLOAT = re.compile(FLOAT_PATTERN)
_INT = re.compile(r"([+-]?)0*([0-9]*)")
_LONG_DIGITS = 19
"""Of the largest 64-bit integer, where C's ``strtol`` stops."""


def to_float(digits: str) -> float:
    """The value of text that matches ``FLOAT_PATTERN``; inf where it is beyond doubles."""
    if "x" not in digits and "X" not in digits:
        return float(digits)
    try:
        return float.fromhex(digits)
    except OverflowError:
        return -math.inf if digits.startswith("-") else math.inf


def atof(text: str) -> float:
    """The number that ``text`` begins with, white space skipped; 0.0 if it begins with none."""
    match = _FLOAT.match(text.lstrip(C_SPACE))
    return to_float(match.group()) if match else 0.0


def atoi(text: str) -> int:
    """The integer that ``text`` begins with, wrapped to 32 bits as on x86-64; 0 if none."""
    match = _INT.match(text.lstrip(C_SPACE))
    sign, digits = match.groups() if match else ("", "")
    # Longer ones would be clamped below anyhow, and Python refuses to read those of thousands of digits.
    size = int(digits[: _LONG_DIGITS + 1] or "0")
    value = max(-size, -(2**63)) if sign == "-" else min(size, 2**63 - 1)
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
