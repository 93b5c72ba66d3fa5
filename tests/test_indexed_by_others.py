"""Images that we write, found and indexed by programs that know nothing of us: cell and orientation are those of the command line.

``examples/index_image.py`` goes from the files to a lattice by fabio, nxmx and ImageD11; nothing of ours is asked. The lattice expected is
worked out here from docs/options.md. A triclinic cell has no symmetry but the inversion, so that one orientation alone is right.
"""

import importlib.util
import re
import shlex
from pathlib import Path

import ImageD11  # noqa: F401
import numpy as np
import nxmx  # noqa: F401
import pytest
from running import nanobragg

ROOT = Path(__file__).parent.parent
CELL, MISSET = (32.0, 39.0, 47.0, 80.0, 95.0, 100.0), (20.0, -35.0, 70.0)
WATER = "-water 2.5 -fluence 4e23 -seed 1"
CRYSTAL = f"-cell {' '.join(map(str, CELL))} -misset {' '.join(map(str, MISSET))} -default_F 4000 -N 12 -mosaic 0.05 -mosaic_dom 8 {WATER}"
COMMON = f"{CRYSTAL} -lambda 1 -oversample 1 -nopgm -noprogress -quiet"
PLANE = "-distance 80 -pixel 0.1 -detpixels_f 860 -detpixels_s 800"
PIXEL = 0.1 / 80
"""What a pixel is at the wavelength of 1 A (1/A), at the middle of the detector."""
X, Y, Z = np.eye(3)
# Two panels of one detector around the beam, with a gap, one seen turned by a quarter and both tilted. Corners in pixels of 0.1 mm.
TWO_PANELS = """
photon_energy = 12398.42 eV
adu_per_photon = 1
clen = 80 mm
res = 10000

left/min_fs = 0
left/max_fs = 399
left/min_ss = 0
left/max_ss = 799
left/fs = -0.9950042x +0.0998334z
left/ss = -1.0y
left/corner_x = 420.0
left/corner_y = 390.0

right/min_fs = 0
right/max_fs = 799
right/min_ss = 800
right/max_ss = 1199
right/fs = +0.9987503y -0.0499792z
right/ss = -1.0x
right/corner_x = -15.0
right/corner_y = -410.0
"""


def load_example():
    spec = importlib.util.spec_from_file_location("index_image", ROOT / "examples" / "index_image.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


index_image = load_example()


def turn(axis, degrees):
    """The right-handed rotation, by Rodrigues."""
    cross = np.cross(np.eye(3), axis)
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def expected_lattice(beam, spindle):
    """a, b, c (rows) at phi 0, along the beam, spindle x beam, and the spindle.

    a* is along the laboratory's x and b* in its xy plane, and then comes misset.
    """
    a, b, c = CELL[:3]
    cosines = np.cos(np.radians(CELL[3:]))
    metric = np.array([[a * a, a * b * cosines[2], a * c * cosines[1]], [0, b * b, b * c * cosines[0]], [0, 0, c * c]])
    metric = np.triu(metric) + np.triu(metric, 1).T
    reciprocal = np.linalg.cholesky(np.linalg.inv(metric))
    misset = turn(Z, MISSET[2]) @ turn(Y, MISSET[1]) @ turn(X, MISSET[0])
    axes = np.array([beam, np.cross(spindle, beam), spindle])
    return np.linalg.inv(reciprocal @ misset.T @ axes.T).T


def cell_of(axes):
    lengths = np.linalg.norm(axes, axis=1)
    unit = axes / lengths[:, None]
    return np.array([*lengths, *np.degrees(np.arccos([unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]]))])


def differences(found, expected):
    """By how much the two lattices differ: the largest part of the cell, and degrees. None if they are not one lattice in whatever cell."""
    change = expected @ np.linalg.inv(found)
    whole = np.rint(change)
    if abs(change - whole).max() > 0.1 or abs(round(np.linalg.det(whole))) != 1:
        return None
    same = whole @ found
    u, _, v = np.linalg.svd(np.linalg.inv(expected) @ same)
    angle = np.degrees(np.arccos(min((np.trace(u @ v) - 1) / 2, 1.0)))
    return np.abs(cell_of(same) / cell_of(expected) - 1).max(), angle


MOSFLM = f"-compat spec {PLANE} -Xbeam 38.3 -Ybeam 44.1"
BEHIND = f"-compat spec -adxv {PLANE} -Xbeam 40 -Ybeam 36 -twotheta 15 -detector_rotz 7 -detector_rotx 5"
CASES = {
    # Of the convention: the beam and the spindle; then a line for each file.
    "still in SMV": (X, Z, {"a.img": f"{MOSFLM} -noisefile a.img"}),
    "still in SMV, as C": (X, Z, {"a.img": f"{PLANE} -Xbeam 38.3 -Ybeam 44.1 -noisefile a.img"}),
    "rotation in SMV": (
        Z, X, {"a.img": f"-compat spec -xds {PLANE} -ORGX 420.5 -ORGY 391.25 -phi 33 -osc 0.6 -phisteps 12 -noisefile a.img"},
    ),
    "series in CBF": (
        X, Z,
        {f"a_{i}.cbf": f"{MOSFLM} -adc 0 -phi {12 + 0.4 * i} -osc 0.4 -phisteps 8 -noisefile a_{i}.cbf" for i in range(4)},
    ),
    "tilted, seen from behind, in NXmx": (
        Z, X, {"a.h5": f"{BEHIND} -phi 100 -osc 0.3 -phisteps 6 -adc 0 -noisefile a.h5"},
    ),
    "two panels in NXmx": (Z, X, {"a.nxs": "-compat spec -panels two.geom -gauss_xtal -nxmx a.nxs"}),
}  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two.geom").write_text(TWO_PANELS)
    return tmp_path


def vectors_of(files, folder, capfdbinary):
    for line in files.values():
        run = nanobragg([*COMMON.split(), *line.split()], folder, capfdbinary)
        assert run.status == 0, run.stderr
    return index_image.scattering_vectors([frame for path in files for frame in index_image.read(path)])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("case", CASES)
def test_the_lattice_is_the_command_lines(case, here, capfdbinary):
    beam, spindle, files = CASES[case]
    vectors = vectors_of(files, here, capfdbinary)
    found, share = index_image.lattice(vectors)
    assert len(vectors) > 100 and share > 0.95
    expected = expected_lattice(beam, spindle)
    of_cell, degrees = differences(found, expected)
    # A beam centre that is off by a pixel moves all scattering vectors by PIXEL; what is left over otherwise averages out.
    indices = np.rint(vectors @ expected.T)
    pixels = (vectors - indices @ np.linalg.inv(expected).T).mean(axis=0) / PIXEL
    print(
        f"{case}: {len(vectors)} spots, {share:.3f} indexed, cell off by {100 * of_cell:.3f} %, orientation by {degrees:.4f} degrees",
        pixels,
    )
    assert of_cell < 0.003 and degrees < 0.1
    assert np.abs(pixels).max() < 0.2


@pytest.mark.parametrize("axis", range(3))
def test_a_sign_is_not_overlooked(axis):
    """Any of the three directions the wrong way round, and the lattice is another one."""
    lattice = expected_lattice(X, Z)
    assert differences(lattice @ turn(Y, 0.05).T, lattice) == pytest.approx((0.0, 0.05), abs=1e-9)
    assert differences(np.array([[1, 0, 0], [1, 1, 0], [0, 0, -1]]) @ lattice, lattice) == pytest.approx((0.0, 0.0), abs=1e-5)
    mirror = np.eye(3)
    mirror[axis, axis] = -1
    assert differences(lattice @ mirror, lattice) is None
    assert differences(lattice @ turn(np.eye(3)[axis], 180).T, lattice) is None


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_pages_commands(here, capfdbinary):
    """The commands of docs/indexing.md give what stands under them."""
    text = (ROOT / "docs" / "indexing.md").read_text()
    said = [numbers(block) for block in re.findall(r"```text\n(.*?)```", text, re.S)]
    for script, shown in zip(re.findall(r"```bash\n(.*?)```", text, re.S), said, strict=True):
        making, (python, example, *files) = map(shlex.split, script.splitlines())
        assert (making[0], python, example) == ("nanoBragg", "python", "examples/index_image.py")
        assert nanobragg([*making[1:], "-quiet", "-noprogress"], here, capfdbinary).status == 0
        index_image.main(files)
        printed = numbers(capfdbinary.readouterr().out.decode())
        assert len(printed) == len(shown) == 17 and printed[0] == pytest.approx(shown[0], rel=0.1) and printed[1] >= 95
        # In whatever basis: other versions of the indexer may take another.
        of_cell, degrees = differences(np.reshape(printed[8:], (3, 3)), np.reshape(shown[8:], (3, 3)))
        assert of_cell < 0.003 and degrees < 0.1
        assert printed[2:8] == pytest.approx(cell_of(np.reshape(printed[8:], (3, 3))), abs=0.02)
    assert len(said) == 2


def numbers(text):
    return [float(word) for word in re.findall(r"-?\d+(?:\.\d+)?", text)]
