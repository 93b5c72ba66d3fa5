"""What derivatives need to know of an image that an engine has computed."""

from nanobragg_numba.derivatives.differentiate import Rendered

from .pixel_engine import PixelEngine


def rendered(engine: PixelEngine) -> Rendered:
    """What the derivatives need of ``engine``, which has computed its image."""
    first = engine.first_pixel if engine.seeks_first else -1
    leaving = -1 if engine.out_of_table is None else engine.out_of_table.pixel
    return Rendered(engine.experiment, engine.computed, first, leaving)
