"""What derivatives need to know of an image that an engine has computed."""

from nanobragg_numba.derivatives.differentiate import Rendered

from .pixel_engine import PixelEngine


def rendered(engine: PixelEngine, first_pixel: int | None = None, leaving_pixel: int | None = None) -> Rendered:
    """What the derivatives need of ``engine``, which has computed its image, unless the two pixels are given."""
    if first_pixel is None:
        first_pixel = engine.first_pixel if engine.seeks_first else -1
    if leaving_pixel is None:
        leaving_pixel = -1 if engine.out_of_table is None else engine.out_of_table.pixel
    return Rendered(engine.experiment, engine.computed, first_pixel, leaving_pixel)
