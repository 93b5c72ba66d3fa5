"""-spectrum: the image of the same sources listed in a file, and what a spectrum may look like."""

import h5py
import numpy as np
import pytest
from running import nanobragg

from nanobragg_numba import InputError, SourceList, parameters_from_command_line

ENERGIES = np.array([9450.0, 9475.0, 9500.0, 9512.5])
WEIGHTS = np.array([1.0, 4.0, 0.0, 2.5])
WAVELENGTHS = 12398.42 / ENERGIES
"""A; by the reference's constant."""
LINE = "-cell 60 70 80 -default_F 50 -N 8 -misset 10 20 30 -lambda 1.31 -distance 60 -detpixels 32 -pixel 2 -oversample 1 -seed 1".split()


def text(values, weights=WEIGHTS, header="", between=" "):
    return header + "".join(f"{value!r}{between}{weight!r}\n" for value, weight in zip(values.tolist(), weights.tolist(), strict=True))


@pytest.mark.parametrize("compat", ["c", "spec"])
@pytest.mark.parametrize("convention", ["-mosflm", "-xds"])
def test_the_image_of_a_source_file(compat, convention, tmp_path, capfdbinary):
    beam = {"-mosflm": (-10, 0, 0), "-xds": (0, 0, -10)}[convention]
    rows = [f"{beam[0]} {beam[1]} {beam[2]} {w!r} {1e-10 * x!r}" for x, w in zip(WAVELENGTHS.tolist(), WEIGHTS.tolist(), strict=True) if w]
    images = []
    for option, content in (("-spectrum", text(ENERGIES)), ("-sourcefile", "\n".join(rows) + "\n")):
        folder = tmp_path / option
        folder.mkdir()
        (folder / "beam.txt").write_text(content)
        run = nanobragg(["-compat", compat, *LINE, convention, option, "beam.txt"], folder, capfdbinary)
        assert run.status == 0, run.stderr
        images.append(run.files(["beam.txt"]))
        if option == "-spectrum":
            mean = np.average(WAVELENGTHS, weights=WEIGHTS)
            assert f"3 colours (in eV, by the size of the numbers), 1.30338 to 1.312 A, {mean:g} A in the mean" in run.stderr
    assert images[0] == images[1] and len(images[0]) == 4


FORMS = {
    "energy eV": text(ENERGIES, header="energy (eV), weight\n", between=", "),
    "by range": text(ENERGIES, between="\t"),
    "keV": text(ENERGIES / 1000, header="# keV\n"),
    "wavelength": text(WAVELENGTHS),
    "angstrom": text(WAVELENGTHS, header="# wavelength in Angstrom; relative intensity\n\n", between=";"),
    "nm": text(WAVELENGTHS / 10, header="# lambda/nm\n"),
    "dos": text(ENERGIES).replace("\n", "\r\n"),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(form, tmp_path):
    path = tmp_path / "beam.txt"
    path.write_bytes(FORMS[form].encode())
    sources = SourceList.from_spectrum(path)
    assert sources.wavelengths_m == pytest.approx(1e-10 * WAVELENGTHS[WEIGHTS > 0], rel=1e-14)
    assert sources.intensities.tolist() == [1.0, 4.0, 2.5]
    assert np.isnan(sources.positions).all()


def nexus(path, name="incident_wavelength", values=WAVELENGTHS, weights=WEIGHTS, units="angstrom", groups=("beam",)):
    with h5py.File(path, "w") as file:
        for group in groups:
            beam = file.create_group(f"entry/instrument/{group}")
            beam[name] = values
            beam[f"{name}_weights"] = weights
            if units:
                beam[name].attrs["units"] = units
    return path


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"units": ""},
        {"name": "incident_energy", "values": ENERGIES, "units": "eV"},
        {"values": WAVELENGTHS / 10, "units": np.bytes_("nm")},
    ],
)
def test_nexus(form, tmp_path):
    path = nexus(tmp_path / "beam.h5", **form)
    sources = parameters_from_command_line(f"-cell 60 -default_F 5 -spectrum {path}").beam.sources
    assert sources.wavelengths_m == pytest.approx(1e-10 * WAVELENGTHS[WEIGHTS > 0], rel=1e-14)
    assert sources.intensities.tolist() == [1.0, 4.0, 2.5]


BAD = {
    "": "the file is empty",
    "\n\n# nothing\n": "no numbers in the file",
    "9.5 1\n9.6 1\n": "9.5 to 9.6 may be energies or wavelengths; name the unit",
    "0.9 1\n9500 1\n": "0.9 to 9500 may be energies or wavelengths",
    "9500 1 2\n": "line 1: 3 columns, and a spectrum has two",
    "9500 1\n9501\n": "line 2: 1 columns, and a spectrum has two",
    "# eV\n9500 1\n9501 -0.1\n": "line 3: the weight -0.1 must be 0 or more",
    "# eV\n9500 1\n0 1\n": "line 3: 0 is no energy or wavelength",
    "# eV\n9500 1\nnan 1\n": "line 3: 'nan' is not a number|line 3: nan is no energy",
    "9500 1\n9501 much\n": "line 2: 'much' is not a number",
    "# eV or nm\n9500 1\n": "before the numbers: it names several units, eV and nm",
    "9500 0\n": "all weights are 0",
}


@pytest.mark.parametrize("content", BAD)
def test_bad_spectra(content, tmp_path):
    path = tmp_path / "beam.txt"
    path.write_text(content)
    with pytest.raises(InputError, match=rf"-spectrum .*beam\.txt.*({BAD[content]})"):
        parameters_from_command_line(f"-cell 60 -default_F 5 -spectrum {path}", "c")


@pytest.mark.parametrize(
    ("form", "says"),
    [
        (
            {"groups": ("one", "two")},
            "it must hold one spectrum, .* and holds /entry/instrument/one/incident_wavelength, /entry/instrument/two",
        ),
        ({"name": "wavelength"}, "and holds none"),
        ({"weights": np.ones((4, 2))}, r"one spectrum is needed, and values have the shape \(4,\), weights \(4, 2\)"),
        ({"units": "eV"}, "'eV' is no unit of it"),
        ({"units": "furlong"}, "'furlong' is no unit of it"),
        ({"weights": -WEIGHTS}, r"incident_wavelength\[0\]: the weight -1 must be 0 or more"),
    ],
)
def test_bad_nexus(form, says, tmp_path):
    path = nexus(tmp_path / "beam.h5", **form)
    with pytest.raises(InputError, match=rf"from_spectrum .*beam\.h5.*{says}"):
        SourceList.from_spectrum(path)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(InputError, match="the HDF5 file is damaged or cut short"):
        SourceList.from_spectrum(path)


@pytest.mark.parametrize("words", ["-sourcefile other.txt", "-dispersion 1", "-hdivrange 1", "-divsteps 3"])
def test_other_sources_beside_it_are_refused(words, tmp_path):
    path = tmp_path / "beam.txt"
    path.write_text(text(ENERGIES))
    for compat in ("c", "spec"):
        with pytest.raises(InputError, match=r"beam\.txt: it gives all sources, and .* would give others"):
            parameters_from_command_line(f"-cell 60 -default_F 5 -spectrum {path} {words}", compat)
