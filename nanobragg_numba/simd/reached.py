"""The sum over the steps that can matter to a tile of pixels; the others are left out (kernels/reach, docs/error-bound.md)."""

import numpy as np

from nanobragg_numba.jit.decorators import compiled, inlined
from nanobragg_numba.kernels.exact import polarization_axis
from nanobragg_numba.kernels.formulas import with_table
from nanobragg_numba.kernels.reach.tiles import (
    ROW,
    TILE,
    from_column,
    gather_sources,
    measure_tiles,
    search_orientations,
    search_rows,
    search_tile,
    three_of,
)
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
def add_background(n, work, first, last, beam, rules):
    """Add what each of some sources' sums begins with ("spec")."""
    w = rows_of(work)
    incident = three_of(beam.incident, first)
    for i in range(n):
        w.keep[i] = w.live[i]
    if beam.polarized:
        polarize(n, work, incident, beam.kahn, polarization_axis(beam, 0), False, True)
    begin_part(n, work, rules.background)
    for source in range(first, last):
        if beam.dmin > 0.0:
            scattering_vectors(n, work, incident, beam.wavelengths[source])
            keep_within_resolution(n, work, beam.dmin)
        add_weighted(n, work, beam.weights[source])


@compiled
def add_tile(n, here, first, entries, together, search, beam, crystal, rules):
    """Add the steps of a group of sources, from ``first`` on, that may matter to the n pixels of one tile; ``here``: from its first on."""
    s = search_rows(search)
    incident = three_of(beam.incident, first)
    if rules.spec:
        w = rows_of(here)
        for i in range(n):
            w.keep[i] = w.live[i]
        if beam.polarized:
            polarize(n, here, incident, beam.kahn, polarization_axis(beam, 0), False, True)
    source = first
    while together != 0:
        if together & 1:
            scattering_vectors(n, here, incident, beam.wavelengths[source])
            if rules.spec:
                if beam.dmin > 0.0:
                    keep_within_resolution(n, here, beam.dmin)
                begin_part(n, here, 0.0)
            listed = with_table(crystal, beam.channels[source])
            for entry in range(entries):
                if (s.sources[entry] >> (source - first)) & 1:
                    add_step(n, here, s.step[entry], listed, rules, False)
            if rules.spec:
                add_weighted(n, here, beam.weights[source])
        together >>= 1
        source += 1


@compiled
def add_sources(n, tiles, first, last, work, beam, crystal, rules, reach):
    """Add the steps that may matter of the sources from ``first`` to ``last``."""
    search = rows_of(work).search
    steps = crystal.orientations.shape[0]
    while first < last:
        group = gather_sources(first, last, tiles, beam.incident, beam.wavelengths, reach, search)
        incident = three_of(beam.incident, first)
        if rules.spec and rules.background != 0.0:
            add_background(n, work, first, first + group[0], beam, rules)
        for start in range(0, steps, ROW):
            end = min(start + ROW, steps)
            found = search_orientations(start, end, tiles, group, incident, crystal.orientations, reach, search)
            tile = 0
            while found != 0:
                if found & 1:
                    entries, together = search_tile(tile, start, end, group, incident, crystal.orientations, reach, search)
                    pixels = min(TILE, n - tile * TILE)
                    add_tile(pixels, from_column(work, tile * TILE), first, entries, together, search, beam, crystal, rules)
                found >>= 1
                tile += 1
        first += group[0]


@inlined
def add_reached(n, work, beam, crystal, rules, reach, unpolarized):
    """Add the steps of all sources that may matter to n pixels at one sub-pixel and layer, as ``chunk_sums`` does for all steps.

    ``unpolarized``: polarization factors are still to be computed.
    """
    w = rows_of(work)
    sources = beam.wavelengths.shape[0]
    tiles = measure_tiles(n, w.direction, w.search)
    first = 0
    if rules.spec:
        give_up_without_factors(n, work)
    elif unpolarized:
        # The first source's vectors are those before they are made unit vectors again, all others' those behind (Q4).
        first = 1
        add_sources(n, tiles, 0, 1, work, beam, crystal, rules, reach)
        incident = unit(three_of(beam.incident, 0))
        polarize(n, work, incident, beam.kahn, polarization_axis(beam, 0), sources > 1, False)
    add_sources(n, tiles, first, sources, work, beam, crystal, rules, reach)
