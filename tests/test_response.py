"""The detector's response and background: statistics, point spreads against integrals and sums of our own, calibration."""

import math

import numpy as np
import pytest
from scipy.integrate import dblquad

from nanobragg_numba import (
    Background,
    Beam,
    Detector,
    DetectorResponse,
    InputError,
    Parameters,
    amorphous_background,
    detector_response,
    point_spread,
)
from nanobragg_numba.response.point_spread import pixel_integrals

SIDE = 1000
"""The statistics are over SIDE^2 = 10^6 pixels."""


def flat(mean):
    return np.full((SIDE, SIDE), mean, np.float32)


def test_photon_transfer():
    """Variance against mean: the slope is the gain, the intercept the squared read-out noise."""
    gain, noise, offset = 2.5, 7.0, 100.0
    response = DetectorResponse(gain=gain, readout_noise_adu=noise, adc_offset=offset)
    means, variances = [], []
    for seed, photons in enumerate((3.0, 10.0, 30.0, 100.0, 300.0), 1):
        counts = detector_response(flat(photons), response, seed=seed).astype(np.float64)
        expected = gain * photons + offset
        # The mean's own error, five times over.
        assert abs(counts.mean() - expected) < 5.0 * math.sqrt((gain**2 * photons + noise**2) / SIDE**2)
        means.append(counts.mean() - offset)
        variances.append(counts.var())
    weights = 1.0 / np.array(variances)
    slope, intercept = np.polyfit(means, variances, 1, w=weights)
    assert slope == pytest.approx(gain, rel=0.005)
    # Rounding to whole numbers adds a twelfth.
    assert intercept == pytest.approx(noise**2 + 1.0 / 12.0, rel=0.01)


def test_calibration_is_the_same_from_shot_to_shot():
    response = DetectorResponse(calibration=0.05, calibration_seed=7, adc_offset=0.0, bits=32)
    a, b = (detector_response(flat(1e6), response, seed=seed) / 1e6 - 1.0 for seed in (1, 2))
    other = (
        detector_response(flat(1e6), DetectorResponse(calibration=0.05, calibration_seed=8, adc_offset=0.0, bits=32), seed=1) / 1e6 - 1.0
    )
    assert a.std() == pytest.approx(0.05, rel=0.01)
    # Shot noise of 0.1 % beside errors of 5 %.
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.999
    assert abs(np.corrcoef(a.ravel(), other.ravel())[0, 1]) < 0.01
    assert not np.array_equal(a, b)


def test_flicker_adds_to_the_variance():
    response = DetectorResponse(flicker=0.1, adc_offset=0.0)
    counts = detector_response(flat(1000.0), response, seed=3).astype(np.float64)
    assert counts.var() == pytest.approx(1000.0 + (0.1 * 1000.0) ** 2, rel=0.01)


@pytest.mark.parametrize("kind", ["gauss", "fiber"])
def test_neighbours_are_correlated_as_the_point_spread_says(kind):
    response = DetectorResponse(psf=kind, psf_fwhm_pixels=1.6, psf_radius=12, gain=20.0, adc_offset=0.0)
    counts = detector_response(flat(50.0), response, seed=5).astype(np.float64)[20:-20, 20:-20]
    counts -= counts.mean()
    weights = pixel_integrals(kind, 1.6, 12)
    down, along = np.mgrid[-12:13, -12:13]
    weights = np.where(down**2 + along**2 <= 144, weights, 0.0)
    variance = counts.var()
    for dy, dx in ((0, 1), (1, 0), (1, 1), (0, 2), (3, 1)):
        expected = (weights[dy:, dx:] * weights[: 25 - dy, : 25 - dx]).sum() / (weights**2).sum()
        found = (counts[dy:, dx:] * counts[: counts.shape[0] - dy, : counts.shape[1] - dx]).mean() / variance
        assert found == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("width", [0.4, 1.0, 3.7])
@pytest.mark.parametrize("kind", ["gauss", "fiber"])
def test_closed_forms_against_numerical_integrals(kind, width):
    def gauss(y, x):
        return 4.0 * math.log(2.0) / (math.pi * width**2) * math.exp(-4.0 * math.log(2.0) * (x * x + y * y) / width**2)

    def fiber(y, x):
        # Half of its value in the middle at half the width: (1 + (w / 2 g)^2)^(-3/2) = 1 / 2.
        g = width / (2.0 * math.sqrt(2.0 ** (2.0 / 3.0) - 1.0))
        return g / (2.0 * math.pi) * (g * g + x * x + y * y) ** -1.5

    found = pixel_integrals(kind, width, 3)
    for dy, dx in ((0, 0), (0, 1), (1, 2), (-3, 1), (2, -2)):
        expected, _ = dblquad({"gauss": gauss, "fiber": fiber}[kind], dx - 0.5, dx + 0.5, dy - 0.5, dy + 0.5, epsabs=1e-11)
        assert found[dy + 3, dx + 3] == pytest.approx(expected, abs=1e-9)


def test_all_pixels_together_are_the_integral_over_their_square():
    half, g = 40.5, 2.0 * 0.652383013252053
    square = 4.0 * math.atan(half * half / (g * math.sqrt(g * g + 2.0 * half * half))) / (2.0 * math.pi)
    assert pixel_integrals("fiber", 2.0, 40).sum() == pytest.approx(square, abs=1e-12)
    assert pixel_integrals("gauss", 2.0, 40).sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("kind", ["gauss", "fiber"])
def test_no_photon_is_lost_inside_the_image(kind, exact):
    image = np.zeros((90, 70))
    image[45, 35], image[40, 30], image[50, 33] = 1e5, 3.0, 777.0
    spread = point_spread(image, kind, 1.7, radius=25, exact=exact)
    # Exact: every term is rounded to single precision, to 6e-8 of the sum so far.
    assert spread.sum() == pytest.approx(image.sum(), rel=1e-6)
    assert (spread > -1e-9).all()


@pytest.mark.parametrize("kind", ["gauss", "fiber"])
def test_fourier_transforms_against_a_sum_in_double_precision(kind):
    rng = np.random.default_rng(2)
    image = rng.gamma(0.3, 100.0, (61, 47))
    radius = 9
    weights = pixel_integrals(kind, 2.2, radius)
    expected = np.zeros(image.shape)
    total = 0.0
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            if dx * dx + dy * dy > radius * radius:
                continue
            weight = weights[dy + radius, dx + radius]
            total += weight
            target = expected[max(dy, 0) : 61 + min(dy, 0), max(dx, 0) : 47 + min(dx, 0)]
            target += weight * image[max(-dy, 0) : 61 + min(-dy, 0), max(-dx, 0) : 47 + min(-dx, 0)]
    expected += image.sum() * (1.0 - total) / image.size
    assert np.abs(point_spread(image, kind, 2.2, radius, exact=False) - expected).max() < 1e-6 * expected.max()
    single = point_spread(image.astype(np.float32), kind, 2.2, radius, exact=True)
    # 253 terms, each rounded to 6e-8 of what is summed so far.
    assert np.abs(single - expected).max() < 253 * 6e-8 * expected.max()


def test_a_point_spread_wider_than_the_image():
    image = np.zeros((5, 8))
    image[2, 3] = 100.0
    for exact in (True, False):
        spread = point_spread(image, "fiber", 3.0, radius=100, exact=exact)
        assert spread.shape == image.shape and 0.0 < spread.sum() < 100.0


def test_background_against_a_sum_of_our_own():
    """One pixel after the other, from the formulas: F^2 r_e^2 fluence molecules, polarization, solid angle."""
    table = np.array([[0.0, 2.57], [0.05, 3.0], [0.1, 4.5], [0.2, 6.0], [0.3, 5.0], [0.5, 3.0]])
    beam = Beam(wavelength_A=1.2, fluence=1e24, polarization=0.7, beamsize_mm=0.2)
    detector = Detector((21, 17), pixel_size_mm=1.5, distance_mm=40.0, convention="custom", beam_center_mm=(15.6, 12.9))
    background = Background(table, thickness_mm=0.3, density_g_cm3=0.9, molecular_weight=20.0)
    image = amorphous_background(background, Parameters(beam=beam, detector=detector))
    molecules = 0.3e-3 * 0.2e-3 * 0.2e-3 * 0.9e6 * 6.02214179e23 / 20.0
    for slow, fast in ((0, 0), (3, 18), (8, 10), (16, 20)):
        y, z = 12.9e-3 - (slow + 0.5) * 1.5e-3, (fast + 0.5) * 1.5e-3 - 15.6e-3
        distance = math.sqrt(0.04**2 + y * y + z * z)
        cosine = 0.04 / distance
        s = math.sqrt((1.0 - cosine) / 2.0) / 1.2
        at = min(max(int(np.searchsorted(table[:, 0], s, side="right")) - 1, 1), len(table) - 3)
        F = np.polyval(np.polyfit(table[at - 1 : at + 3, 0], table[at - 1 : at + 3, 1], 3), s) if s >= 0.05 else None
        if F is None:
            # Below the second point the reference's outer points leave a parabola through the first three.
            F = np.polyval(np.polyfit(table[:3, 0], table[:3, 1], 2), s)
        psi = math.atan2(y, z)
        polar = 0.5 * (1.0 + cosine**2 - 0.7 * math.cos(2.0 * psi) * (1.0 - cosine**2))
        omega = 1.5e-3**2 * 0.04 / distance**3
        expected = F * F * 7.94079248018965e-30 * 1e24 * molecules * polar * omega
        assert image[slow, fast] == pytest.approx(expected, rel=1e-5)


def test_background_does_not_depend_on_the_number_of_equal_sources():
    table = np.array([[0.0, 2.57], [0.1, 4.5], [0.2, 6.0], [0.5, 3.0]])
    still = Parameters(beam=Beam(), detector=Detector(pixels=(20, 20)))
    three = Parameters(beam=Beam(dispersion_percent=1e-9, dispersion_steps=3), detector=Detector(pixels=(20, 20)))
    assert np.allclose(*(amorphous_background(Background(table), parameters) for parameters in (still, three)), rtol=1e-6)


BAD = {
    "an image of three axes": (lambda: point_spread(np.zeros((2, 2, 2)), "gauss", 1.0), "slow, fast"),
    "text": (lambda: detector_response(np.array([["a"]]), DetectorResponse()), "real numbers"),
    "nan": (lambda: detector_response(np.array([[1.0, np.nan]]), DetectorResponse()), "slow 0, fast 1"),
    "too many photons": (lambda: point_spread(np.array([[1e39]]), "gauss", 1.0), "single precision"),
    "no such point spread": (lambda: point_spread(np.ones((2, 2)), "lorentz", 1.0), "lorentz"),
    "no width": (lambda: point_spread(np.ones((2, 2)), "gauss", 0.0), "fwhm_pixels"),
    "no radius": (lambda: point_spread(np.ones((2, 2)), "gauss", 1.0, radius=0), "radius"),
    "a seed of zero": (lambda: detector_response(np.ones((2, 2)), DetectorResponse(), seed=0), "seed"),
    "negative noise": (lambda: DetectorResponse(readout_noise_adu=-1.0), "readout_noise_adu"),
    "twelve bits": (lambda: DetectorResponse(bits=12), "bits"),
    "saturation": (lambda: DetectorResponse(saturation_adu=70000.0), "saturation_adu"),
    "a table that goes back": (lambda: Background([[0.0, 1.0], [0.2, 1.0], [0.1, 1.0]]), "ascend"),
    "a table of one column": (lambda: Background([[0.0], [0.2]]), "Background.table"),
    "no thickness": (lambda: Background([[0.0, 1.0]], thickness_mm=0.0), "thickness_mm"),
    "no beam": (lambda: amorphous_background(Background([[0.0, 1.0]]), Parameters(beam=Beam(beamsize_mm=0.0))), "beamsize_mm"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_refused_in_one_sentence(what):
    call, names = BAD[what]
    with pytest.raises(InputError, match=names) as caught:
        call()
    assert "\n" not in str(caught.value)
