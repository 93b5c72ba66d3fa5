"""The file formats from Python: readers that return what they found, writers whose files appear whole or not at all."""

import os

import numpy as np

from .errors import InputError
from .experiment.derive import Experiment
from .experiment.parameters import SourceList
from .experiment.structure_factors import StructureFactors
from .files import hkl, mosflm_matrix, smv, smv_header, text_columns
from .files.output import write_whole

Path = str | os.PathLike[str]
LARGEST_COUNT = 65535


def read_hkl(path: Path, default_F: float = 0.0) -> StructureFactors:
    """The structure factors in a text file with h k l F on each line, F in electrons; of duplicates the last one counts.

    ``default_F`` fills what the box of the file's indices holds and the file does not list. Friedel mates and symmetry mates are not
    added. Raises InputError, naming file and line, for what is no list of reflections.
    """
    return hkl.read(os.fspath(path), default_F, flag="read_hkl")[0]


def write_hkl(path: Path, factors: StructureFactors) -> None:
    """Write every reflection of the table as a line of h k l F, zeros too, with all digits, so that ``read_hkl`` gives the same table.

    Raises InputError where the file cannot be written, and for tables per channel, which such a list has no place for.
    """
    write_whole(path, "write_hkl", [b"".join(hkl.lines(factors))])


def read_mosflm_matrix(path: Path) -> np.ndarray:
    """(3, 3): the first nine numbers of a text file, for ``Crystal.mosflm_matrix``: columns a*, b*, c* times the wavelength.

    Raises InputError, naming file and line, where there are not nine finite numbers.
    """
    return mosflm_matrix.read(os.fspath(path), flag="read_mosflm_matrix")


def write_mosflm_matrix(path: Path, matrix: np.ndarray) -> None:
    """Write a matrix (3, 3), columns a*, b*, c* times the wavelength, with all digits.

    Raises InputError for another shape, and where the file cannot be written.
    """
    rows = np.asarray(matrix, dtype=np.float64)
    if rows.shape != (3, 3) or not np.isfinite(rows).all():
        raise InputError(f"write_mosflm_matrix: a matrix must hold finite numbers and have shape (3, 3), not {rows.shape}")
    lines = "".join(" ".join(map(repr, row)) + "\n" for row in rows.tolist())
    write_whole(path, "write_mosflm_matrix", [lines.encode()])


def read_sources(path: Path) -> SourceList:
    """The X-ray sources in a text file with X Y Z (metres), weight and wavelength (metres) on each line, for ``Beam.sources``.

    Columns that are missing are nan, which stands for the default. Raises InputError, naming file and line, for what is no number.
    """
    x, y, z, weights, wavelengths = text_columns.read(os.fspath(path), 5, flag="read_sources").columns
    return SourceList(np.stack((x, y, z), axis=1), weights, wavelengths)


def read_smv(path: Path) -> tuple[np.ndarray, dict[str, str]]:
    """The pixels (slow, fast) of an SMV image, and its header: each key's text.

    Raises InputError for what is no SMV image, or not a whole one.
    """
    image = smv.read(os.fspath(path), flag="read_smv")
    return image.pixels(), dict(image.keys)


def write_smv(path: Path, counts: np.ndarray, experiment: Experiment) -> None:
    """Write whole counts (slow, fast), 0 to 65535, as an SMV image with the geometry of ``experiment`` in its header.

    The noisy image of a run, for example: ``write_smv("noise.img", poisson_image(run.image, seed=1) + 40, run.experiment)``. Raises
    InputError for counts of another shape, that are not whole or do not fit in 16 bits, and where the file cannot be written.
    """
    values = np.asarray(counts)
    shape = (experiment.geometry.slow_pixels, experiment.geometry.fast_pixels)
    if values.shape != shape:
        raise InputError(f"write_smv: the counts have shape {values.shape}, the experiment's image {shape}")
    if values.dtype.kind not in "biuf":
        raise InputError(f"write_smv: counts must be real numbers, not of {values.dtype}")
    wrong = ~((values >= 0) & (values <= LARGEST_COUNT) & (values == np.rint(values)))
    if wrong.any():
        slow, fast = np.argwhere(wrong)[0].tolist()
        raise InputError(
            f"write_smv: {np.count_nonzero(wrong)} of the counts are not whole numbers from 0 to {LARGEST_COUNT}, "
            f"the first, {values[slow, fast]:g}, at slow {slow}, fast {fast}"
        )
    write_whole(path, "write_smv", [smv_header.header(experiment, -0.0), values.astype("<u2")])
