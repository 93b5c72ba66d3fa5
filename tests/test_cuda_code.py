"""What NVVM makes of the kernels: PTX for several GPUs, with no product fused with a sum but where our code asks for it.

Skipped where no CUDA toolkit is found; a GPU is not needed.
"""

import re
from functools import cache

import numpy as np
import pytest
from ptx_code import CAPABILITIES, needs_toolkit, ptx

from nanobragg_numba import parameters_from_command_line
from nanobragg_numba.experiment.derive import derive_experiment
from nanobragg_numba.gpu import device_batch, forward
from nanobragg_numba.gpu.device_code import device_names
from nanobragg_numba.gpu.image_numbers import Images, Traits, common_of

LINE = "-cell 70 80 90 -default_F 100 -N 7 -lambda 1 -distance 100 -detpixels 24 -oversample 1"
pytestmark = needs_toolkit


def arguments(dtype=np.float32, precision="double", factors=np.float64):
    """A kernel's arguments by name, with arrays of the host, whose types are the same."""
    tables = derive_experiment(parameters_from_command_line(LINE, "c"), "c").tables
    common = common_of(tables)
    common = common._replace(factors=common.factors.astype(factors))
    shapes = zip(device_batch._shapes(tables, 1), device_batch._kinds(precision), strict=True)
    images = Images(*(np.zeros(shape, kind) for shape, kind in shapes))
    whole, doubles, out = np.zeros(1, np.int64), np.zeros((1, 1, 1)), np.zeros((1, 1, 1), dtype)
    masks = np.zeros((1, 1, 1), np.bool_)
    return {
        "pixel_tiles": (common, images, masks, np.zeros((1, 5), np.int64), whole, 1, out, doubles, whole, whole),
        "row_sums": ((0, 1, 0, 1), doubles, np.zeros(1)),
        "clear": (out,),
    }


def instructions(text, pattern):
    return re.findall(rf"^\s*(?:@!?%p\d+\s+)?({pattern})\s", text, re.M)


PLAIN, FULL = Traits(False, True, False, False, False, False, False), Traits(True, False, True, True, True, True, True)
TRAITS = {"plain": PLAIN, "with everything": FULL}
KERNELS = {
    **{(precision, name): forward.kernel_for(precision, TRAITS[name]) for precision in ("double", "mixed", "single") for name in TRAITS},
    ("double", "with everything, c"): forward.kernel_for("double", FULL._replace(spec=False)),
}
LISTED = {key: kernel for key, kernel in KERNELS.items() if key[1] == "with everything"}
"""Those that look up structure factors."""
COMPILED = [*((capability, np.float32, np.float64, KERNELS) for capability in CAPABILITIES), ((8, 0), np.float64, np.float32, LISTED)]


@pytest.mark.parametrize(("capability", "dtype", "factors", "kernels"), COMPILED)
def test_every_kernel_compiles(capability, dtype, factors, kernels):
    for (precision, name), kernel in {**kernels, ("double", "row_sums"): forward.row_sums, ("double", "clear"): forward.clear}.items():
        values = arguments(dtype, precision, factors)[name if name in ("row_sums", "clear") else "pixel_tiles"]
        contraction = precision != "double"
        text = ptx(kernel.py_func, values, capability, contraction)
        assert f".target sm_{capability[0]}{capability[1]}" in text
        # What says how it rounds is not fused by the assembler behind NVVM.
        operations = set(instructions(text, r"(?:add|sub|mul|div|sqrt|mad|fma)\.\S*f64"))
        rounded = {f"{operation}.rn.f64" for operation in ("add", "sub", "mul", "div", "sqrt", "fma")}
        assert (operations or name == "clear") and operations <= rounded | ({"add.f64", "sub.f64", "mul.f64"} if contraction else set())


def test_each_precision_computes_in_it():
    text = {
        precision: ptx(KERNELS[precision, "plain"].py_func, arguments(precision=precision)["pixel_tiles"], (8, 0), precision != "double")
        for precision in ("double", "mixed", "single")
    }
    # Gratings: two polynomials of four fused multiply-adds for each of h, k, l; in single precision h, k, l as well.
    singles = {name: len(instructions(text[name], r"fma\.rn\.f32")) for name in text}
    doubles = {name: len(instructions(text[name], r"(?:fma|mul|add|sub)\S*\.f64")) for name in text}
    assert singles["double"] == 0 < 24 <= singles["mixed"] < singles["single"], singles
    assert doubles["single"] < doubles["mixed"] < doubles["double"], doubles


def test_what_is_off_leaves_no_code():
    calls = r"ex2\S*|cvt\.\S*s64\.f64"
    text = {name: ptx(KERNELS["double", name].py_func, arguments()["pixel_tiles"], (8, 0)) for name in ("plain", "with everything")}
    # No exponential, and no index rounded for looking up a structure factor.
    assert instructions(text["with everything"], calls) and not instructions(text["plain"], calls)


def test_nothing_is_compiled_again_at_link_time():
    # The linker would fuse, whatever NVVM was told.
    assert not any(kernel.targetoptions.get("lto") for kernel in (*KERNELS.values(), forward.row_sums, forward.clear))


@cache
def without_our_fma():
    """The kernel with stand-ins for the functions that contain fused multiply-adds on purpose: what is left is h, k, l, the sines'
    arguments, the geometry and the sums, which must round as in C."""
    once, twice = lambda x: x, lambda y, x: x + y
    names = device_names({"sine": once, "exp": once, "cos": once, "atan2": twice})
    return forward.with_functions(names["pixel_value"], FULL._replace(spec=False))


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_nothing_is_fused_but_where_asked_for(capability):
    text = ptx(without_our_fma(), arguments()["pixel_tiles"], capability)
    assert len(instructions(text, r"mul\.rn\.f64")) > 50 and len(instructions(text, r"add\.rn\.f64")) > 30
    assert not re.search(r"\bfma\b|\bmad\.\S*f64", text)


def test_fusion_is_seen_where_it_is_not_switched_off():
    text = ptx(without_our_fma(), arguments()["pixel_tiles"], (8, 0), contraction=True)
    assert len(instructions(text, r"fma\.rn\.f64")) > 30
