"""Cell and orientation of a crystal from images alone, by programs that know nothing of nanobragg_numba.

``python examples/index_image.py FILE [FILE ...]``: a still, a rotation image, or a series of them in order, SMV, miniCBF or NXmx. fabio
and nxmx read the files, ImageD11 finds the spots and the lattice, of which nothing is known beforehand. Needs
``pip install ImageD11 nxmx hdf5plugin``.
"""

import argparse
import contextlib
import io
import os
import re
import tempfile

import fabio
import h5py
import hdf5plugin  # noqa: F401
import numpy as np
import nxmx
from ImageD11 import fft_index_refac, indexing, labelimage, lattice_reduction, rc_array, transform

GRID, RESOLUTION = 128, 2.0
"""Points of the Fourier transform along each axis, and the d spacing (A) that it reaches: cells of up to GRID RESOLUTION / 4 are found."""
LONGEST_INDEX = 0.15
"""How far indices of a spot may be from whole numbers."""


class Frame:
    """One image: pixels (slow, fast), start and range of the rotation (degrees), wavelength (A), and the place of a point of the image.

    Places are along x, the beam, z, the rotation axis, and y = z cross x, in any unit, from the sample.
    """

    def __init__(self, pixels, start, width, wavelength, place):
        self.pixels, self.omega, self.wavelength, self.place = np.asarray(pixels, np.float32), start + width / 2, wavelength, place


def read(path):
    """The frames of a file."""
    if path.endswith((".h5", ".nxs")):
        return nexus_frames(path)
    with fabio.open(path) as image:
        return [(cbf_frame if path.endswith(".cbf") else smv_frame)(image.data, image.header)]


def facing(distance, pixel, beam_fast, beam_slow):
    """The places on a detector that faces the beam, the rotation axis along fast; the beam is at these pixels, 0 the first one's centre."""
    # ImageD11's words: its first coordinate is slow, its second fast. Fast goes along z, slow against y.
    words = {"distance": distance, "y_size": pixel, "z_size": pixel, "z_center": beam_slow, "y_center": beam_fast}
    turned = {"o11": 0.0, "o12": 1.0, "o21": -1.0, "o22": 0.0}
    return lambda slow, fast: transform.compute_xyz_lab(np.array([slow, fast]), **words, **turned)


def smv_frame(pixels, header):
    """A frame of an SMV image with XDS's beam centre: pixels are counted from 1."""
    number = {key: float(header[key]) for key in "DISTANCE PIXEL_SIZE XDS_ORGX XDS_ORGY OSC_START OSC_RANGE WAVELENGTH".split()}
    place = facing(number["DISTANCE"], number["PIXEL_SIZE"], number["XDS_ORGX"] - 1, number["XDS_ORGY"] - 1)
    return Frame(pixels, number["OSC_START"], number["OSC_RANGE"], number["WAVELENGTH"], place)


def cbf_frame(pixels, header):
    """A frame of a miniCBF image: the beam is counted from the corner of the first pixel."""
    text = header["_array_data.header_contents"]
    pixel, distance, wavelength, start, width = (
        float(re.search(rf"# {word} ([-\d.e]+) ", text)[1])
        for word in ("Pixel_size", "Detector_distance", "Wavelength", "Start_angle", "Angle_increment")
    )
    fast, slow = map(float, re.search(r"# Beam_xy \(([-\d.e]+), ([-\d.e]+)\) pixels", text).groups())
    return Frame(pixels, start, width, wavelength, facing(distance, pixel, fast - 0.5, slow - 0.5))


def nexus_frames(path):
    """The frames of an NXmx file, with the chains of transformations of each module; NeXus's z is along the beam."""
    with h5py.File(path) as file:
        (entry,) = nxmx.NXmx(file).entries
        (detector,), (beam,) = entry.instruments[0].detectors, entry.instruments[0].beams
        spindle = nxmx.get_dependency_chain(entry.samples[0].depends_on)[0]
        x, z = np.array([0.0, 0.0, 1.0]), np.array(spindle.vector)
        axes = np.array([x, np.cross(z, x), z])
        boxes = [(module.data_origin, module.data_size, *plane(module, axes)) for module in detector.modules]

        def place(slow, fast):
            places = np.full((3, len(slow)), np.nan)
            for origin, size, corner, along_slow, along_fast in boxes:
                i, j = slow + 0.5 - origin[0], fast + 0.5 - origin[1]
                here = (i >= 0) & (i < size[0]) & (j >= 0) & (j < size[1])
                places[:, here] = corner[:, None] + np.outer(along_slow, i[here]) + np.outer(along_fast, j[here])
            return places

        data, wavelength = entry.data[0], float(np.ravel(beam.incident_wavelength.to("angstrom").magnitude)[0])
        starts = np.ravel(spindle[()].to("deg").magnitude)
        widths = np.ravel(spindle.end[()].to("deg").magnitude) - starts
        images = data[data.signal][()]
        return [Frame(image, *turn, wavelength, place) for image, *turn in zip(images, starts, widths, strict=True)]


def plane(module, axes):
    """Corner (mm) of a module, and its steps from pixel to pixel along slow and fast, all along ``axes``."""
    fast, slow = module.fast_pixel_direction, module.slow_pixel_direction
    chain = nxmx.get_cumulative_transformation(nxmx.get_dependency_chain(fast.depends_on))[0]
    steps = [chain[:3, :3] @ (step.vector * np.ravel(step[()].to("mm").magnitude)[0]) for step in (slow, fast)]
    return axes @ chain[:3, 3], *(axes @ step for step in steps)


def scattering_vectors(frames, sigmas=6.0, smallest=2):
    """Scattering vectors (n, 3) of the spots (1/A), turned back to where the rotation is at 0.

    A spot is ``smallest`` pixels or more that lie ``sigmas`` standard deviations above the image's median, and one spot over the frames
    that it goes through.
    """
    table, nothing = io.StringIO(), io.StringIO()
    finder = labelimage.labelimage(frames[0].pixels.shape, fileout=table, sptfile=nothing)
    for frame in frames:
        median = float(np.median(frame.pixels))
        finder.peaksearch(frame.pixels, median + sigmas * max(median, 1.0) ** 0.5, frame.omega)
        finder.mergelast()
    finder.finalise()
    titles = finder.titles.lstrip("# ").split()
    columns = dict(zip(titles, np.loadtxt(io.StringIO(table.getvalue()), ndmin=2).T, strict=True))
    kept = columns["Number_of_pixels"] >= smallest
    slow, fast, omega = (columns[name][kept] for name in ("sc", "fc", "omega"))
    places = frames[0].place(slow, fast)
    there = ~np.isnan(places[0])
    tth, eta = transform.compute_tth_eta_from_xyz(places[:, there], omega[there])
    vectors = transform.compute_g_vectors(tth, eta, omega[there], frames[0].wavelength).T
    lengths = np.linalg.norm(vectors, axis=1)
    # The beam itself is no reflection.
    return np.ascontiguousarray(vectors[lengths > 0.01])


def lattice(vectors):
    """a, b, c (rows, A) of a primitive lattice of the scattering vectors, refined, and the share of them that it indexes."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        grid = fft_index_refac.grid(npx=GRID, mr=RESOLUTION, nsig=5)
        grid.gv_to_grid_new(vectors)
        grid.fft()
        grid.props()
        peaks = os.path.join(folder, "peaks")
        grid.peaksearch(peaks)
        grid.read_peaks(peaks)
        strongest = np.argsort(grid.colfile.sum_intensity)[::-1]
        candidates = rc_array.rc_array(np.ascontiguousarray(grid.UBIALL[strongest].T), direction="col")
        found = lattice_reduction.find_lattice(
            candidates, min_vec2=100.0, n_try=20, test_vecs=rc_array.rc_array(vectors, direction="row"), tol=LONGEST_INDEX,
            fraction_indexed=0.7,
        )  # fmt: skip
    if found is None:
        raise SystemExit(f"no lattice indexes {len(vectors)} spots")
    axes = np.array(found.r2c)
    for _ in range(3):
        axes = indexing.refine(axes, vectors, LONGEST_INDEX)
    return axes, float(np.mean(indexing.calc_drlv2(axes, vectors) < LONGEST_INDEX**2))


def main(words=None):
    """Index the files; print spots, cell, and the lattice vectors."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", metavar="FILE")
    files = parser.parse_args(words).files
    vectors = scattering_vectors([frame for path in files for frame in read(path)])
    axes, share = lattice(vectors)
    print(f"{len(vectors)} spots, {100 * share:.0f} % indexed")
    print("cell", " ".join(f"{value:.2f}" for value in indexing.ubitocellpars(axes)))
    for name, axis in zip("abc", axes, strict=True):
        print(name, " ".join(f"{value:9.4f}" for value in axis))
    return axes


if __name__ == "__main__":
    main()
