"""Entry points of the exact physics, of noise, images and text; see jit/entries.py."""

from nanobragg_numba.jit.entries import Entry, Library

EXACT = Library("exact", "the image", ("kernels",), 6.0)
ORIENTATIONS = Library("orientations", "the image", ("kernels",), 2.0)
IMAGES = Library("images", "the image", ("kernels",), 3.0)
NOISE = Library("noise", "noise", ("kernels",), 4.0)
TEXT = Library("text", "text files", ("kernels",), 2.0)

exact_rows = Entry(EXACT, "kernels.exact", "exact_rows")
count_rows = Entry(EXACT, "kernels.exact", "count_rows")
record_pixel = Entry(EXACT, "kernels.exact", "record_pixel")
serial_solid_angle = Entry(EXACT, "kernels.exact", "serial_solid_angle")

turned_lattices = Entry(ORIENTATIONS, "kernels.orientations", "turned_lattices")
random_turns = Entry(ORIENTATIONS, "kernels.random", "random_turns")
random_rotations = Entry(ORIENTATIONS, "kernels.random", "random_rotations")
uniform_deviates = Entry(ORIENTATIONS, "kernels.random", "uniform_deviates")

image_sums = Entry(IMAGES, "kernels.images", "image_sums")
squared_deviations = Entry(IMAGES, "kernels.images", "squared_deviations")
scaled_counts = Entry(IMAGES, "kernels.images", "scaled_counts")
grey_levels = Entry(IMAGES, "kernels.images", "grey_levels")
noisy_counts = Entry(IMAGES, "kernels.images", "noisy_counts")

tangents = Entry(NOISE, "kernels.noise", "tangents")
log_factorials = Entry(NOISE, "kernels.noise", "log_factorials")
noise_survey = Entry(NOISE, "kernels.noise", "noise_survey")
poisson_parameters = Entry(NOISE, "kernels.noise", "poisson_parameters")
draw_photons = Entry(NOISE, "kernels.noise", "draw_photons")

count_words = Entry(TEXT, "kernels.text_numbers", "count_words")
scan_words = Entry(TEXT, "kernels.text_numbers", "scan_words")
