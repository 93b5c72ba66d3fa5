"""Which remarks each recorded run calls for, from what its options mean and from what the reference printed; and how they are told."""

import json
import math
import re
from collections import Counter

import pytest
from running import GOLDEN, nanobragg

CASES = json.loads((GOLDEN / "cases.json").read_text())
LINE = re.compile(r"nanoBragg: (Q\d+|mask|warning): ")


class Recorded:
    """A recorded run: its words, and the reference's standard output."""

    def __init__(self, case):
        self.words = case["args"]
        self.files = case["files"]
        self.stdout = (GOLDEN / "stdout" / f"{case['name']}.txt").read_text()

    def values(self, flag, count=1):
        """The numbers after the last such word; None where there is none."""
        if flag not in self.words:
            return None
        at = len(self.words) - 1 - self.words[::-1].index(flag)
        return [float(word) for word in self.words[at + 1 : at + 1 + count]]

    def value(self, flag, default=0.0):
        found = self.values(flag)
        return default if found is None else found[0]

    def printed(self, pattern):
        """The number in the reference's output."""
        found = re.search(pattern, self.stdout)
        assert found is not None, pattern
        return float(found[1])

    @property
    def sources(self):
        return self.printed(r"(\d+) sources\n")

    @property
    def subpixels(self):
        return self.printed(r"(\d+)x\d+ pixel oversample")

    @property
    def layers(self):
        return self.printed(r"thick in (\d+) layers")

    @property
    def thickness(self):
        return self.printed(r"sensor is (\S+) m thick")

    @property
    def attenuation(self):
        return self.printed(r"mu= (\S+)")


def angle_of_zero_among_others(run):
    angles = [float(text) for text in re.findall(r"^phi\d+ = (\S+)", run.stdout, re.M)]
    return 0.0 in angles and any(angles)


def spots_by_the_product(run):
    shapes = [word for word in run.words if word in ("-round_xtal", "-square_xtal", "-gauss_xtal", "-tophat_spots", "-binary_spots")]
    return bool(shapes) and shapes[-1] not in ("-round_xtal", "-square_xtal")


def first_subpixel_alone(run):
    several = run.subpixels > 1 or run.layers > 1
    return several and ("-oversample_omega" not in run.words or (run.thickness > 0 and "-oversample_thick" not in run.words))


def one_polarization(run):
    several = run.subpixels > 1 or run.layers > 1 or run.sources > 1
    return several and "-nopolar" not in run.words and "-oversample_polar" not in run.words


def oblique_reciprocal_cell(run):
    """c* comes out right where sin(gamma) is sin(gamma*), which cos(gamma*) = (cos(alpha) cos(beta) - cos(gamma)) / (sin sin) gives."""
    if "-cell" not in run.words or "-mat" in run.words:
        return False
    at = run.words.index("-cell") + 1
    end = next((n for n in range(at, len(run.words)) if run.words[n].startswith("-")), len(run.words))
    numbers = [float(word) for word in run.words[at:end]]
    alpha, beta, gamma = (math.radians(angle) for angle in [*numbers[3:], 90.0, 90.0, 90.0][:3])
    cos_star = (math.cos(alpha) * math.cos(beta) - math.cos(gamma)) / (math.sin(alpha) * math.sin(beta))
    return abs(math.sin(gamma) - math.sqrt(1 - cos_star**2)) > 1e-9


def seed_read_as_angles(run):
    """A -misset_seed that no -misset follows."""
    places = [at for at, word in enumerate(run.words) if word.startswith("-misset")]
    return bool(places) and run.words[places[-1]] == "-misset_seed"


def swung(run):
    """The first number of -twotheta_axis, where that comes later, is the angle too."""
    words = [word for word in run.words if word in ("-twotheta", "-twotheta_axis")]
    return bool(words) and run.value(words[-1]) != 0.0


def header_outgrown(run):
    """Two bytes a pixel of the integer image lie behind the header, which C fills up to 512 bytes only."""
    floats = next(file["bytes"] for name, file in run.files.items() if name.endswith(".bin") and "ump" not in name)
    return any(file["bytes"] - floats // 2 > 512 for name, file in run.files.items() if name.endswith(".img"))


def axis_read_as_angle(run):
    places = [run.words.index(word) for word in ("-twotheta", "-twotheta_axis") if word in run.words]
    return (
        "-twotheta_axis" in run.words
        and run.words.index("-twotheta_axis") == max(places)
        and run.value("-twotheta_axis") != run.value("-twotheta")
    )


def pivot_undone(run):
    """-twotheta_axis, which is -twotheta too, sets the pivot; behind a -pivot it undoes that."""
    return "-pivot" in run.words and "-twotheta_axis" in run.words and run.words.index("-pivot") < run.words.index("-twotheta_axis")


def centre_on_a_tilted_detector(run):
    """Vectors, and the last word about the pivot is -twotheta: the detector, whose normal is not along the beam, turns about the sample."""
    return all(word in run.words for word in ("-odet_vector", "-beam_vector", "-Xbeam", "-twotheta")) and "-pivot" not in run.words


WORDS_WITHOUT_EFFECT = {"-stol", "-4stol", "-Q", "-stolout", "-coherent", "-density", "-molec", "-MW"}
# How often each remark is due.
DUE = {
    "Q1": angle_of_zero_among_others,
    "Q2": lambda run: "out of range for three point interpolation" in run.stdout,
    "Q3": lambda run: any(f"-oversample_{name}" in run.words for name in ("thick", "polar", "omega")),
    "Q4": one_polarization,
    "Q5": first_subpixel_alone,
    "Q6": lambda run: run.value("-water") != 0.0,
    # The intensities in sources.txt differ.
    "Q7": lambda run: "-sourcefile" in run.words,
    "Q8": seed_read_as_angles,
    "Q9": spots_by_the_product,
    "Q10": lambda run: "reading Fs from" in run.stdout,
    "Q11": lambda run: any(word.startswith("-pix0_vector") for word in run.words),
    "Q13": oblique_reciprocal_cell,
    # -detector_thicksteps or -thicksteps given: without them there are two layers of half the thickness.
    "Q14": lambda run: run.thickness > 0 and run.attenuation > 0 and any("thicksteps" in word for word in run.words),
    "Q15": swung,
    "Q16": lambda run: any(word in run.words for word in ("-Xclose", "-Yclose")),
    "Q17": header_outgrown,
    # mask.img counts BEAM_CENTER_Y, which is not in its middle, from the near edge.
    "Q19": lambda run: "-mask" in run.words,
    "Q30": axis_read_as_angle,
    "Q33": pivot_undone,
    "Q35": centre_on_a_tilted_detector,
    # A range and a step size: three steps of 0.1 over 0.3 begin at one edge, and their middle is not the beam.
    "Q42": lambda run: "-hdivrange" in run.words and "-hdivstep" in run.words,
    "Q44": lambda run: "random" in run.words and not seed_read_as_angles(run),
    "Q22": lambda run: len(WORDS_WITHOUT_EFFECT & set(run.words)),
    "mask": lambda run: False,
    # -hdiv, -vdiv and -dispstep are no options.
    "warning": lambda run: len({"-hdiv", "-vdiv", "-dispstep"} & set(run.words)),
}


def remarks(stderr):
    return Counter(LINE.findall(stderr))


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_each_recorded_run_is_told_what_touched_it(case, tmp_path, capfdbinary):
    recorded = Recorded(case)
    due = Counter({name: int(count(recorded)) for name, count in DUE.items()})
    run = nanobragg(case["args"], tmp_path / "loud", capfdbinary, case["inputs"])
    assert remarks(run.stderr) == +due, run.stderr
    compiling = ("nanoBragg: compiling the kernels", "nanoBragg: compiled in")
    others = [line for line in run.stderr.splitlines() if not LINE.match(line) and not line.startswith(compiling)]
    assert others == []


def test_the_recorded_runs_meet_nearly_all():
    met = {name for case in CASES for name, count in DUE.items() if count(Recorded(case))}
    assert set(DUE) - met == {"Q10", "mask"}


BASE = "-cell 50 60 70 90 90 90 -default_F 100 -N 5 -lambda 1 -detpixels 8 -pixel 0.5 -oversample 1 -seed 1 -nonoise -nopgm".split()


@pytest.mark.parametrize(
    ("words", "due"),
    [
        ("", {}),
        ("-misset_seed 5 -misset 10 20 30", {}),
        ("-misset_seed 5 6 7 -lambda 1", {"Q8": 1, "warning": 1}),
        ("-xds -Xclose 2 -Yclose 2", {}),
        ("-dials -Xclose 1 -Yclose 2", {"Q16": 1}),
        ("-Xclose 1 -mosflm", {"Q16": 1}),
        ("-fdet_vector 0 0 1 -Xclose 1", {}),
        # The beam centre of a tilted detector, which is not the nearest point.
        ("-fdet_vector 0 0 1 -Xclose 1 -pivot beam -detector_roty 10", {}),
        ("-fdet_vector 0 0 1 -Xbeam 2 -Xclose 1", {"Q16": 1}),
        ("-detector_thick 100 -detector_abs 200", {"Q4": 1, "Q5": 1}),
        ("-detector_thick 100 -detector_abs 200 -thicksteps 3", {"Q4": 1, "Q5": 1, "Q14": 1}),
        ("-twotheta 0", {}),
        ("-twotheta 10", {"Q15": 1}),
        ("-coherent -density 1.3 -MW 1000 -MW 2000", {"Q22": 3}),
        ("-oversample 2 -oversample_omega -nopolar", {"Q3": 1}),
    ],
)
def test_remarks_only_where_the_image_is_touched(words, due, tmp_path, capfdbinary):
    run = nanobragg([*BASE, *words.split()], tmp_path, capfdbinary)
    assert run.status == 0 and remarks(run.stderr) == due, run.stderr


def test_a_list_of_an_earlier_run_is_told(tmp_path, capfdbinary):
    assert remarks(nanobragg([*BASE, "-hkl", "block.hkl"], tmp_path, capfdbinary, ["block.hkl"]).stderr) == {}
    assert remarks(nanobragg(BASE, tmp_path, capfdbinary).stderr) == {"Q10": 1}


def test_a_mask_of_another_size_is_told(tmp_path, capfdbinary):
    """Of 88 by 72 pixels, as its header says."""
    run = nanobragg([*BASE, "-mask", "mask.img", "-detpixels", "20"], tmp_path, capfdbinary, ["mask.img"])
    assert run.status == 0 and remarks(run.stderr)["mask"] == 1


def test_options_without_effect_are_told_in_spec_too(tmp_path, capfdbinary):
    run = nanobragg([*BASE, "-coherent", "-twotheta", "10", "-compat", "spec"], tmp_path, capfdbinary)
    assert run.stderr == "nanoBragg: Q22: -coherent is read and changes nothing\n"


def test_quiet_silences_remarks_alone(tmp_path, capfdbinary):
    words = [*BASE, "-twotheta", "10", "-frob", "-N", "3", "4"]
    loud = nanobragg(words, tmp_path / "loud", capfdbinary)
    quiet = nanobragg([*words, "-quiet"], tmp_path / "quiet", capfdbinary)
    assert len(loud.stderr.splitlines()) == 3 and quiet.stderr == ""
    assert quiet.stdout == loud.stdout and quiet.files() == loud.files()
    bad = nanobragg([*words, "-quiet", "-distance", "0"], tmp_path / "bad", capfdbinary)
    assert bad.status == 2 and bad.stderr.startswith("nanoBragg: error: -distance")
    assert nanobragg(words, tmp_path / "again", capfdbinary).stderr == loud.stderr


def test_a_batch_tells_each_remark_once(tmp_path, capfdbinary):
    lines = [
        "# two-theta in lines 2 to 4, 6, 8 and 9",
        "-twotheta 10",
        "-twotheta 11",
        "-twotheta 12 -frob",
        "-distance 0",
        "-twotheta 9",
        "-cell -N 3",
    ]
    lines += ["-twotheta 8 -quiet", "-twotheta 8", "-lambda 1.1"]
    (tmp_path / "lines.txt").write_text("\n".join(lines))
    run = nanobragg([*BASE, "-batch", "lines.txt"], tmp_path, capfdbinary)
    single = nanobragg([*BASE, "-twotheta", "10"], tmp_path / "single", capfdbinary).stderr.splitlines()
    told = run.stderr.splitlines()
    assert len(single) == 1 and run.status == 2
    assert [line for line in told if "error" in line] == ["nanoBragg: line 5: error: -distance must be positive, not 0 mm"]
    assert told[0] == "nanoBragg: line 5: error: -distance must be positive, not 0 mm"
    assert sorted(told[1:]) == sorted(
        [
            f"{single[0]} (5 lines: 2-4, 6, 9)",
            "nanoBragg: line 4: warning: unknown option -frob; ignored, as the C program does",
        ]
    )


def test_a_line_without_a_crystal_is_named(tmp_path, capfdbinary):
    (tmp_path / "lines.txt").write_text("-cell 70 -default_F 1 -detpixels 8 -oversample 1 -seed 1\n\n-lambda 1\n")
    run = nanobragg(["-batch", "lines.txt"], tmp_path, capfdbinary)
    assert run.status == 9
    assert run.stderr.splitlines()[0].startswith("nanoBragg: line 3: error: no crystal")


def test_many_line_numbers_are_cut_short(tmp_path, capfdbinary):
    (tmp_path / "lines.txt").write_text("-twotheta 10\n\n" * 30)
    told = nanobragg([*BASE, "-batch", "lines.txt"], tmp_path, capfdbinary).stderr
    assert told.endswith("(30 lines: 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, ... 59)\n") and told.count("\n") == 1
