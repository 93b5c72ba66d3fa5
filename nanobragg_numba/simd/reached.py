"""The sum over the steps that can matter to a tile of pixels; the others are left out (kernels/reach, docs/error-bound.md)."""

import numpy as np

from nanobragg_numba.jit.decorators import compiled, inlined
from nanobragg_numba.kernels.array_views import from_column
from nanobragg_numba.kernels.exact import polarization_axis
from nanobragg_numba.kernels.formulas import with_table
from nanobragg_numba.kernels.reach.loop import choose_steps, end_of_direction, for_each_tile, lowest_member
from nanobragg_numba.kernels.reach.tiles import three_of
from nanobragg_numba.maths.vectors3 import unit

from .error_bound import LARGEST_SUM
from .sources import add_weighted, begin_part, keep_within_resolution, polarize, scattering_vectors
from .steps import add_step
from .work_rows import rows_of


@compiled
def give_up_without_factors(n, work):
    """Sums that are no number where a source without steps does not add zero ("spec")."""
    w = rows_of(work)
    for i in range(n):
        w.total[i] = w.total[i] if abs(w.capture[i] * w.omega[i]) <= LARGEST_SUM else np.nan


@compiled
def begin_direction(n, work, incident, beam):
    """Polarization factors of sources of one direction, and ``keep`` without their resolution limit ("spec")."""
    w = rows_of(work)
    for i in range(n):
        w.keep[i] = w.live[i]
    if beam.polarized:
        polarize(n, work, incident, beam.kahn, polarization_axis(beam, 0), False, True)


@compiled
def add_background(n, work, beam, rules):
    """Add what each source's sum begins with ("spec")."""
    end = 0
    for source in range(beam.wavelengths.shape[0]):
        incident = three_of(beam.incident, source)
        if source == end:
            end = end_of_direction(source, beam.incident)
            begin_direction(n, work, incident, beam)
            begin_part(n, work, rules.background)
        if beam.dmin > 0.0:
            scattering_vectors(n, work, incident, beam.wavelengths[source])
            keep_within_resolution(n, work, beam.dmin)
        add_weighted(n, work, beam.weights[source])


@compiled
def add_tile(tile, given):
    """Add the steps that may matter to one tile."""
    work, beam, crystal, rules = given
    n, first, together = tile.pixels, tile.first_source, tile.sources
    w, here = rows_of(work), from_column(work, tile.start)
    incident = three_of(beam.incident, first)
    if rules.spec:
        begin_direction(n, here, incident, beam)
    while together != 0:
        source = lowest_member(together)
        together &= together - 1
        scattering_vectors(n, here, incident, beam.wavelengths[first + source])
        if rules.spec:
            if beam.dmin > 0.0:
                keep_within_resolution(n, here, beam.dmin)
            begin_part(n, here, 0.0)
        listed = with_table(crystal, beam.channels[first + source])
        for number in range(choose_steps(tile.entries, source, w.search, w.chosen)):
            add_step(n, here, w.chosen[number], listed, rules, False)
        if rules.spec:
            add_weighted(n, here, beam.weights[first + source])


@compiled
def add_sources(n, first, last, work, beam, crystal, rules, reach):
    """Add the steps that may matter of the sources from ``first`` to ``last``."""
    w = rows_of(work)
    given = (work, beam, crystal, rules)
    for_each_tile(n, w.direction, (first, last), beam, crystal.orientations, reach, w.search, add_tile, given)


@inlined
def add_reached(n, work, beam, crystal, rules, reach, unpolarized):
    """Add the steps of all sources that may matter to n pixels at one sub-pixel and layer, as ``chunk_sums`` does for all steps.

    ``unpolarized``: polarization factors are still to be computed.
    """
    sources = beam.wavelengths.shape[0]
    first = 0
    if rules.spec:
        give_up_without_factors(n, work)
        if rules.background != 0.0:
            add_background(n, work, beam, rules)
    elif unpolarized:
        # The first source's vectors are those before they are made unit vectors again, all others' those behind (Q4).
        first = 1
        add_sources(n, 0, 1, work, beam, crystal, rules, reach)
        incident = unit(three_of(beam.incident, 0))
        polarize(n, work, incident, beam.kahn, polarization_axis(beam, 0), sources > 1, False)
    add_sources(n, first, sources, work, beam, crystal, rules, reach)
