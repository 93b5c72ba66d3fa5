"""Many images: a table of jobs, orientations or a scan, computed by one engine or another, and kept so that nothing is lost."""

from .run import run as run
from .state import BatchResult as BatchResult
