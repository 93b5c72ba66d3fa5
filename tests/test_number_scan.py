"""The compiled number scanner gives what Python's float gives, to the last bit."""

import random

import numpy as np

from nanobragg_numba.files.number_scan import scan
from nanobragg_numba.kernels.word_kinds import FRACTION, OTHER, WHOLE


def words(seed: int, count: int) -> list[str]:
    r = random.Random(seed)
    forms = [
        lambda: str(r.randrange(-200, 200)),
        lambda: f"{r.uniform(-1e4, 1e4):.3f}",
        lambda: repr(r.uniform(-1, 1) * 10 ** r.uniform(-30, 30)),
        lambda: f"{r.uniform(-1, 1) * 10 ** r.uniform(-25, 25):.{r.randrange(1, 17)}e}",
        lambda: f"+{r.randrange(10**14)}.",
        lambda: f".{r.randrange(10**9)}",
        lambda: f"{r.randrange(10**18)}",
    ]
    return [r.choice(forms)() for _ in range(count)]


def test_values_are_pythons():
    text = words(1, 20000)
    values, kinds, starts = scan("\n ".join(text).encode())
    assert len(values) == len(text)
    for word, value, kind in zip(text, values, kinds, strict=True):
        if kind != OTHER:
            assert float(word) == value
            assert (kind == WHOLE) == word.lstrip("+-").isdigit()
    assert (kinds == FRACTION).sum() > 5000 and (kinds == OTHER).sum() < 12000
    assert starts[0] == 0 and (np.diff(starts) > 0).all()


def test_what_is_left_to_python():
    for word in ("nan", "inf", "0x10", "1e", "1e+", "e5", "-", ".", "1.2.3", "12a", "1e400", "1d5", "12345678901234567"):
        assert list(scan(word.encode())[1]) == [OTHER]
    assert [len(part) for part in scan(b" \t\r\n\v\f")] == [0, 0, 0]
    assert list(scan(b"\n7 8\t\n")[0]) == [7, 8] and list(scan(b"-0")[0]) == [0]
