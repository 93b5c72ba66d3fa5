"""Which tests are ``quick``, ``slow``, or compare with a ``reference`` binary: file and name a row, ``*`` for any text.

Quick is what every combination of versions runs: something of every room, under 90 seconds in all once the kernels are compiled, without
a GPU, and without torch but for the rows of derivatives. Slow is what takes more than ten seconds, alone or with the script that it waits
for. ``gpu`` stands at the tests themselves.
"""

import re

GOLDEN_CASES = (
    "cubic_basic", "triclinic_misset", "erl_matrix_hkl", "interp_auto_small_n", "shape_round", "shape_gauss_phi_mosaic",
    "phi_zero_mosaic_sources", "div_round_disp", "sourcefile", "oversample_omega_polar_thick", "curved_detector", "conv_xds_org",
    "mask_image", "water_background", "scales_adc", "noise_bright", "printout_pixel",
)  # fmt: skip
SISTER_CASES = ("noisify_11", "noisify_37", "nonbragg_01", "nonbragg_39")
ROWS = {
    "quick": (
        "test_acceptance.py::*",
        "test_architecture.py::*",
        "test_batch.py::*",
        "test_batch_jobs.py::test_a_scan_is_exact",
        "test_batch_jobs.py::test_bad_*",
        "test_batch_jobs.py::test_seeds_depend_on_the_row_and_the_seed_alone",
        "test_command_line.py::*",
        "test_contact_sheet.py::*",
        "test_compare_phi.py::*",
        *(f"test_golden.py::test_same_bytes_as_the_reference[{case}-{way}]" for case in GOLDEN_CASES for way in ("2-guarded", "1-exact")),
        "test_files_cbf.py::*",
        "test_gradients.py::test_gradcheck[cell-gauss]",
        "test_gradients.py::test_gradcheck[misset_deg-everything]",
        "test_gradients.py::test_gradcheck[structure_factors-listed]",
        "test_layout.py::test_every*",
        "test_layout.py::test_help*",
        "test_layout.py::test_start_up*",
        "test_nexus_frames.py::*",
        "test_noise.py::*",
        "test_number_scan.py::*",
        "test_panels.py::test_a_detector_cut_into_four_is_the_detector*",
        "test_panels_crystfel.py::test_64_panels_against_a_projection",
        "test_panels_dials.py::test_lattice_rotation_and_beam",
        "test_parity.py::*",
        "test_progress_bar.py::*",
        "test_reflection_files.py::*",
        "test_reflections_expansion.py::test_all_of_p1_from_pairs*",
        "test_refinement_parts.py::test_background_against_numpy*",
        "test_refinement_parts.py::test_poisson_against_scipy*",
        "test_robustness.py::test_bad_*",
        "test_robustness.py::test_interrupted_run_keeps_earlier_outputs*",
        "test_robustness.py::test_two_threads_at_once",
        "test_rotated_vectors.py::test_numpy_vectors_are_the_kernels*",
        "test_simulate.py::test_bad_parameters_are_refused*",
        "test_simulate.py::test_dtypes",
        "test_simulate.py::test_spec_against_the_plain_twin*",
        "test_spots.py::test_partiality*",
        "test_spots.py::test_what_is_refused*",
        *(f"test_sisters_golden.py::test_same_bytes_as_the_reference[{case}-2]" for case in SISTER_CASES),
        "test_stored_code.py::test_a_warm_command_loads_no_compiler*",
        "test_suite.py::*",
        "test_trace.py::test_every_line_of_the_recorded_trace",
        "test_view.py::test_bad_input*",
        "test_view.py::test_ring*",
    ),
    "slow": (
        "test_batch_jobs.py::test_dask_makes_the_same",
        "test_batch_killed.py::test_a_run_killed_at_any_moment*",
        "test_batch_killed.py::test_the_whole_program_killed_among_processes",
        "test_bridge.py::test_adjoint_against_tangent*",
        "test_bridge.py::test_hessian_is_symmetric_and_the_same_either_way",
        "test_cuda_batch.py::*",
        "test_cuda_code.py::*",
        "test_cuda_derivatives.py::*",
        "test_cuda_simulator.py::*",
        "test_examples.py::*",
        "test_guard.py::test_a_processor_without_fused_multiply_add_takes_the_exact_kernel",
        "test_guard.py::test_largest_error_is_far_inside_the_bound*",
        "test_large_images.py::*",
        "test_refinement.py::test_a_joint_fit_of_noisy_stills",
        "test_refinement.py::test_sigmas_are_those_of_repeats",
        "test_refinement.py::test_twenty_stills",
        "test_refinement_symmetry.py::test_structure_factors_of_many_stills",
        "test_vector_math.py::test_sine_is_within_its_share_of_the_bound",
    ),
    "reference": (
        "test_against_reference.py::test_same_bytes_on_a_random_line*",
        "test_large_images.py::test_a_large_image_has_the_same_bytes*",
        "test_sisters_reference.py::test_same_bytes_on_a_random_line*",
    ),
}


def _pattern(row: str) -> re.Pattern[str]:
    return re.compile(re.escape(row).replace(r"\*", ".*"))


_PATTERNS = {mark: [_pattern(row) for row in rows] for mark, rows in ROWS.items()}


def marks_of(file: str, test: str) -> list[str]:
    """The marks of a test by its file's name and its own, parameters included."""
    return [mark for mark, patterns in _PATTERNS.items() if any(pattern.fullmatch(f"{file}::{test}") for pattern in patterns)]
