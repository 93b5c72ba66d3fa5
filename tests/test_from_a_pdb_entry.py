"""docs/from-a-pdb-entry.md: what it shows runs, from the top to the bottom, on the crystal that comes with the examples."""

import re
import shlex
import shutil
from pathlib import Path

import gemmi
import numpy as np
from running import nanobragg

from nanobragg_numba import Crystal, Sampling

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "from-a-pdb-entry.md"


def test_the_page(tmp_path, capfdbinary, monkeypatch):
    shutil.copy(ROOT / "examples" / "helix.pdb", tmp_path)
    monkeypatch.chdir(tmp_path)
    names, images = {}, []
    for language, script in re.findall(r"^```(bash|python)\n(.*?)^```", PAGE.read_text(), re.S | re.M):
        if language == "python":
            exec(compile(script, str(PAGE), "exec"), names)
            continue
        for line in script.splitlines():
            program, *words = shlex.split(line)
            assert program == "nanoBragg"
            run = nanobragg(words, tmp_path, capfdbinary)
            assert run.status == 0, run.stderr
            images.append(np.frombuffer(Path("floatimage.bin").read_bytes(), "<f4").reshape(256, 256))
    coordinates, none, other, reflections, coarse = images
    assert Path("helix.png").stat().st_size > 0
    # The same by the command and by Python, and from the MTZ file but for its digits.
    assert np.array_equal(names["image"], coordinates)
    assert np.abs(reflections - coordinates).max() < 1e-5 * coordinates.max()
    assert len({image.tobytes() for image in images}) == 5 and all(image.max() > 0 for image in images)
    assert coarse.sum() < reflections.sum() and not np.array_equal(none, other)


def test_the_example_is_a_crystal():
    structure = gemmi.read_structure(str(ROOT / "examples" / "helix.pdb"))
    assert structure.find_spacegroup().xhm() == "P 21 21 21"
    structure.setup_entities()
    near = gemmi.NeighborSearch(structure[0], structure.cell, 3).populate()
    contacts = gemmi.ContactSearch(2.6)
    contacts.ignore = gemmi.ContactSearch.Ignore.SameAsu
    assert not contacts.find_contacts(near)


def test_frames():
    # gemmi: a along x, b in the xy plane. -cell: a* along x, b* in the xy plane.
    cell = (40.0, 22.0, 23.0, 80.0, 110.0, 95.0)
    rows = np.array(gemmi.UnitCell(*cell).orth.mat.tolist()).T
    assert np.abs(rows[0] - (40, 0, 0)).max() < 1e-6 and abs(rows[1][2]) < 1e-6
    axes, stars = (np.reshape(part, (3, 3)) for part in Crystal(cell=cell).rotated_real_vectors(Sampling()))
    assert np.abs(stars[0][1:]).max() < 1e-9 and abs(stars[1][2]) < 1e-9 and abs(axes[0][1]) > 1
    given = Crystal(real_space_matrix=rows).rotated_real_vectors(Sampling()).real
    assert np.abs(np.reshape(given, (3, 3)) - rows).max() < 1e-6
