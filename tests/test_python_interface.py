"""What Python sees of the package: names, types, texts of fields, reprs."""

import ast
import configparser
import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import nanobragg_numba
from nanobragg_numba import (
    Axes,
    Beam,
    Crystal,
    Detector,
    Parameters,
    Sampling,
    SourceList,
    from_arrays,
    parameters_from_command_line,
    simulate,
)

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "nanobragg_numba"


def test_the_public_names_are_shown_and_can_be_had():
    assert set(nanobragg_numba.__all__) <= set(dir(nanobragg_numba))
    assert not {"Any", "TYPE_CHECKING"} & set(dir(nanobragg_numba))
    for name in nanobragg_numba.__all__:
        assert getattr(nanobragg_numba, name).__doc__
    assert {"Axes", "from_arrays", "read_hkl", "read_mosflm_matrix", "read_smv", "write_smv"} <= set(nanobragg_numba.__all__)
    with pytest.raises(AttributeError, match="simulat"):
        _ = nanobragg_numba.simulat


def test_type_checkers_and_the_run_time_know_the_same_names():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    imported = {
        alias.asname: node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level for alias in node.names
    }
    assert imported == nanobragg_numba._HOME


def test_importing_the_package_loads_neither_numpy_nor_numba(tmp_path):
    code = "import sys, nanobragg_numba; dir(nanobragg_numba); print([m for m in ('numpy', 'numba', 'torch') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True).stdout.strip() == "[]"


def test_the_marker_of_typed_packages_is_installed():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    assert (PACKAGE / "py.typed").is_file()
    assert "py.typed" in parser["options.package_data"]["nanobragg_numba"].split()


SNIPPET = """\
from nanobragg_numba import Parameters, Simulation, from_arrays, read_smv, simulate

run = simulate(Parameters(), threads=3)
reveal_type(run)
reveal_type(read_smv("a.img"))
simulate(Parameters(), thread=3)
from nanobragg_numba import simulat
"""


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed")
def test_mypy_sees_the_types(tmp_path):
    (tmp_path / "snippet.py").write_text(SNIPPET)
    line = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--ignore-missing-imports", "snippet.py"]
    run = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, env={"MYPYPATH": str(ROOT), "PATH": ""})
    lines = [line for line in run.stdout.splitlines() if line.startswith("snippet.py")]
    assert run.returncode == 1, run.stdout + run.stderr
    said = {int(line.split(":")[1]): line for line in lines if "note: " in line and "Revealed" in line}
    assert said[4].endswith('"nanobragg_numba.engine.simulate.Simulation"')
    assert "numpy.ndarray" in said[5] and "dict[" in said[5] and "str, " in said[5]
    errors = {int(line.split(":")[1]): line for line in lines if "error: " in line}
    assert set(errors) == {6, 7}
    assert 'Unexpected keyword argument "thread" for "simulate"' in errors[6]
    assert 'Module "nanobragg_numba" has no attribute "simulat"' in errors[7]


DOCUMENTED = [
    *(PACKAGE / "experiment").glob("*.py"),
    *(PACKAGE / "fields").glob("*.py"),
    *(PACKAGE / "engine").glob("*.py"),
]


def dataclass_fields(file):
    """(class, field, whether a text follows) of every dataclass in the file."""
    for cls in ast.walk(ast.parse(file.read_text())):
        if not isinstance(cls, ast.ClassDef) or not any("dataclass" in ast.unparse(one) for one in cls.decorator_list):
            continue
        for node, following in zip(cls.body, [*cls.body[1:], None], strict=True):
            if isinstance(node, ast.AnnAssign):
                value = following.value if isinstance(following, ast.Expr) else None
                yield cls.name, ast.unparse(node.target), isinstance(value, ast.Constant) and isinstance(value.value, str)


def test_every_field_of_the_dataclasses_has_a_text():
    found = [(file.name, *field) for file in DOCUMENTED for field in dataclass_fields(file)]
    assert {"Crystal", "Beam", "Detector", "Sampling", "Axes", "SourceList", "Parameters", "StructureFactors"} <= {one[1] for one in found}
    assert {"Geometry", "Lattice", "Sources", "Experiment", "Simulation", "PixelTrace", "Block"} <= {one[1] for one in found}
    assert [one for one in found if not one[3]] == []


CELL = (40.0, 50.0, 60.0, 80.0, 95.0, 100.0)
FACTORS = from_arrays([[-1, 0, 2], [3, 4, 5]], [10.0, 20.0])
SMALL = Parameters(
    Crystal(cell=CELL, n_cells=(5, 4, 3), default_F=100, structure_factors=FACTORS),
    Beam(wavelength_A=1.3),
    Detector(pixels=(12, 9), pixel_size_mm=0.8, distance_mm=60, mask=np.ones((9, 12), np.uint16)),
    Sampling(oversample=1),
)


def test_parameters_in_a_line_or_two():
    text = repr(SMALL)
    assert text.count("\n") <= 1 and max(map(len, text.split("\n"))) <= 140
    for part in ("40 50 60 80 95 100", "5 x 4 x 3 cells square", "2 reflections", "1.3 A", "12x9 pixels", "at 60 mm", "mosflm"):
        assert part in text
    assert repr(SMALL.crystal) == "<Crystal: cell 40 50 60 80 95 100, 5 x 4 x 3 cells square, 2 reflections, default F 100>"
    assert repr(FACTORS) == "<StructureFactors: 2 reflections, h -1 to 3, k 0 to 4, l 2 to 5>"


def test_the_other_parameters_show_what_is_not_as_by_default():
    assert repr(Beam()) == "Beam()" and repr(Axes()) == "Axes()"
    assert repr(Sampling(phi_deg=1.5)) == "Sampling(phi_deg=1.5)"
    assert repr(SMALL.detector) == "Detector(pixels=(12, 9), pixel_size_mm=0.8, distance_mm=60, mask=<array (9, 12) uint16>)"
    # What can be written out gives the same parameters again.
    beam = Beam(wavelength_A=1.3, hdivsteps=3, polarized=False, direction=(0, 0, 1))
    assert eval(repr(beam)) == beam
    sources = SourceList([[-10, 0, 0], [-10, 1, 0]], [1, 2], [1e-10, 1.5e-10])
    assert repr(sources) == "<SourceList: 2 sources, 1 to 1.5 A>"


def test_results_in_a_line_or_two():
    run = simulate(SMALL)
    text, experiment, geometry = repr(run), repr(run.experiment), repr(run.geometry)
    assert "(9, 12) float32" in text and f"max {run.image.max():g}" in text
    assert f"sum {float(run.image.sum(dtype=np.float64)):g} photons" in text and "spec" in text
    # The cell as derived: the angles come out a rounding off.
    assert "cell 40 50 60 80 95 100" in text and "cell 40 50 60 80 95 100" in experiment
    assert "5 x 4 x 3 cells square" in experiment and "1.3 A, 1 source," in experiment and "1 step a pixel" in experiment
    assert "12x9 pixels of 0.8 mm" in geometry and "distance 60 mm" in geometry and "mosflm, pivot beam" in geometry
    for one in (text, experiment, geometry):
        assert one.count("\n") <= 1 and "array" not in one


def test_reprs_of_any_parameters_are_made():
    line = "-cell 50 60 70 90 90 90 -default_F 1 -N 3 -misset random -mosaic 1 -dispersion 2 -detsize 50"
    assert "misset random" in repr(parameters_from_command_line(line))
    assert "no cell" in repr(Parameters())
    assert "MOSFLM matrix" in repr(Crystal(mosflm_matrix=np.eye(3) / 50))
    assert "0.1 x 0.2 x 0.3 mm" in repr(Crystal(cell=CELL, size_mm=(0.1, 0.2, 0.3)))


def test_reprs_with_tensors():
    torch = pytest.importorskip("torch")
    crystal = Crystal(cell=torch.tensor(CELL), misset_deg=(torch.tensor(1.0), 2.0, 3.0), n_cells=torch.ones(3), default_F=torch.tensor(3.0))
    assert "tensor" in repr(crystal)
    assert "tensor" in repr(Sampling(phi_deg=torch.tensor(1.0)))
    assert "tensor" in repr(replace(SMALL, beam=Beam(wavelength_A=torch.tensor(1.0)), crystal=crystal))
