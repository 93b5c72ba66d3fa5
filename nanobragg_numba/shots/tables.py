"""The kernels' tables of one shot, and how far its spots reach."""

from nanobragg_numba.derivatives.kept_corrections import vector_of
from nanobragg_numba.jit.decorators import inlined
from nanobragg_numba.kernels.arguments import BeamTable, CrystalTable, DetectorTable, Rules, Tables
from nanobragg_numba.kernels.orientations import turned_lattices
from nanobragg_numba.kernels.reach.spots import Reach


@inlined
def tables_of_shot(shot, own, tables, orientations):
    """``tables`` with the shot's own continuous quantities, as ``flat_variables.tables_at``; its lattices go into ``orientations``."""
    v = own.variables
    d, b, c, r = tables
    spindle = vector_of(v.spindle[shot], 0)
    turned_lattices(own.axes[shot], spindle, v.angles[shot], own.mosaic[shot], orientations)
    pixel, star, cells = v.pixel_size[shot, 0], v.star[shot], v.cells[shot]
    detector = DetectorTable(
        vector_of(v.fast[shot], 0), vector_of(v.slow[shot], 0), vector_of(v.normal[shot], 0), vector_of(v.beam[shot], 0),
        vector_of(v.pix0[shot], 0), pixel, pixel / d.oversample, d.oversample, v.distance[shot, 0], v.close_distance[shot, 0],
        d.curved, d.point_pixel, d.thickness, d.layer_thickness, d.layers, d.mu, d.fast_pixels,
    )  # fmt: skip
    beam = BeamTable(
        own.incident[shot], v.wavelengths[shot], v.weights[shot], v.kahn[shot, 0], b.polarized, own.polarization[shot], 0, b.dmin,
        b.channels,
    )  # fmt: skip
    crystal = CrystalTable(
        orientations, orientations, (star[0], star[1], star[2], star[3], star[4], star[5], star[6], star[7], star[8]),
        cells[0], cells[1], cells[2], vector_of(cells, 3), c.shape, v.fudge[shot, 0],
        own.factors[shot if own.factors.shape[0] > 1 else 0], c.tables, c.h_min, c.k_min, c.l_min, v.default_F[shot, 0],
    )  # fmt: skip
    rules = Rules(
        r.spec, r.interpolate, r.each_thick, r.each_polar, r.each_omega, r.running_products, v.background[shot, 0], r.skip_zeros,
        v.scale[shot, 0], r.steps,
    )  # fmt: skip
    return Tables(detector, beam, crystal, rules)


@inlined
def reach_of_shot(reaches, shot):
    """The shot's ``Reach``, from a row of its numbers, one behind the other."""
    r = reaches[shot]
    return Reach((r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8]), r[9], (r[10], r[11], r[12]), r[13], r[14], r[15] != 0.0)
