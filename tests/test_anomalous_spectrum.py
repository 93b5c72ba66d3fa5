"""-channels: f' and f'' across a spectrum, each source with the structure factors of its channel."""

from dataclasses import replace
from pathlib import Path

import gemmi  # noqa: F401  structure factors of coordinates need it
import numpy as np
import pytest
from running import nanobragg

from nanobragg_numba import InputError, SourceList, StructureFactors, parameters_from_command_line, simulate

HELIX = Path(__file__).parent.parent / "examples" / "helix.pdb"
LINE = "-hkl helix.pdb -resolution 3 -solvent none -N 4 -lambda 1.73 -distance 60 -detpixels 24 -pixel 2 -oversample 1 -misset 10 20 30"
# Around the K edge of iron, 7112 eV.
ENERGIES, WEIGHTS = np.array([7050.0, 7090.0, 7105.0, 7160.0, 7180.0]), np.array([1.0, 2.0, 4.0, 3.0, 1.0])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    # The model as it is, but with iron where its last atom was.
    lines = [line for line in HELIX.read_text().splitlines() if line.startswith(("CRYST1", "ATOM", "HETATM"))]
    lines[-1] = "HETATM" + lines[-1][6:12] + "FE    FE A" + lines[-1][22:76] + "FE"
    (tmp_path / "helix.pdb").write_text("\n".join([*lines, "END", ""]))
    (tmp_path / "spectrum.txt").write_text("energy (eV)\n" + "".join(f"{e} {w}\n" for e, w in zip(ENERGIES, WEIGHTS, strict=True)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def image_at(energy, factors_at, parameters):
    """The image at one energy (eV), with the structure factors at a wavelength (A)."""
    factors = StructureFactors.from_model("helix.pdb", 3.0, factors_at, solvent=False)
    wavelength = 12398.42 / energy
    sources = SourceList(np.full((1, 3), np.nan), np.ones(1), np.array([wavelength * 1e-10]))
    p = replace(
        parameters,
        crystal=replace(parameters.crystal, structure_factors=factors),
        beam=replace(parameters.beam, sources=sources),
    )
    return simulate(p, dtype=np.float64, precision="exact").image


def test_every_source_has_the_factors_of_its_channel(folder):
    together = parameters_from_command_line(f"{LINE} -spectrum spectrum.txt -channels 2")
    # Two channels of equal width in wavelength; the one of longer wavelengths, lower energies, has the first three.
    wavelengths = 12398.42 / ENERGIES
    middle = (wavelengths.min() + wavelengths.max()) / 2
    lower = wavelengths > middle
    assert lower.tolist() == [True, True, True, False, False]
    means = np.where(
        lower, np.average(wavelengths[lower], weights=WEIGHTS[lower]), np.average(wavelengths[~lower], weights=WEIGHTS[~lower])
    )
    want = sum(w * image_at(e, mean, together) for e, w, mean in zip(ENERGIES, WEIGHTS, means, strict=True)) / WEIGHTS.sum()
    got = simulate(together, dtype=np.float64, precision="exact").image
    np.testing.assert_allclose(got, want, rtol=1e-6)
    one = simulate(parameters_from_command_line(f"{LINE} -spectrum spectrum.txt"), dtype=np.float64, precision="exact").image
    assert np.abs(got - one).max() > 1e-3 * got.max()


def test_on_the_command_line(folder, capfdbinary):
    run = nanobragg(f"{LINE} -spectrum spectrum.txt -channels 3 -compat spec -nonoise".split(), folder, capfdbinary, [])
    assert run.status == 0 and b"f' and f'' at " in run.stderr.encode()
    image = simulate(parameters_from_command_line(f"{LINE} -spectrum spectrum.txt -channels 3")).image
    assert np.array_equal(np.fromfile("floatimage.bin", "<f4").reshape(24, 24), image)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("-channels 2", "-channels: a -spectrum or a -sourcefile must list the wavelengths"),
        ("-spectrum spectrum.txt -channels 0", "-channels must be a whole number above zero"),
        ("-spectrum spectrum.txt -channels", "-channels needs a value"),
    ],
)
def test_what_cannot_be_is_refused(words, says, folder):
    with pytest.raises(InputError, match=says):
        parameters_from_command_line(f"{LINE} {words}")


def test_measured_amplitudes_have_one_table(folder):
    StructureFactors.from_model("helix.pdb", 3.0, 1.0).write("helix.mtz")
    with pytest.raises(
        InputError, match=r"-channels: f' and f'' can be computed from coordinates alone, and -hkl helix.mtz holds reflections"
    ):
        parameters_from_command_line(
            LINE.replace("helix.pdb", "helix.mtz").replace("-solvent none", "") + " -spectrum spectrum.txt -channels 2"
        )
