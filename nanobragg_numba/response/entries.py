"""Entry points of the detector's response and of amorphous scattering; see jit/entries.py."""

from nanobragg_numba.jit.entries import Entry, Library

RESPONSE = Library("response", "the detector's response", ("kernels", "response"), 4.0)

noisy_photons = Entry(RESPONSE, "response.deviates", "noisy_photons")
gaussian_deviates = Entry(RESPONSE, "response.deviates", "gaussian_deviates")

reaches_of_pixels = Entry(RESPONSE, "response.spread", "reaches_of_pixels")
lost_photons = Entry(RESPONSE, "response.spread", "lost_photons")
spread_rows = Entry(RESPONSE, "response.spread", "spread_rows")
add_everywhere = Entry(RESPONSE, "response.spread", "add_everywhere")

scaled_photons = Entry(RESPONSE, "response.read_out", "scaled_photons")
sum_in_order = Entry(RESPONSE, "response.read_out", "sum_in_order")
counts_of_16_bits = Entry(RESPONSE, "response.read_out", "counts_of_16_bits")
counts_of_32_bits = Entry(RESPONSE, "response.read_out", "counts_of_32_bits")

AMORPHOUS = Library("amorphous", "amorphous scattering", ("kernels", "simd", "response"), 4.0)

amorphous_pixels = Entry(AMORPHOUS, "response.amorphous", "amorphous_pixels")
guarded_pixels = Entry(AMORPHOUS, "response.amorphous_rows", "guarded_pixels")
solid_angles_in_order = Entry(AMORPHOUS, "response.amorphous", "solid_angles_in_order")
shifted_deviations = Entry(AMORPHOUS, "response.amorphous", "shifted_deviations")
