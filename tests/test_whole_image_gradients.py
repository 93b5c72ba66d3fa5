"""The smooth parts of the whole image in torch: the values of numpy's functions, and derivatives by finite differences."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from nanobragg_numba import Background, Beam, Detector, InputError, Parameters, Sampling, Shadow  # noqa: E402
from nanobragg_numba import amorphous_background as numpy_background  # noqa: E402
from nanobragg_numba import point_spread as numpy_spread  # noqa: E402
from nanobragg_numba.autograd import amorphous_background, mean_reading, point_spread, simulate  # noqa: E402

TABLE = np.array([[0.0, 2.57], [0.07, 2.8], [0.16, -1.0], [0.22, 6.75], [0.3, 4.3], [0.5, 3.2]])
WATER = Background(TABLE, thickness_mm=0.3)
STILL = Parameters(
    beam=Beam(fluence=1e18, polarization=0.5, dispersion_percent=2.0, dispersion_steps=2),
    detector=Detector(pixels=(9, 8), pixel_size_mm=9.0, thickness_um=300.0, attenuation_depth_um=250.0),
    sampling=Sampling(oversample=2),
)
IMAGE = np.random.default_rng(1).gamma(0.5, 10.0, (9, 8))


def number(value):
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("roi", [None, (2, 7, 1, 5)])
def test_background_is_that_of_numpy(roi):
    parameters = replace(STILL, detector=replace(STILL.detector, roi=roi))
    expected = numpy_background(WATER, parameters)
    assert amorphous_background(WATER, parameters).numpy() == pytest.approx(expected, rel=3e-7)


def test_background_gradients():
    def background(factors, thickness, scale):
        return amorphous_background(WATER, STILL, factors=factors, thickness_mm=thickness, scale=scale)

    assert torch.autograd.gradcheck(background, (number(TABLE[:, 1]), number(0.2), number(1.5)))


@pytest.mark.parametrize("kind", ["gauss", "fiber", "moffat"])
def test_point_spread_is_that_of_numpy_with_its_gradients(kind):
    expected = numpy_spread(IMAGE, kind, 1.7, 6, exact=False)
    assert point_spread(torch.tensor(IMAGE), kind, 1.7, 6).numpy() == pytest.approx(expected, abs=1e-12 * expected.max())
    beta = number(2.5) if kind == "moffat" else 2.5
    assert torch.autograd.gradcheck(lambda i, w, b: point_spread(i, kind, w, 3, b), (number(IMAGE[:2, :3]), number(1.3), beta))


def test_gradients_of_gain_offset_and_calibration():
    def reading(calibration, gain, offset, width):
        photons = torch.tensor(IMAGE)
        return mean_reading(photons, calibration=calibration, psf="fiber", fwhm_pixels=width, radius=4, gain=gain, adc_offset=offset)

    assert torch.autograd.gradcheck(reading, (number(1.0 + 0.03 * IMAGE / 10.0), number(1.7), number(40.0), number(1.1)))


def test_what_makes_no_sense_is_refused():
    for call, names in (
        (lambda: point_spread(torch.ones(3, 3), "lorentz", 1.0), "lorentz"),
        (lambda: point_spread(torch.ones(3), "gauss", 1.0), "slow, fast"),
        (lambda: point_spread(torch.ones(3, 3), "gauss", number(0.0)), "fwhm_pixels"),
        (lambda: amorphous_background(WATER, STILL, factors=number([1.0])), "factors"),
        (lambda: simulate(replace(STILL, shadow=Shadow(1.0))), "shadow"),
    ):
        with pytest.raises(InputError, match=names):
            call()
