"""EDF files: ``contents(image, experiment)`` makes the bytes of one, ``geometry_settings`` reads the geometry in its header."""

from .image import contents as contents
from .image import geometry_settings as geometry_settings
