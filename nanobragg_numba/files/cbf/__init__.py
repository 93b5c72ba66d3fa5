"""miniCBF files: ``contents(counts, experiment)`` makes the bytes of one, ``geometry_settings`` reads the geometry in its comments."""

from .image import contents as contents
from .image import whole_counts as whole_counts
from .reading import BEGINS_WITH as BEGINS_WITH
from .reading import geometry_settings as geometry_settings
