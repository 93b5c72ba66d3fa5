"""A pixel's trace as text, line for line as the recorded trace of the reference, and as JSON."""

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from nanobragg_numba import __version__
from nanobragg_numba.engine.trace import PixelTrace, Step, Sweep, cos_two_theta
from nanobragg_numba.maths.constants import RTD, THOMSON_CROSS_SECTION

SINGLE = (
    "# single precision: the tables (geometry, sources, rotated lattice, constants) are worked out in double and rounded;",
    "# every operation of the pixel is single, with sin, cos, sqrt, exp and atan2 rounded from double.",
)


def number(value: Any) -> str:
    """15 significant digits, as C's %.15g."""
    return "%.15g" % float(value)


def _line(name: str, *values: Any) -> str:
    return " ".join([f"TRACE_PY: {name}", *(str(v) if isinstance(v, int) else number(v) for v in values)])


def _pairs(**values: Any) -> str:
    return " ".join(f"{name}={value if isinstance(value, int) else number(value)}" for name, value in values.items())


def _axes(sweep: Sweep, step: int) -> np.ndarray:
    """a, b, c (A), row by row."""
    return sweep.orientations[step].reshape(3, 3) * 1e10


def _steps(trace: PixelTrace, sweep: Sweep) -> Iterator[tuple[int, int, int, Step]]:
    """Every step, with its place in the sweep, phi step and mosaic domain before it."""
    domains = trace.experiment.mosaic_domains
    for n, step in enumerate(sweep.steps):
        yield n, n // domains, n % domains, step


def _sweep_lines(trace: PixelTrace, sweep: Sweep) -> Iterator[str]:
    tables = trace.experiment.tables
    detector, star = tables.detector, tables.crystal.star
    first = sweep.steps[0]
    yield _line("pixel_pos_meters", *sweep.position)
    yield _line("R_distance_meters", sweep.airpath)
    yield _line("omega_pixel_sr", sweep.omega)
    yield _line("close_distance_meters", detector.close_distance)
    yield _line("obliquity_factor", detector.close_distance / sweep.airpath)
    yield _line("diffracted_vec", *sweep.diffracted)
    yield _line("incident_vec", *sweep.incident)
    yield _line("lambda_meters", sweep.wavelength)
    yield _line("lambda_angstroms", sweep.wavelength * 1e10)
    # In 1/m: the name is the reference's.
    yield _line("scattering_vec_A_inv", *sweep.scattering)
    for name, axis in zip("abc", _axes(sweep, 0), strict=True):
        yield _line(f"rot_{name}_angstroms", *axis)
    # The reference never turns these (Q9), whatever the name says.
    for i, name in enumerate("abc"):
        yield _line(f"rot_{name}_star_A_inv", *star[3 * i : 3 * i + 3])
    yield _line("hkl_frac", *first.hkl)
    yield _line("hkl_rounded", *first.nearest)
    for name, factor in zip("abc", first.gratings, strict=True):
        yield _line(f"F_latt_{name}", factor)
    yield _line("F_latt", first.f_latt)
    for _, phi_tic, domain, step in _steps(trace, sweep):
        if domain:
            continue
        yield "TRACE_PY_PHI " + _pairs(
            phi_tic=phi_tic, phi_deg=trace.phi[phi_tic] * RTD, k_frac=step.hkl[1], F_latt_b=step.gratings[1], F_latt=step.f_latt
        )
        if phi_tic == 0:
            yield _line("F_cell", step.f_cell)


def _place(sweep: Sweep) -> str:
    return _pairs(layer=sweep.layer, sub_slow=sweep.sub_slow, sub_fast=sweep.sub_fast, source=sweep.source)


def _final_lines(trace: PixelTrace) -> Iterator[str]:
    x = trace.experiment
    sampling = x.parameters.sampling
    yield _line("I_before_scaling", trace.total)
    yield _line("r_e_meters", math.sqrt(THOMSON_CROSS_SECTION))
    yield _line("r_e_sqr", THOMSON_CROSS_SECTION)
    yield _line("fluence_photons_per_m2", x.fluence)
    yield _line("steps", x.steps)
    for name in ("thick", "polar", "omega"):
        yield _line(f"oversample_{name}", int(getattr(sampling, f"oversample_{name}")))
    yield _line("capture_fraction", trace.capture)
    yield _line("polar", trace.polar)
    yield _line("omega_pixel", trace.omega)
    yield _line("cos_2theta", cos_two_theta(trace, trace.sweeps[-1]))
    yield _line("I_pixel_final", trace.value)
    yield _line("floatimage_accumulated", np.float32(trace.value))


def _further_lines(trace: PixelTrace) -> Iterator[str]:
    """What the recorded trace has no line for."""
    x = trace.experiment
    yield _line("odet_vec", *x.geometry.normal)
    yield _line("spindle_axis", *x.geometry.spindle_axis)
    yield _line("polarization_axis", *x.geometry.polarization_axis)
    yield _line("engine_value", trace.engine_value)
    for sweep in trace.sweeps:
        here = f"{_place(sweep)} "
        yield f"TRACE_PY_SUM {here}" + _pairs(
            weight=float(x.tables.beam.weights[sweep.source]), capture_fraction=sweep.capture, polar=sweep.polar, sum=sweep.total
        )
        angles = trace.effective_phi if sweep is trace.sweeps[0] else trace.later_effective_phi
        for n, phi_tic, domain, step in _steps(trace, sweep):
            a, b, c = step.gratings
            h, k, l = step.hkl
            h0, k0, l0 = step.nearest
            yield f"TRACE_PY_STEP {here}" + _pairs(
                phi_tic=phi_tic, mos_tic=domain, effective_phi_deg=angles[phi_tic] * RTD, h=h, k=k, l=l, h0=h0, k0=k0, l0=l0,
                F_latt_a=a, F_latt_b=b, F_latt_c=c, F_latt=step.f_latt, F_cell=step.f_cell,
            )  # fmt: skip
            for name, axis in zip("abc", _axes(sweep, n), strict=True):
                yield f"TRACE_PY_AXIS {here}{_pairs(phi_tic=phi_tic, mos_tic=domain)} rot_{name}_angstroms {' '.join(map(number, axis))}"


def trace_text(trace: PixelTrace, title: str) -> str:
    """The log: the reference's lines in its order, then what they leave out. ``title`` says what was traced."""
    lines: list[str] = [f"# nb-trace {__version__}: {title}, compat {trace.experiment.compat}, {np.dtype(trace.dtype).name}"]
    lines += SINGLE if trace.dtype is np.float32 else ()
    lines += [f"TRACE_CONFIG: tracing pixel (spixel={trace.slow}, fpixel={trace.fast})"]
    geometry = trace.experiment.geometry
    lines += [_line("pix0_vector_meters", *geometry.pix0), _line("fdet_vec", *geometry.fast), _line("sdet_vec", *geometry.slow)]
    for sweep in trace.sweeps:
        if len(trace.sweeps) > 1:
            lines.append(f"TRACE_PY_SWEEP {_place(sweep)}")
        lines += _sweep_lines(trace, sweep)
    lines += _final_lines(trace)
    lines.append("# further values: the sum after each sweep, and every step (phi, mosaic domain) with its axes")
    lines += _further_lines(trace)
    return "\n".join(lines) + "\n"


def _finite(values: Iterable[Any]) -> list[float | None]:
    return [float(v) if math.isfinite(v) else None for v in values]


def per_phi_json(trace: PixelTrace) -> str:
    """The phi steps of the first sweep's first mosaic domain; axes a, b, c (A), null for what the crystal's shape has not."""
    sweep = trace.sweeps[0]
    entries = []
    for n, phi_tic, domain, step in _steps(trace, sweep):
        if domain:
            continue
        names = ("h", "k_frac", "l", "F_latt_a", "F_latt_b", "F_latt_c", "F_latt", "F_cell")
        values = _finite((*step.hkl, *step.gratings, step.f_latt, step.f_cell))
        ap, bp, cp = _axes(sweep, n).tolist()
        entries.append(
            {
                "phi_tic": phi_tic,
                "phi_deg": trace.phi[phi_tic] * RTD,
                "effective_phi_deg": trace.effective_phi[phi_tic] * RTD,
                **dict(zip(names, values, strict=True)),
                "ap": ap,
                "bp": bp,
                "cp": cp,
            }
        )
    whole = {
        "pixel": {"slow": trace.slow, "fast": trace.fast},
        "compat": trace.experiment.compat,
        "dtype": np.dtype(trace.dtype).name,
        "per_phi_entries": entries,
    }
    return json.dumps(whole, indent=1) + "\n"
