"""How far two images agree: the figures that nb-compare reports."""

import io
import math
from dataclasses import dataclass

import numpy as np

MOST_PEAKS = 50


@dataclass(frozen=True)
class Figures:
    """The agreement of image B with image A; None where a figure has no value."""

    bytes_equal: bool
    pixels: int
    pixels_different: int
    """Pixels that hold another number, the sign of a zero included."""
    not_finite: tuple[int, int]
    """Pixels of A and B that are inf or nan; the figures below leave them out."""
    correlation: float | None
    """Pearson's; None where an image is constant."""
    rmse: float | None
    max_difference: float | None
    max_difference_at: tuple[int, int] | None
    """Fast, slow."""
    sum_ratio: float | None
    """Sum of B over sum of A."""
    peaks: tuple[int, int] | None
    """Peaks that were matched, in A and B."""
    mean_peak_distance: float | None
    """Pixels; see ``mean_peak_distance``."""


def compare_images(a: np.ndarray, b: np.ndarray, with_peaks: bool = True) -> Figures:
    """The figures of two images of one shape (slow, fast). ``with_peaks`` needs scipy. Raises ImportError without it."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    bytes_equal = a.dtype == b.dtype and a.tobytes() == b.tobytes()
    differ = ~((x == y) & (np.signbit(x) == np.signbit(y)) | np.isnan(x) & np.isnan(y))
    finite = np.isfinite(x) & np.isfinite(y)
    both_x, both_y = x[finite], y[finite]
    rmse = largest = ratio = None
    where = None
    if both_x.size:
        difference = np.where(finite, np.abs(np.where(finite, y, 0.0) - np.where(finite, x, 0.0)), -1.0)
        slow, fast = divmod(int(np.argmax(difference)), a.shape[1])
        rmse = math.sqrt(float(np.mean((both_y - both_x) ** 2)))
        largest, where = float(difference[slow, fast]), (fast, slow)
        total = float(both_x.sum())
        ratio = float(both_y.sum()) / total if total else None
    peaks, distance = mean_peak_distance(x, y) if with_peaks else (None, None)
    return Figures(
        bytes_equal, a.size, int(differ.sum()), (int((~np.isfinite(x)).sum()), int((~np.isfinite(y)).sum())),
        correlation(both_x, both_y), rmse, largest, where, ratio, peaks, distance,
    )  # fmt: skip


def correlation(x: np.ndarray, y: np.ndarray) -> float | None:
    """Pearson's correlation of two lists of numbers; None where one of them is constant or empty."""
    if not x.size or np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
        return None
    # Scaled, so that no square leaves the range of doubles.
    x, y = (x - x.mean()) / np.ptp(x), (y - y.mean()) / np.ptp(y)
    r = float((x * y).sum() / math.sqrt(float((x * x).sum()) * float((y * y).sum())))
    return max(-1.0, min(1.0, r))


def peak_positions(image: np.ndarray, most: int) -> np.ndarray:
    """(n, 2) slow, fast: centres of the ``most`` brightest local maxima above the image's mean, brightest first.

    A maximum is a pixel, or a plateau of equal pixels, with none brighter among its eight neighbours.
    """
    from scipy import ndimage

    filled = np.where(np.isfinite(image), image, -np.inf)
    lit = filled[np.isfinite(filled)]
    if not lit.size:
        return np.zeros((0, 2))
    tops = (filled == ndimage.maximum_filter(filled, size=3, mode="nearest")) & (filled > lit.mean())
    labels, count = ndimage.label(tops, structure=np.ones((3, 3)))
    numbers = np.arange(1, count + 1)
    if not count:
        return np.zeros((0, 2))
    centres = np.array(ndimage.center_of_mass(tops, labels, numbers))
    heights = ndimage.maximum(filled, labels, numbers)
    return centres[np.argsort(-np.asarray(heights), kind="stable")[:most]]


def mean_peak_distance(a: np.ndarray, b: np.ndarray) -> tuple[tuple[int, int], float | None]:
    """Peaks in both images, and the mean distance (pixels) from a peak to the nearest one of the other image.

    The brightest peaks of each are matched to twice as many of the other, both ways, so that a pair that changes
    places in the order of brightness costs nothing, and a peak that one image lacks does. None without peaks.
    """
    from scipy.spatial import cKDTree

    of_a, of_b = peak_positions(a, 2 * MOST_PEAKS), peak_positions(b, 2 * MOST_PEAKS)
    matched = min(len(of_a), MOST_PEAKS), min(len(of_b), MOST_PEAKS)
    if not (len(of_a) and len(of_b)):
        return matched, None
    there, _ = cKDTree(of_b).query(of_a[:MOST_PEAKS])
    back, _ = cKDTree(of_a).query(of_b[:MOST_PEAKS])
    return matched, float(np.concatenate([there, back]).mean())


def _shares(old: int, new: int) -> np.ndarray:
    """(new, old): the share of each old pixel that falls on each new one, along an axis of the same length."""
    # Edges in units of which both grids hold a whole number, so that equal grids share exactly.
    old_edges, new_edges = np.arange(old + 1) * new, np.arange(new + 1) * old
    low = np.maximum(new_edges[:-1, None], old_edges[None, :-1])
    high = np.minimum(new_edges[1:, None], old_edges[None, 1:])
    return np.clip(high - low, 0, None) / new


def resampled(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """``image`` on another grid of pixels over the same detector: photons are shared by area, and their sum is kept."""
    return _shares(image.shape[0], shape[0]) @ image.astype(np.float64) @ _shares(image.shape[1], shape[1]).T


def difference_png(a: np.ndarray, b: np.ndarray) -> bytes:
    """PNG of B - A: red where B has more, blue where it has less, white where they agree; grey where one is not finite.

    The strength is the square root of the difference over the largest one.
    """
    from PIL import Image

    x, y = a.astype(np.float64), b.astype(np.float64)
    finite = np.isfinite(x) & np.isfinite(y)
    change = np.where(finite, y, 0.0) - np.where(finite, x, 0.0)
    largest = float(np.abs(change).max(initial=0.0)) or 1.0
    fade = 255.0 * (1.0 - np.sqrt(np.abs(change) / largest))
    picture = np.stack([np.where(change < 0, fade, 255.0), fade, np.where(change > 0, fade, 255.0)], axis=2)
    picture[~finite] = 128.0
    buffer = io.BytesIO()
    Image.fromarray(picture.astype(np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()
