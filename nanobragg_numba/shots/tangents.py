"""The tangent of many shots: its chunks over stretches of the pixels that are asked for. In "spec"."""

from nanobragg_numba.derivatives.bundles import PIXELS, Changes, Chunk, Turning
from nanobragg_numba.derivatives.flat_variables import Variables
from nanobragg_numba.derivatives.lattice_turning import lattice_tangent
from nanobragg_numba.derivatives.tangent import spec_tangent_chunk
from nanobragg_numba.jit.decorators import derivative, entry
from nanobragg_numba.jit.entry_types import Doubles2, Doubles3, Doubles4, Whole2
from nanobragg_numba.kernels.arguments import Tables

from .bundles import OfShots, ShotTangentWork
from .tables import reach_of_shot, tables_of_shot


@derivative
def changes_of_shot(first, end, lattice, dots, factors):
    """The rows of one shot, one for each direction."""
    return Changes(
        lattice, lattice,
        Variables(
            dots.axes[first:end], dots.spindle[first:end], dots.angles[first:end], dots.first_angles[first:end], dots.mosaic[first:end],
            dots.star[first:end], dots.cells[first:end], dots.fudge[first:end], dots.default_F[first:end], dots.incident[first:end],
            dots.wavelengths[first:end], dots.weights[first:end], dots.kahn[first:end], dots.polarization_axis[first:end],
            dots.fast[first:end], dots.slow[first:end], dots.normal[first:end], dots.beam[first:end], dots.pix0[first:end],
            dots.pixel_size[first:end], dots.distance[first:end], dots.close_distance[first:end], dots.background[first:end],
            dots.scale[first:end],
        ),
        factors,
    )  # fmt: skip


@entry
def shot_tangents(
    rows: tuple[int, int], work: ShotTangentWork, own: OfShots, tables: Tables, reaches: Doubles2, parts: Whole2, runs: Whole2,
    dots: Variables, mosaic: Doubles3, factors: Doubles4, out: Doubles2,
) -> None:  # fmt: skip
    """Fill ``out`` (K, pixels) with the changes of some parts' pixels along K directions.

    ``dots`` (shots x K, n) and ``mosaic`` (shots x K, domains, 9), the same memory: changes of the variables; ``factors`` (K, h, k, l):
    of the structure factors that all shots share, or (K, 0, 0, 0).
    """
    directions = out.shape[0]
    for part in range(rows[0], rows[1]):
        shot = parts[part, 0]
        mine = tables_of_shot(shot, own, tables, work.orientations)
        reach = reach_of_shot(reaches, shot)
        v = own.variables
        for k in range(directions):
            row = shot * directions + k
            lattice_tangent(
                Turning(v.axes[shot], v.spindle[shot], v.angles[shot], own.mosaic[shot]),
                Turning(dots.axes[row], dots.spindle[row], dots.angles[row], mosaic[row]),
                work.lattice[k],
            )
        changes = changes_of_shot(shot * directions, (shot + 1) * directions, work.lattice, dots, factors)
        for run in range(parts[part, 1], parts[part, 2]):
            slow, fast, end, at = runs[run, 0], runs[run, 1], runs[run, 1] + runs[run, 2], runs[run, 3] + parts[part, 3]
            while fast < end:
                n = min(end - fast, PIXELS)
                spec_tangent_chunk(Chunk(slow, fast, n), mine, reach, mine.rules.interpolate, changes, work.tangent, out[:, at : at + n])
                fast, at = fast + n, at + n
