"""All numbers of a text at once, compiled: what is common is converted here, exactly, and the rest is left to Python."""

import numpy as np

from ..compiled import compiled

FRACTION, WHOLE, OTHER = 0, 1, 2
"""Kinds of words: a plain decimal number, one without point and exponent, and what was not converted."""
_POWERS = np.array([10.0**n for n in range(23)])


@compiled
def _is_space(byte):
    return byte == 32 or 9 <= byte <= 13


@compiled
def _count_words(raw):
    count = 0
    inside = False
    for byte in raw:
        space = _is_space(byte)
        if inside and space:
            count += 1
        inside = not space
    return count + 1 if inside else count


@compiled
def _convert(raw, start, end, powers):
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


@compiled
def _scan(raw, powers):
    count = _count_words(raw)
    values = np.empty(count)
    kinds = np.empty(count, np.uint8)
    starts = np.empty(count, np.int64)
    word = 0
    at = 0
    while word < count:
        while _is_space(raw[at]):
            at += 1
        start = at
        while at < raw.shape[0] and not _is_space(raw[at]):
            at += 1
        values[word], kinds[word] = _convert(raw, start, at, powers)
        starts[word] = start
        word += 1
    return values, kinds, starts


def scan(content: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Value, kind and offset of every word of ``content``; the value of an OTHER word is 0."""
    values, kinds, starts = _scan(np.frombuffer(content, np.uint8), _POWERS)
    return values, kinds, starts
