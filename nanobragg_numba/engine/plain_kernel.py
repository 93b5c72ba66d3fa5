"""The pixel kernel's own source run as plain Python: in double or single precision, with a listener on its calls.

Each function is built anew from its code with other globals: its ``math`` computes in the precision asked for, and
the functions it calls are the plain ones. So a traced number comes from the kernel's own lines, and there is no second
version of them.
"""

from collections.abc import Callable
from typing import Any

from nanobragg_numba.jit.rebuild_source import Globals, add_plain, mathematics
from nanobragg_numba.kernels import exact, formulas
from nanobragg_numba.maths import vectors3

Listener = Callable[[str, tuple[Any, ...], Any], None]

# What the listener hears: the calls that pixel_value and sweep make, and the grating along each axis.
KERNEL_CALLS = (
    "subpixel_position", "magnitude", "solid_angle", "capture_fraction", "scattering_vector", "is_beyond", "polarization_factor",
    "lattice_factor", "nearest_structure_factor", "tricubic_structure_factor", "sweep",
)  # fmt: skip
FORMULA_CALLS = ("grating",)


def _heard(names: Globals, calls: tuple[str, ...], listener: Listener) -> None:
    def heard(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            result = function(*arguments)
            listener(name, arguments, result)
            return result

        return call

    names.update({name: heard(name, names[name]) for name in calls})


def plain_functions(dtype: Any) -> Globals:
    """Every function of ``vectors`` and ``formulas`` by name, as plain Python with ``elementary``'s functions in ``dtype``."""
    names: Globals = {}
    for module in (vectors3, formulas):
        add_plain(module, names)
    names["math"] = functions = mathematics(dtype)
    names.update(sin=functions.sin, cos=functions.cos, sqrt=functions.sqrt, is_zero=lambda x: x == 0.0)
    return names


def plain_pixel_value(dtype: Any, listener: Listener) -> Callable[..., Any]:
    """``pixel_kernel.pixel_value`` as plain Python; ``listener(name, arguments, result)`` hears its calls, inner ones first."""
    base = plain_functions(dtype)
    _heard(base, FORMULA_CALLS, listener)
    kernel = dict(base)
    add_plain(exact, kernel)
    _heard(kernel, KERNEL_CALLS, listener)
    return kernel["pixel_value"]  # type: ignore[no-any-return]
