"""Many images: a table of jobs, orientations or a scan, computed by one engine or another, and kept so that nothing is lost."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .many_images import run as run
    from .state import BatchResult as BatchResult

__all__ = ["BatchResult", "run"]


def __getattr__(name: str) -> Any:
    # Workers need little of what a run does.
    if name == "run":
        from .many_images import run

        return run
    if name == "BatchResult":
        from .state import BatchResult

        return BatchResult
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
