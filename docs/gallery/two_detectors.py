"""One still: photons with water around the crystal, and as a CCD behind a fibre taper and a charge-integrating hybrid detector read it."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm

from nanobragg_numba import Background, Beam, Crystal, Detector, DetectorResponse, Parameters, Sampling, Shadow, simulate

# sin(theta) / lambda (1/A), F of a molecule of water (electrons)
water = Background([[0.0, 2.57], [0.07, 2.8], [0.16, 8.0], [0.22, 6.75], [0.3, 4.3], [0.5, 3.2]], thickness_mm=0.001)
crystal = Crystal(
    cell=(79, 79, 38, 90, 90, 90),
    misset_deg=(10, 20, 30),
    n_cells=(80, 80, 160),
    shape="gauss",
    mosaic_spread_deg=0.2,
    mosaic_domains=50,
    default_F=1000,
)


def still(pixel_mm, response):
    """A window of 20 mm about the beam, in pixels of that size."""
    count = round(20 / pixel_mm)
    detector = Detector((count, count), pixel_size_mm=pixel_mm, distance_mm=90, convention="custom", beam_center_mm=(10.0, 10.0))
    beam = Beam(1.0, fluence=1e22, beamsize_mm=0.02)
    return simulate(
        Parameters(crystal, beam, detector, Sampling(oversample=4), backgrounds=(water,), shadow=Shadow(beamstop_mm=1.0), response=response)
    )


# Pixels of 89 um, binned 2x2; the form of the point spread is Holton's. Width, gain and noise: chosen for the picture.
taper = DetectorResponse(psf="fiber", psf_fwhm_pixels=100 / 89, gain=1.5, readout_noise_adu=2.0, calibration=0.02)
# Pixels of 75 um; 27 electrons of 3.6 eV, a photon being of 12.4 keV. Its counts here: 100 ADU a photon, without point spread.
hybrid = DetectorResponse(gain=100.0, readout_noise_adu=100.0 * 27 * 3.6 / 12398, calibration=0.005)

figure, panels = plt.subplots(1, 3, figsize=(15, 5.2), layout="constrained")
titles = ("photons", "phosphor, fibre taper, CCD", "charge-integrating pixels")
for axes, title, pixel, response in zip(panels, titles, (0.089, 0.089, 0.075), (None, taper, hybrid), strict=True):
    run = still(pixel, response)
    image = run.image if response is None else (run.read_out(seed=1) - response.adc_offset) / response.gain
    drawn = axes.imshow(np.maximum(image, 0.2), cmap="gray_r", norm=LogNorm(0.2, 300.0), extent=(0, 20, 20, 0))
    axes.set(title=title, xlabel="fast axis (mm)", ylabel="slow axis (mm)")
figure.colorbar(drawn, ax=panels, label="photons per pixel", shrink=0.8)
figure.savefig("two_detectors.png", dpi=100)
