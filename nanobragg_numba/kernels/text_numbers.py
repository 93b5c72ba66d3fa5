"""Scanning a text for numbers; see files/number_scan.py."""

from nanobragg_numba.jit.decorators import entry, inlined
from nanobragg_numba.jit.entry_types import Bytes1, Doubles1, Whole1

from .word_kinds import FRACTION, OTHER, WHOLE


@inlined
def is_space(byte):
    return byte == 32 or 9 <= byte <= 13


@entry
def count_words(raw: Bytes1, counts: Whole1) -> None:
    """The number of words of the text, into ``counts[0]``."""
    count = 0
    inside = False
    for byte in raw:
        space = is_space(byte)
        if inside and space:
            count += 1
        inside = not space
    counts[0] = count + 1 if inside else count


@inlined
def convert(raw, start, end, powers):
    """Value and kind of the word raw[start:end].

    Up to 15 digits and a power of ten up to 22 are exact doubles, so their quotient or product is the correctly
    rounded number, as from strtod (Clinger's fast path); anything else is OTHER.
    """
    at = start
    negative = raw[at] == 45
    if negative or raw[at] == 43:
        at += 1
    mantissa = 0
    digits = 0
    decimals = 0
    point = False
    while at < end and digits <= 15:
        byte = raw[at]
        if 48 <= byte <= 57:
            mantissa = 10 * mantissa + (byte - 48)
            digits += 1
            decimals += 1 if point else 0
        elif byte == 46 and not point:
            point = True
        else:
            break
        at += 1
    if digits == 0 or digits > 15:
        return 0.0, OTHER
    exponent = 0
    has_exponent = at < end and (raw[at] == 101 or raw[at] == 69)
    if has_exponent:
        at += 1
        down = at < end and raw[at] == 45
        if at < end and (down or raw[at] == 43):
            at += 1
        if at == end or end - at > 3:
            return 0.0, OTHER
        while at < end and 48 <= raw[at] <= 57:
            exponent = 10 * exponent + (raw[at] - 48)
            at += 1
        exponent = -exponent if down else exponent
    power = exponent - decimals
    if at < end or power > 22 or power < -22:
        return 0.0, OTHER
    value = mantissa * powers[power] if power >= 0 else mantissa / powers[-power]
    return (-value if negative else value), (FRACTION if point or has_exponent else WHOLE)


@entry
def scan_words(raw: Bytes1, powers: Doubles1, values: Doubles1, kinds: Bytes1, starts: Whole1) -> None:
    """Value, kind and offset of every word of the text."""
    at = 0
    for word in range(values.shape[0]):
        while is_space(raw[at]):
            at += 1
        start = at
        while at < raw.shape[0] and not is_space(raw[at]):
            at += 1
        values[word], kinds[word] = convert(raw, start, at, powers)
        starts[word] = start
