"""miniCBF files: ``contents(counts, experiment)`` makes the bytes of one."""

from .image import contents as contents
from .image import whole_counts as whole_counts
