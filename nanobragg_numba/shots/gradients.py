"""The adjoint of many shots: its chunks over stretches of the pixels that are asked for. In "spec"."""

from nanobragg_numba.derivatives.adjoint import spec_chunk
from nanobragg_numba.derivatives.bundles import PIXELS, Chunk, Gradients, Turning
from nanobragg_numba.derivatives.flat_variables import Variables
from nanobragg_numba.derivatives.lattice_turning import lattice_adjoint
from nanobragg_numba.jit.decorators import derivative, entry
from nanobragg_numba.jit.entry_types import Doubles1, Doubles2, Doubles3, Singles1, Whole2
from nanobragg_numba.kernels.arguments import Tables
from nanobragg_numba.kernels.live_pixels import GAP

from .bundles import GradientWork, OfShots
from .tables import reach_of_shot, tables_of_shot


@derivative
def gradient_of(singles, doubles, at):
    """One element of the pixels' gradient, which is in whichever of the two is not empty."""
    return float(singles[at]) if singles.shape[0] > 0 else doubles[at]


@derivative
def active_pixels(singles, doubles, start, end, g):
    """The next stretch of pixels whose gradient is not zero: its first, and how many; ``g`` gets the gradient (``adjoint.active_run``)."""
    first = start
    while first < end and gradient_of(singles, doubles, first) == 0.0:
        first += 1
    n = 0
    for i in range(min(end - first, PIXELS)):
        value = gradient_of(singles, doubles, first + i)
        g[i] = value
        if value != 0.0:
            n = i + 1
        elif i - n >= GAP:
            break
    return first, n


@derivative
def gradients_of_part(part, lattice, bars, factors):
    """Where the gradients of one part add up."""
    return Gradients(
        lattice, lattice,
        Variables(
            bars.axes[part], bars.spindle[part], bars.angles[part], bars.first_angles[part], bars.mosaic[part], bars.star[part],
            bars.cells[part], bars.fudge[part], bars.default_F[part], bars.incident[part], bars.wavelengths[part], bars.weights[part],
            bars.kahn[part], bars.polarization_axis[part], bars.fast[part], bars.slow[part], bars.normal[part], bars.beam[part],
            bars.pix0[part], bars.pixel_size[part], bars.distance[part], bars.close_distance[part], bars.background[part],
            bars.scale[part],
        ),
        factors,
    )  # fmt: skip


@entry
def shot_gradients(
    slots: tuple[int, int], work: GradientWork, step: int, parts: Whole2, own_rows: bool, runs: Whole2, own: OfShots, tables: Tables,
    reaches: Doubles2, singles: Singles1, doubles: Doubles1, bars: Variables, mosaic: Doubles3, factors: Doubles2,
) -> None:  # fmt: skip
    """Slot s has the parts s, s + ``step``, ...: their gradients go into their rows of ``bars`` and of ``mosaic``, the same memory.

    ``parts`` and ``runs``: see ``ShotPixels``. The gradients of structure factors go into the row of ``factors`` of the part's number
    where ``own_rows``, or else of the slot's. ``singles`` or ``doubles``: the gradient of each pixel.
    """
    for slot in range(slots[0], slots[1]):
        for part in range(slot, parts.shape[0], step):
            shot = parts[part, 0]
            mine = tables_of_shot(shot, own, tables, work.orientations)
            reach = reach_of_shot(reaches, shot)
            work.lattice[:] = 0.0
            row = part if own_rows else slot
            gradients = gradients_of_part(part, work.lattice, bars, factors[row])
            for run in range(parts[part, 1], parts[part, 2]):
                slow, at = runs[run, 0], runs[run, 3] + parts[part, 3]
                fast, end = runs[run, 1] - at, at + runs[run, 2]
                while at < end:
                    first, n = active_pixels(singles, doubles, at, end, work.adjoint.totals[1])
                    at = first + n
                    if n > 0:
                        spec_chunk(Chunk(slow, fast + first, n), mine, reach, mine.rules.interpolate, gradients, work.adjoint)
            v = own.variables
            lattice_adjoint(
                Turning(v.axes[shot], v.spindle[shot], v.angles[shot], own.mosaic[shot]),
                work.lattice,
                Turning(bars.axes[part], bars.spindle[part], bars.angles[part], mosaic[part]),
            )
