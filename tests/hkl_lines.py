"""Random lists of structure factors as people and programs leave them, and worse."""

import random


def _integers(r: random.Random) -> list[str]:
    return [str(r.randrange(-3, 4)) for _ in range(3)]


def _free(r):
    return " ".join([*_integers(r), f"{r.uniform(1, 300):.2f}"])


def _fixed(r):
    return "".join(f"{int(n):4d}" for n in _integers(r)) + f"{r.uniform(1, 300):8.2f}"


def _touching(r):
    return "".join(f"{r.choice([-103, -100, 2, 101]):4d}" for _ in range(3)) + f"{r.uniform(-300, 300):7.2f}"


def _tight(r):
    h, k, l = _integers(r)
    return f"{h}{int(k):+d}{int(l):+d}{r.uniform(-9, 9):+.3f}"


def _decimals(r):
    return " ".join([*(f"{n}.0" for n in _integers(r)), f"{r.uniform(1, 300):.1f}"])


def _half(r):
    return " ".join([*_integers(r)[:2], f"{r.uniform(-2, 2):.1f}", f"{r.uniform(1, 300):.1f}"])


def _five(r):
    return " ".join([*_integers(r), str(r.randrange(1, 4)), str(r.randrange(1, 4))])


def _sigma(r):
    return _free(r) + f" {r.uniform(0, 3):.2f}"


def _exponent(r):
    return " ".join([*_integers(r), r.choice(["1e2", "1.5E+01", "2e", "3e+", "0x1p3", ".5", "7.", "1e400", "-0", "12345678901234567"])])


def _not_finite(r):
    return " ".join([*_integers(r), r.choice(["nan", "-nan", "inf", "infinity"])])


def _nan_index(r):
    return " ".join(["nan", *_integers(r)[:2], "7"])


def _short(r):
    return " ".join([*_integers(r), "9"][: r.randrange(1, 4)])


def _text(r):
    return r.choice(["END", "# comment", "h k l F", "1 2 x 4", "infi", "0 0 1 5abc", "\x0c", "1,2,3,4"])


FORMS = (_free, _fixed, _touching, _tight, _decimals, _half, _five, _sigma, _exponent, _not_finite, _nan_index, _short, _text)


def random_list(seed: int) -> bytes:
    """A list of some lines, mostly of one form, with a line or two of another among or behind them."""
    r = random.Random(seed)
    form = r.choice(FORMS[:10])
    lines = [form(r) for _ in range(r.randrange(1, 12))]
    for _ in range(r.choice([0, 0, 1, 1, 2])):
        lines.insert(r.randrange(1, len(lines) + 1), r.choice(FORMS)(r))
    end = r.choice(["\n", "\n", "\r\n", "\n\n"])
    return (end.join(lines) + r.choice([end, end, ""])).encode()
