"""The loop over the steps that can matter: groups of sources, orientations, and tiles of pixels."""

from typing import NamedTuple

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from nanobragg_numba.jit.decorators import inlined

from .spots import ROW
from .tiles import TILE, gather_sources, measure_tiles, search_orientations, search_rows, search_tile, three_of


class Tile(NamedTuple):
    """Neighbouring pixels, a group of sources of one direction, and the orientations that may matter to them for some of these."""

    start: int
    """The tile's first pixel in the chunk."""
    pixels: int
    first_source: int
    """Of the group."""
    sources: int
    """The set of those members of the group for which any orientation may matter."""
    entries: int
    """How many orientations; they are in the search's rows ``step`` and ``sources``."""


@intrinsic
def lowest_member(typing_context, members):  # type: ignore[no-untyped-def]
    """The lowest bit of a set that is not empty."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        return builder.cttz(values[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate


@inlined
def choose_steps(entries, source, search, chosen):
    """The steps of one tile's entries that may matter for one source of the group, into ``chosen``; returns how many."""
    s = search_rows(search)
    count = 0
    for entry in range(entries):
        # Without a branch, which could not be foretold.
        chosen[count] = s.step[entry]
        count += (s.sources[entry] >> source) & 1
    return count


@inlined
def for_each_tile(n, rays, sources, beam, orientations, reach, search, visit, given):
    """Search the steps of some ``sources`` (first, end) for n pixels with ``rays`` (3, pixels).

    Calls ``visit(tile, given)`` for every group of sources, every ROW orientations, and every tile to which any of these may matter.
    """
    tiles = measure_tiles(n, rays, search)
    steps = orientations.shape[0]
    first, last = sources
    while first < last:
        group = gather_sources(first, last, tiles, beam.incident, beam.wavelengths, reach, search)
        incident = three_of(beam.incident, first)
        for start in range(0, steps, ROW):
            end = min(start + ROW, steps)
            found = search_orientations(start, end, tiles, group, incident, orientations, reach, search)
            while found != 0:
                tile = lowest_member(found)
                found &= found - 1
                entries, together = search_tile(tile, start, end, group, incident, orientations, reach, search)
                at = tile * TILE
                visit(Tile(at, min(TILE, n - at), first, together, entries), given)
        first += group[0]


@inlined
def end_of_direction(first, incident):
    """The end of the sources from ``first`` on that have its direction; ``incident`` (sources, 3)."""
    x, y, z = three_of(incident, first)
    end = first + 1
    while end < incident.shape[0] and three_of(incident, end) == (x, y, z):
        end += 1
    return end
