"""What NVVM makes of the kernels: PTX for several GPUs, with no product fused with a sum but where our code asks for it.

Skipped where no CUDA toolkit is found; a GPU is not needed.
"""

import re
from contextlib import nullcontext
from types import FunctionType, SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
from numba import config, cuda, typeof, types
from numba.cuda.cudadrv import nvvm

from nanobragg_numba import parameters_from_command_line
from nanobragg_numba.experiment import derive_experiment
from nanobragg_numba.gpu import forward
from nanobragg_numba.gpu.compilation import without_contraction
from nanobragg_numba.gpu.device_code import device_names

CAPABILITIES = ((7, 0), (7, 5), (8, 0), (9, 0))
LINE = "-cell 70 80 90 -default_F 100 -N 7 -lambda 1 -distance 100 -detpixels 24 -oversample 1"
pytestmark = [
    pytest.mark.skipif(bool(config.ENABLE_CUDASIM), reason="the simulator does not compile"),
    pytest.mark.skipif(not config.ENABLE_CUDASIM and not nvvm.is_available(), reason="no CUDA toolkit is found (libNVVM)"),
]


def arguments(dtype=np.float32):
    """A kernel's arguments by name, with arrays of the host, whose types are the same."""
    tables = derive_experiment(parameters_from_command_line(LINE, "c"), "c").tables
    with patch.object(forward.cuda, "to_device", lambda array: array):
        tables = forward._on_device(tables)
    image, doubles = np.zeros((1, 1), dtype), np.zeros((1, 1))
    window = (0, 1, 0, 1)
    return {
        "pixel_rows": (tables, window, False, np.zeros((1, 1), np.bool_), -1, 0.1, image, doubles),
        "row_sums": (window, doubles, np.zeros(1)),
    }


def ptx(function, given, capability, contraction=False):
    # numba asks the current GPU for its capability whenever it compiles a device function.
    with (
        patch("numba.cuda.dispatcher.get_current_device", lambda: SimpleNamespace(compute_capability=capability)),
        nullcontext() if contraction else without_contraction(),
    ):
        signature = types.void(*map(typeof, given))
        try:
            text, _ = cuda.compile(function, signature, device=False, abi="numba", cc=capability)
        except Exception as error:
            if "unsupported" in str(error) or "not supported" in str(error):
                pytest.skip(f"this toolkit does not compile for {capability[0]}.{capability[1]}: CUDA 13 left out what is below 7.5")
            raise
    return text


def instructions(text, pattern):
    return re.findall(rf"^\s*(?:@!?%p\d+\s+)?({pattern})\s", text, re.M)


def kernels():
    dispatchers = {name: value for name, value in vars(forward).items() if hasattr(value, "forall") and hasattr(value, "targetoptions")}
    return {name: value for name, value in dispatchers.items() if not value.targetoptions["device"]}


@pytest.mark.parametrize(("capability", "dtype"), [*((capability, np.float32) for capability in CAPABILITIES), ((8, 0), np.float64)])
def test_every_kernel_compiles(capability, dtype):
    given = arguments(dtype)
    assert set(given) == set(kernels())
    for name, values in given.items():
        text = ptx(kernels()[name].py_func, values, capability)
        assert f".target sm_{capability[0]}{capability[1]}" in text
        # What says how it rounds is not fused by the assembler behind NVVM.
        operations = set(instructions(text, r"(?:add|sub|mul|div|sqrt|mad|fma)\.\S*f64"))
        assert operations and operations <= {f"{operation}.rn.f64" for operation in ("add", "sub", "mul", "div", "sqrt", "fma")}


def test_nothing_is_compiled_again_at_link_time():
    # The linker would fuse, whatever NVVM was told.
    assert not any(kernel.targetoptions.get("lto") for kernel in kernels().values())


def without_our_fma():
    """The kernel with stand-ins for the functions that contain fused multiply-adds on purpose: what is left is h, k, l, the sines'
    arguments, the geometry and the sums, which must round as in C."""
    once, twice = lambda x: x, lambda y, x: x + y
    names = device_names({"sine": once, "exp": once, "cos": once, "atan2": twice})
    function = forward.pixel_rows.py_func
    return FunctionType(function.__code__, {**function.__globals__, "pixel_value": names["pixel_value"]}, "pixel_rows")


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_nothing_is_fused_but_where_asked_for(capability):
    text = ptx(without_our_fma(), arguments()["pixel_rows"], capability)
    assert len(instructions(text, r"mul\.rn\.f64")) > 50 and len(instructions(text, r"add\.rn\.f64")) > 30
    assert not re.search(r"\bfma\b|\bmad\.\S*f64", text)


def test_fusion_is_seen_where_it_is_not_switched_off():
    text = ptx(without_our_fma(), arguments()["pixel_rows"], (8, 0), contraction=True)
    assert len(instructions(text, r"fma\.rn\.f64")) > 30
