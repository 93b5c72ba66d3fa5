"""Batches on a simulated GPU: byte for byte the images one by one, however they are cut, masked and dealt; mixed and single precision."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nanobragg_numba.jit.cpu_features import has_fused_multiply_add

SIMULATION = "simulated_batch.py"
ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.skipif(
    not has_fused_multiply_add(), reason="this processor has no fused multiply-add: the guard does not cover it"
)


def test_a_batch_is_its_images_one_by_one(simulated):
    cases = simulated["batch_against_singles"]
    assert len(cases) == 12
    for case in cases:
        assert case["cpu"] and case["gpu"], case
        assert case["bright"] == case["images"] and case["different"] >= case["images"] - 1, case
    launches = {case["name"]: case["launches"] for case in cases}
    # Cell, orientation, wavelength, detector, size and fluence may differ within a launch.
    assert launches["listed, c"] == 1 and launches["varied sweep, spec"] == 3


def test_regions_are_a_mask(simulated):
    for case in simulated["regions"]:
        assert case["gpu"] and case["cpu"], case
    # In "c" the run's first sweep moves to the first pixel that is computed (Q1), as behind a mask.
    assert {case["name"]: case["inside"] for case in simulated["regions"]} == {"c": False, "spec": True}


def test_what_does_not_fit_is_cut_into_parts_and_said(simulated):
    split = simulated["split_by_memory"]
    assert split["three images a slot"]["sizes"] == [3, 3, 2] and split["one image"]["sizes"] == [1] * 8
    for name, parts in (("three images a slot", 3), ("one image", 8)):
        assert split[name]["same"]
        (sentence,) = split[name]["said"]
        assert sentence.startswith("device cuda:0: ") and sentence.endswith(f"8 images are computed in {parts} parts")
    assert "of the GPU's memory" in split["refused"]


def test_several_devices_share_a_batch_in_order(simulated):
    cards = simulated["several_devices"]
    assert cards["same"] and cards["progress"] and cards["used"] == [0, 1, 2]
    assert cards["failures"] == ["division by zero"]


def test_the_next_part_is_started_before_the_last_is_used(simulated):
    slots = simulated["two_slots"]
    assert slots["order"] == ["start 0", "start 2", "end 0", "start 4", "end 2", "end 4"]
    assert slots["same"] and slots["streams"] == 2 and slots["overwritten"]


def test_more_doubtful_pixels_than_the_list_holds(simulated):
    for case in simulated["overflow"].values():
        assert case["same"] and case["single"], case
    assert simulated["overflow"]["listed"]["counts"] == [[81, 81]] * 4
    assert simulated["overflow"]["overflowing"]["counts"] == [[81, None]] * 4


def test_the_numbers_of_an_image_and_the_tiles_of_boxes(simulated):
    layout = simulated["layout"]
    assert layout["wrong"] == [] and not layout["nan"] and layout["last"] == 0.125
    assert layout["tiles"] == [0, 3, 3, 7] and layout["pixels"] == 26
    assert layout["threads"] == {"(1, 1)": True, "(3, 5)": True}


def test_rendering_into_an_array_of_the_caller(simulated):
    case = simulated["lower_level"]
    assert case["left"] and case["error"] < 1e-14 and case["doubtful"] == []
    assert [words.split(" ", 2)[0] for words in case["said"]] == ["4", "image", "9"]


def test_errors_of_mixed_and_single_precision(simulated):
    assert len(simulated["precisions"]) == 4
    for case in simulated["precisions"]:
        assert case["bright"] > 0 and case["mixed batch"] and case["single batch"], case
        assert case["mixed cpu"] == case["single cpu"] < 1e-6, case
        assert case["mixed cuda"] < 1e-6 and case["mixed cuda, of the sum"] < 1e-6, case
        # Else it would be the mixed kernel. h near 100 has an error of 2^-18, a thousand times that of the sine.
        assert 1e-6 < case["single cuda"] < 1e-3, case


def test_a_table_of_single_precision(simulated):
    case = simulated["table_of_singles"]
    assert case["same"] and case["error"] < 1e-6
    assert "need a table of doubles" in case["said"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("shape", "image 1 of the batch has 10x10 pixels, and the first one 9x9"),
        ("number of regions", "a list of boxes for each of the 1 images"),
        ("box", "four whole numbers"),
        ("order", "must not end before it starts"),
        ("fraction", "four whole numbers"),
        ("mixed devices", "device must be cpu, or one or more GPUs"),
        ("twice", "each once"),
        ("no device", "there is no such GPU"),
        ("image", "image 1 of the batch: Beam.wavelength_A (-lambda) must be positive, not -1"),
    ],
)
def test_refusals(simulated, name, words):
    assert words in simulated["refusals"][name] and "\n" not in simulated["refusals"][name]


def test_every_line_of_the_benchmark_runs(tmp_path):
    table = tmp_path / "tables.md"
    table.write_text("before\n<!-- benchmarks/gpu.py: begin -->\nold\n<!-- benchmarks/gpu.py: end -->\nafter\n")
    stand_in = tmp_path / "cuda_c"
    stand_in.write_text("#!/bin/sh\nexit 0\n")
    stand_in.chmod(0o755)
    words = ["--tiny", "--write", "--into", str(table)]
    run = subprocess.run(
        [sys.executable, "-W", "ignore", str(ROOT / "benchmarks" / "gpu.py"), *words], cwd=tmp_path, capture_output=True,
        text=True, env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "NB_CUDA_BIN": str(stand_in)},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    text = table.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    for words in ("| guarded |", "| single |", "one still, 1000 domains", "images/s, written", "CUDA C / ours, GPU", "kernel, CUDA C"):
        assert words in text and words in run.stdout, words
    assert not list(tmp_path.glob("*.part"))
    # The manual has the marks that --write looks for.
    assert "<!-- benchmarks/gpu.py: begin -->\n" in (ROOT / "docs" / "performance.md").read_text()
