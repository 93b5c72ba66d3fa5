"""Remarks of -compat c on geometry and steps: one where the quirk touched the image, none where the words happen to change nothing."""

import re

import pytest
from running import nanobragg

BASE = "-cell 50 60 70 90 90 90 -default_F 100 -N 5 -lambda 1 -detpixels 8 -pixel 0.5 -oversample 1 -seed 1 -nonoise -nopgm -nopolar"
AT = "-distance 100"
AXES = "-fdet_vector 1 0 0 -sdet_vector 0 1 0 -odet_vector 0 0 1 -beam_vector 0 0 1"
ROWS = [
    # words, remarks
    (f"{AT}", ""),
    (f"{AT} -twotheta 20 -twotheta_axis 0 1 0", "Q30"),
    (f"{AT} -twotheta_axis 0 1 0 -twotheta 20", ""),
    (f"{AT} -twotheta 0 -twotheta_axis 0 1 0", ""),
    (f"{AT} -twotheta_axis 5 0 0", "Q30 Q31"),
    (f"{AT} -twotheta_axis 0 2 0 -twotheta 20", "Q31"),
    (f"{AT} -twotheta_axis 0 2 0 -twotheta 0", ""),
    (f"{AT} -xds -spindle_axis 0 1 0", "Q32"),
    (f"{AT} -spindle_axis 0 1 0 -xds", "Q32"),
    (f"{AT} -spindle_axis 1 0 0 -xds", ""),
    (f"{AT} -xds", ""),
    (f"{AT} {AXES} -twotheta 20 -distance 110", "Q33"),
    (f"{AT} {AXES} -detector_rotx 5 -pivot sample -Xbeam 3", "Q33"),
    (f"{AT} {AXES} -pivot sample -Xbeam 3", ""),
    (f"{AT} {AXES} -twotheta 20", ""),
    (f"{AT} -xds -twotheta 20 -pivot beam", "Q33"),
    (f"{AT} -xds -pivot beam", ""),
    (f"{AT} -dials -Xbeam 1.5 -Ybeam 1", "Q34"),
    (f"{AT} -dials -Xbeam 2 -Ybeam 2", ""),
    (f"{AT} -mosflm -ORGX 3", "Q34"),
    (f"{AT} -mosflm -ORGX 5.5 -ORGY 5.5", ""),
    (f"{AT} -xds -ORGX 3 -ORGY 2", ""),
    (f"{AT} {AXES} -ORGX 3 -ORGY 2 -detector_rotx 5 -pivot sample", ""),
    (f"{AT} {AXES} -ORGX 3 -ORGY 2 -detector_rotx 5 -pivot beam", "Q34"),
    (f"{AT} {AXES} -beam_vector 0 0.1 1 -Xbeam 1 -pivot sample", "Q35"),
    (f"{AT} {AXES} -beam_vector 0 0.1 1 -Xbeam 1", ""),
    ("-close_distance 95 -twotheta 15", "Q36"),
    ("-close_distance 95", ""),
    ("-xds -close_distance 95 -twotheta 15", ""),
    (f"{AT} -close_distance 95", "Q37"),
    (f"{AT} -close_distance 100", ""),
    (f"{AT} -detsize 50", "Q38"),
    (f"{AT} -detsize 4", ""),
    (f"{AT} -fdet_vector 0 0.1 1", "Q39"),
    (f"{AT} -odet_vector 1 0.1 0", "Q39"),
    (f"{AT} -odet_vector 2 0 0", ""),
    (f"{AT} -phi 10 -osc -0.3 -phisteps 3", "Q40"),
    (f"{AT} -phi 10 -osc -1", "Q40"),
    (f"{AT} -phi 10 -osc 0.45 -phistep 0.15", "Q41"),
    (f"{AT} -phi 10 -osc 0.3 -phistep 0.15", ""),
    (f"{AT} -phi 10 -phistep 0.15 -phisteps 5", "Q41"),
    (f"{AT} -phi 10 -phistep 0.15 -phisteps 2", ""),
    (f"{AT} -phi 10 -osc 1 -phisteps 3", ""),
    (f"{AT} -phi 10 -osc 1", ""),
    (f"{AT} -hdivrange 1 -hdivsteps 1", "Q42"),
    (f"{AT} -hdivrange 1 -hdivsteps 2", ""),
    (f"{AT} -hdivrange 1 -hdivstep 0.5", "Q42"),
    (f"{AT} -hdivstep 0.5", ""),
    (f"{AT} -vdivsteps 2", "Q42"),
    (f"{AT} -dispersion 1 -dispsteps 1", "Q42"),
    (f"{AT} -dispersion 1 -dispsteps 3", ""),
    (f"{AT} -detector_thick 100 -detector_thicksteps 1", "Q43"),
    (f"{AT} -detector_thicksteps 1", ""),
    (f"{AT} -detector_abs inf -detector_thick 100", "Q45"),
    (f"{AT} -detector_thick 100 -detector_abs inf", ""),
    (f"{AT} -misset_seed 3 -misset random", "Q44"),
    (f"{AT} -misset 1 2 3", ""),
]


@pytest.mark.parametrize(("words", "remarks"), ROWS, ids=[words for words, _ in ROWS])
def test_remarks(words, remarks, tmp_path, capfdbinary):
    run = nanobragg(f"{BASE} {words}".split(), tmp_path, capfdbinary)
    assert run.status == 0, run.stderr
    told = re.findall(r"^nanoBragg: (Q(?:3|4)\d): ", run.stderr, re.M)
    assert told == remarks.split()


def test_spec_tells_what_it_shares(tmp_path, capfdbinary):
    words = f"{BASE} -compat spec -distance 100 {AXES} -beam_vector 0 0.1 1 -pivot sample -Xbeam 1".split()
    assert "point nearest to the sample" in nanobragg(words, tmp_path / "a", capfdbinary).stderr
    assert nanobragg([*words, "-pivot", "beam"], tmp_path / "b", capfdbinary).stderr == ""
