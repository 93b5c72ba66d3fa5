"""The noise against a plain twin of the reference's generator, deviate by deviate."""

import gc
import math
import threading
import time
from itertools import pairwise

import numpy as np
import pytest

from nanobragg_numba.jit.cpu_features import has_fused_multiply_add
from nanobragg_numba.kernels import entries
from nanobragg_numba.kernels.random_state import new_state, reseed
from nanobragg_numba.output import photon_noise
from nanobragg_numba.output.integer_images import NoiseImage, noisy_counts
from nanobragg_numba.output.photon_noise import draw_photons, poisson_image
from nanobragg_numba.threads import AbandonedError, made_ahead

f32 = np.float32


class Twin:
    """ran1, gasdev, gammln and poidev as the reference mixes single and double precision."""

    def __init__(self, seed):
        self.seed, self.last, self.table, self.spare = seed, 0, [0] * 32, None

    def advance(self):
        k = self.seed // 127773
        self.seed = 16807 * (self.seed - k * 127773) - 2836 * k
        if self.seed < 0:
            self.seed += 2147483647

    def uniform(self):
        if self.seed <= 0 or self.last == 0:
            self.seed = max(-self.seed, 1)
            for j in range(39, -1, -1):
                self.advance()
                if j < 32:
                    self.table[j] = self.seed
            self.last = self.table[0]
        self.advance()
        j = self.last // 67108864
        self.last, self.table[j] = self.table[j], self.seed
        value = f32(self.last * (1.0 / 2147483647))
        return f32(1.0 - 1.2e-7) if value > 1.0 - 1.2e-7 else value

    def gaussian(self):
        if self.spare is not None:
            value, self.spare = self.spare, None
            return value
        square = f32(0)
        while square >= 1 or square == 0:
            v1, v2 = f32(2.0 * float(self.uniform()) - 1.0), f32(2.0 * float(self.uniform()) - 1.0)
            square = f32(v1 * v1 + v2 * v2)
        factor = f32(math.sqrt(-2.0 * math.log(float(square)) / float(square)))
        self.spare = v1 * factor
        return v2 * factor

    def poisson(self, mean):
        if mean > 1e6:
            return f32(float(mean) + float(np.sqrt(np.float64(mean))) * float(self.gaussian()))
        count = f32(-1)
        if mean < 12:
            threshold, product = f32(np.exp(-np.float64(mean))), f32(1)
            while True:
                count += f32(1)
                product *= self.uniform()
                if not product > threshold:
                    return count
        root, logarithm = f32(math.sqrt(2.0 * float(mean))), f32(math.log(float(mean)))
        g = mean * logarithm - log_gamma(f32(float(mean) + 1.0))
        while True:
            count = f32(-1)
            while count < 0:
                y = f32(math.tan(math.pi * float(self.uniform())))
                count = root * y + mean
            count = f32(math.floor(count))
            exponent = count * logarithm - log_gamma(f32(float(count) + 1.0)) - g
            ratio = f32(0.9 * (1.0 + float(y * y)) * math.exp(float(exponent)))
            if not self.uniform() > ratio:
                return count


def log_gamma(x):
    y = x = float(x)
    shifted = x + 5.5
    shifted -= (x + 0.5) * math.log(shifted)
    series = 1.000000000190015
    for coefficient in (
        76.18009172947146, -86.50532032941677, 24.01409824083091, -1.231739572450155, 0.1208650973866179e-2, -0.5395239384953e-5,
    ):  # fmt: skip
        y += 1.0
        series += coefficient / y
    return f32(-shifted + math.log(2.5066282746310005 * series / x))


def means():
    generator = np.random.default_rng(4)
    image = (10 ** generator.uniform(-6, 7, (30, 40))).astype(f32)
    image[3, :10] = (0.0, 12.0, np.nextafter(f32(12), f32(0)), 1e6, 1000001.0, -0.0, -3.0, 3e9, 1e-44, 11.5)
    image[4] = 700.25
    return image


def drawn(image, seed, window, threads):
    state = new_state()
    reseed(state, seed)
    return draw_photons(image, window, state, threads)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("seed", [-1, -2147483647, -2147483648, 0])
@pytest.mark.parametrize(
    ("threads", "least", "largest", "room"), [(1, 4096, 1 << 17, 512), (2, 16, 64, 512), (1, 4, 8, 0), (2, 100, 100, 3)]
)
def test_photons_are_the_twin_s(seed, share, threads, least, largest, room, monkeypatch):
    monkeypatch.setattr(photon_noise, "SHARE_TO_PREPARE", share)
    monkeypatch.setattr(photon_noise, "LEAST_PIECE", least)
    monkeypatch.setattr(photon_noise, "LARGEST_PIECE", largest)
    monkeypatch.setattr(photon_noise, "ROOM", room)
    monkeypatch.setattr(photon_noise, "PIXELS_OF_BLOCK", largest)
    image, twin = means(), Twin(seed)
    photons, total = drawn(image, seed, (2, 40, 1, 29), threads)
    expected, sum_of_all = np.zeros(image.shape, f32), 0.0
    for slow in range(1, 29):
        for fast in range(2, 40):
            expected[slow, fast] = twin.poisson(image[slow, fast])
            sum_of_all += float(expected[slow, fast])
    assert np.array_equal(photons, expected)
    assert total == sum_of_all


def test_dim_pixels_near_the_threshold():
    """Where a deviate decides between no photon and one, and the quick bound leaves it open."""
    uniforms = poisson_uniforms(4000)
    image = np.array([[f32(-math.log(float(u))) for u in uniforms]], f32)
    image = np.nextafter(image, np.array([[f32(0), f32(1)] * 2000], f32))
    twin = Twin(-9)
    expected = [twin.poisson(mean) for mean in image[0]]
    assert np.array_equal(drawn(image, -9, (0, 4000, 0, 1), 1)[0][0], expected)


def poisson_uniforms(count):
    twin = Twin(-9)
    return [twin.uniform() for _ in range(count)]


def test_without_vectors_the_same(monkeypatch):
    whole = (0, 40, 0, 30)
    before = drawn(means(), -5, whole, 2)
    monkeypatch.setattr(photon_noise, "has_known_libm", lambda: False)
    after = drawn(means(), -5, whole, 2)
    assert np.array_equal(before[0], after[0]) and before[1] == after[1]


def test_images_without_pixels_or_numbers():
    assert drawn(np.zeros((3, 4), f32), -1, (2, 2, 0, 3), 2)[1] == 0.0
    photons = drawn(np.array([[np.nan, np.inf, 5.0, 20.0]], f32), -1, (0, 4, 0, 1), 2)[0]
    assert photons[0, 1] == np.inf and np.isfinite(photons[0, 2:]).all()


@pytest.mark.skipif(not has_fused_multiply_add(), reason="this processor has no fused multiply-add; libm alone is used on it")
def test_tangents_and_thresholds_are_libm_s():
    generator = np.random.default_rng(5)
    near = [np.nextafter(f32(v), f32(w)) for v in (0.25, 0.5, 0.75) for w in (0, 1)]
    uniforms = np.concatenate([generator.random(100_000, f32), f32([1e-9, 0.25, 0.5, 0.75, 1 - 1.2e-7, 0.0]), near]).astype(f32)
    result = np.empty_like(uniforms)
    entries.tangents(uniforms, True, result)
    assert np.array_equal(result, [f32(math.tan(math.pi * float(u))) for u in uniforms])
    image = np.concatenate([generator.uniform(0, 12, 50_000), 10 ** generator.uniform(-12, 1, 50_000)]).astype(f32)[None]
    thresholds, nothing = np.empty_like(image), np.empty_like(image)
    entries.poisson_parameters((0, image.shape[1], 0, 1), image, True, thresholds, nothing, nothing)
    assert np.array_equal(thresholds[0], [f32(math.exp(-float(mean))) for mean in image[0]])


def test_poisson_image_is_double_precision():
    assert poisson_image(means(), 3).dtype == np.float64


def noise_rows(image, window, threads, ends):
    """The noise image, while the float image's rows are finished one stretch after the other; and its maker."""
    state = new_state()
    reseed(state, -5)
    making = np.full_like(image, 1e30)
    noisy = NoiseImage(making, window, state, 40.0, threads)

    def finish():
        for start, end in pairwise(ends):
            time.sleep(0.01)
            making[start:end] = image[start:end]
            noisy.finished.reach(end)

    threading.Thread(target=finish).start()
    return np.concatenate(list(noisy.rows())), noisy


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("window", [(0, 40, 0, 30), (2, 37, 3, 29), (5, 5, 0, 30), (4, 3, 7, 2)])
def test_noise_follows_the_rows_as_they_are_finished(window, threads, monkeypatch):
    monkeypatch.setattr(photon_noise, "PIXELS_OF_BLOCK", 100)
    rows, noisy = noise_rows(means(), window, threads, [0, 1, 8, 9, 30])
    photons, total = drawn(means(), -5, window, 1)
    expected, overloads = noisy_counts(photons, window, 40.0)
    assert np.array_equal(rows, expected)
    assert (noisy.total, noisy.overloads) == (total, overloads)


@pytest.mark.parametrize("threads", [1, 2])
def test_noise_gives_up_where_no_rows_follow(threads, monkeypatch):
    monkeypatch.setattr(photon_noise, "PIXELS_OF_BLOCK", 100)
    noisy = NoiseImage(means(), (0, 40, 0, 30), new_state(), 40.0, threads)
    noisy.finished.reach(10)
    rows = noisy.rows()
    next(rows)
    noisy.finished.abandon()
    with pytest.raises(AbandonedError):
        list(rows)


def test_what_is_made_ahead_keeps_order_room_and_errors():
    begun = []

    def items():
        for n in range(6):
            begun.append(n)
            yield n
        raise ValueError("made ahead")

    seen = []
    with pytest.raises(ValueError, match="made ahead"):
        for n in made_ahead(items(), 2):
            time.sleep(0.005)
            assert begun[-1] <= n + 1
            seen.append(n)
    assert seen == list(range(6))


@pytest.mark.parametrize("threads", [1, 2])
def test_what_was_drawn_with_goes_with_it(threads):
    """Without garbage collection, which a worker of many images seldom has: no megabyte of deviates is left behind an image."""
    image = np.full((40, 50), 20.0, np.float32)
    before = threading.active_count()

    def deviates():
        return {id(one) for one in gc.get_objects() if type(one).__module__ == photon_noise.__name__}

    gc.collect()
    earlier = deviates()
    gc.disable()
    try:
        draw_photons(image, (0, 50, 0, 40), new_state(), threads)
        while threading.active_count() > before:
            time.sleep(0.01)
        left = deviates() - earlier
    finally:
        gc.enable()
    assert left == set() and id(photon_noise.NO_DEVIATES) in earlier
