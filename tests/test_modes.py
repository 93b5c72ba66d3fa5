"""The compat modes: what each means, what the repaired reference is held to beside its recorded runs, and what is told in each."""

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from running import nanobragg

import nanobragg_numba
from nanobragg_numba import InputError, Parameters, parameters_from_command_line, simulate
from nanobragg_numba.cli.own_options import OwnOptions, take_own_options
from nanobragg_numba.cli.trace import main as trace
from nanobragg_numba.command_line.option_table import OPTIONS
from nanobragg_numba.command_line.reading import read_command_line
from nanobragg_numba.experiment.derive import derive_experiment
from nanobragg_numba.experiment.modes import COMMAND_DEFAULT, MODES

ROOT = Path(nanobragg_numba.__file__).parent.parent
LINE = "-cell 70 80 90 75 85 95 -misset 10 20 30 -default_F 100 -N 5 -lambda 1 -distance 60 -detpixels 12 -pixel 0.8 -oversample 1 -seed 1"
SWITCHES = ("-oversample_thick", "-oversample_polar", "-oversample_omega")


def image_of(words: str, compat: str) -> np.ndarray:
    return simulate(parameters_from_command_line(f"{LINE} {words}", compat), dtype=np.float64, compat=compat).image


def test_the_code_asks_the_table_not_the_name():
    """A comparison with the name of one mode would forget the others."""
    files = [path for folder in ("nanobragg_numba", "autograd", "cli", "cuda_kernels") for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 100
    found = []
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare):
                operands = [node.left, *node.comparators]
                names = {getattr(operand, "attr", getattr(operand, "id", "")) for operand in operands}
                texts = {part.value for operand in operands for part in ast.walk(operand) if isinstance(part, ast.Constant)}
                if "compat" in names and texts & set(MODES):
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not found


def test_the_commands_default_is_the_constant():
    own, _ = take_own_options(LINE.split())
    assert own == OwnOptions() and own.compat == COMMAND_DEFAULT
    assert [take_own_options(["-compat", name])[0].compat for name in MODES] == list(MODES)


@pytest.mark.parametrize("compat", [*MODES])
def test_a_step_at_zero(compat):
    """Two steps, the second at phi = 0: without carryover the image is the mean of both steps alone."""
    both, minus, zero = (image_of(f"-phi {phi} -osc {osc} -phisteps {n}", compat) for phi, osc, n in ((-1, 2, 2), (-1, 1, 1), (0, 1, 1)))
    mean = (minus + zero) / 2
    repaired = bool(np.allclose(both, mean, rtol=1e-12, atol=0.0))
    assert repaired == (compat != "c")
    if compat == "c":
        # The step at 0 shows the other one's lattice.
        assert np.allclose(both, minus, rtol=1e-12, atol=0.0)


# MOSFLM's beam centre lies half a pixel (0.4 mm) further on: the middle of 12 pixels.
CENTRED = "-Xbeam 4.4 -Ybeam 4.4 -mosaic 0.4 -mosaic_domains 5 -polar 0.8"


def airpaths() -> np.ndarray:
    """Metres from the sample to each pixel's middle."""
    place = (np.arange(12) + 0.5 - 6.0) * 0.8e-3
    return np.sqrt(60e-3**2 + np.add.outer(place**2, place**2))


@pytest.mark.parametrize("switch", ["-oversample_polar", "-oversample_omega"])
def test_a_factor_multiplies_each_steps_contribution(switch):
    """With one sub-pixel, source and layer each step has the same factor: with the switch the image is the one without it."""
    without, fixed, c = image_of(CENTRED, "c-fixed"), image_of(f"{CENTRED} {switch}", "c-fixed"), image_of(f"{CENTRED} {switch}", "c")
    assert without.min() > 0.0
    assert np.allclose(fixed, without, rtol=1e-12, atol=0.0)
    assert not np.allclose(c, without, rtol=1e-3, atol=0.0)


def test_each_layer_has_its_own_share():
    """Two layers too thin to move the pixel: with the switch each step has its layer's share, without it all have the last one's."""
    sensor = f"{CENTRED} -detector_thick 1e-6 -detector_abs 2e-6 -thicksteps 2"
    # The reference's two layers are each as thick as the sensor (Q14); a slanted path is longer by airpath over distance.
    x = 0.5 * airpaths() / 60e-3
    first, last = 1.0 - np.exp(-x), np.exp(-x) - np.exp(-2.0 * x)
    ratio = image_of(f"{sensor} -oversample_thick", "c-fixed") / image_of(sensor, "c-fixed")
    assert np.allclose(ratio, (first + last) / (2.0 * last), rtol=1e-6, atol=0.0)


def test_the_water_is_not_multiplied_by_a_switchs_factor():
    """It is no step's contribution: where -oversample_omega is on, the repaired program leaves the solid angle out of it."""
    water = {
        switch: image_of(f"{CENTRED} -water 50 {switch}", "c-fixed") - image_of(f"{CENTRED} {switch}", "c-fixed")
        for switch in ("", "-oversample_omega")
    }
    solid_angle = 0.8e-3**2 * 60e-3 / airpaths() ** 3
    assert water[""].min() > 0.0
    assert np.allclose(water[""] / water["-oversample_omega"], solid_angle, rtol=1e-6, atol=0.0)


def test_curved_det_as_the_last_word():
    curved = {compat: read_command_line([*LINE.split(), "-curved_det"], compat).parameters.detector.curved for compat in MODES}
    assert curved == {"c": False, "c-fixed": True, "spec": True}


@pytest.mark.parametrize("word", ["-detector_abs", "-detector_thick", "-detector_thicksteps", "-thicksteps"])
def test_a_thickness_option_as_the_last_word(word):
    words = [*LINE.split(), "-detector_thick", "200", "-detector_abs", "300"]
    for compat in ("c", "spec"):
        with pytest.raises(InputError, match=f"{word} needs 1 value"):
            read_command_line([*words, word], compat)
    line = read_command_line([*words, word], "c-fixed")
    assert line.parameters == read_command_line(words, "c-fixed").parameters
    assert (
        line.ignored == () and line.warnings == (line.warnings[0],) and line.warnings[0].startswith(f"{word} as the last word is ignored")
    )


def test_only_the_sensors_options_may_stand_without_a_value():
    marked = {word for option in OPTIONS if option.sensor for word in option.words}
    assert marked == {"-detector_abs", "-detector_thick", "-detector_thicksteps", "-thicksteps"}
    with pytest.raises(InputError, match="-distance needs 1 value"):
        read_command_line([*LINE.split(), "-distance"], "c-fixed")


def test_a_last_word_without_value_on_the_command(tmp_path, capfdbinary):
    words = [*LINE.split(), "-compat", "c-fixed"]
    without = nanobragg(words, tmp_path / "without", capfdbinary)
    run = nanobragg([*words, "-detector_thick"], tmp_path / "with", capfdbinary)
    assert run.status == 0 and run.files() == without.files() and run.stdout == without.stdout
    assert "warning: -detector_thick as the last word is ignored" in run.stderr
    strict = nanobragg([*words, "-strict", "-detector_thick"], tmp_path / "strict", capfdbinary)
    assert strict.status == 2 and not strict.files()


TOLD = "-phi 0 -osc 1 -phisteps 2 -oversample 2 -water 20 -polar 0.5"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (TOLD, {"c": "Q1 Q4 Q5 Q6 Q13", "c-fixed": "Q4 Q5 Q6 Q13"}),
        (f"{TOLD} -oversample_thick", {"c": "Q1 Q3 Q4 Q5 Q6 Q13", "c-fixed": "Q4 Q5 Q6 Q13"}),
        # What the switches compute for each sub-pixel is no longer the first one's.
        (f"{TOLD} {' '.join(SWITCHES)}", {"c": "Q1 Q3 Q6 Q13", "c-fixed": "Q6 Q13"}),
        (f"{TOLD} -phi_carryover_mode c-parity", {"c-fixed": "Q1 Q4 Q5 Q6 Q13", "spec": ""}),
    ],
)
def test_what_is_told(words, told, tmp_path, capfdbinary):
    for compat, expected in told.items():
        run = nanobragg([*LINE.split(), *words.split(), "-compat", compat], tmp_path / compat, capfdbinary)
        found = [text.split(":")[1].strip() for text in run.stderr.splitlines() if text.startswith("nanoBragg: Q")]
        assert sorted(found, key=lambda name: int(name[1:])) == expected.split(), run.stderr


def test_the_trace_follows_the_repaired_program(tmp_path, capsys):
    words = f"{LINE} -phi 0 -osc 1 -phisteps 3 -oversample_polar -polar 0.5 -water 20".split()
    value = simulate(parameters_from_command_line(words, "c-fixed"), dtype=np.float64, compat="c-fixed").image[3, 4]
    for name, options in (("a", ["--compat", "c-fixed", "--", *words]), ("b", ["--", *words, "-compat", "c-fixed"])):
        assert trace(["--pixel", "3", "4", "--out", str(tmp_path / f"{name}.log"), *options]) == 0
        assert f"holds {value:.15g} photons, as in the image" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["C", "fixed", None, 1])
def test_a_name_of_no_mode_is_one_sentence(name):
    parameters: Parameters = parameters_from_command_line(LINE)
    for make in (
        lambda: derive_experiment(parameters, name),
        lambda: parameters_from_command_line(LINE, name),
        lambda: parameters.crystal.rotated_real_vectors(replace(parameters.sampling, phisteps=2), compat=name),
    ):
        with pytest.raises(InputError, match=f"compat must be c, c-fixed or spec, not {name!r}"):
            make()
    with pytest.raises(InputError, match="-compat must be one of c, c-fixed, spec, not 'fixed'"):
        take_own_options(["-compat", "fixed"])
