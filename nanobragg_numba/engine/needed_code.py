"""Which compiled code a task needs: begun all at once, so that the libraries are compiled side by side."""

from collections.abc import Iterable

from nanobragg_numba.derivatives.entries import ADJOINT, SECOND_ORDER, TANGENT
from nanobragg_numba.jit import compilation, stored_code
from nanobragg_numba.jit.entries import ENTRIES, Library
from nanobragg_numba.kernels.entries import EXACT, IMAGES, NOISE, ORIENTATIONS, TEXT
from nanobragg_numba.response.entries import AMORPHOUS, RESPONSE
from nanobragg_numba.shots.entries import REPLAY, SHOT_GRADIENTS, SHOT_TANGENTS, SHOT_VALUES
from nanobragg_numba.simd.entries import GUARDED

FOR_AN_IMAGE = (GUARDED, EXACT, ORIENTATIONS)
FOR_FILES = (IMAGES,)
FOR_SHOTS = (ORIENTATIONS, REPLAY, SHOT_VALUES)
ALL = (
    *FOR_AN_IMAGE, *FOR_FILES, NOISE, TEXT, RESPONSE, AMORPHOUS, ADJOINT, TANGENT, SECOND_ORDER, REPLAY, SHOT_VALUES, SHOT_GRADIENTS,
    SHOT_TANGENTS,
)  # fmt: skip


def begin_for_image(files: bool = False, noise: bool = False, text: bool = False) -> None:
    """Begin to compile what an image needs, unless it is kept. ``files``: also for the integer images; ``noise``; ``text``: lists of
    structure factors."""
    compilation.begin((*FOR_AN_IMAGE, *(FOR_FILES if files else ()), *((NOISE,) if noise else ()), *((TEXT,) if text else ())))


def wait_for(libraries: Iterable[Library]) -> None:
    """Wait until these are compiled and kept: once, not once a worker."""
    wanted = tuple(libraries)
    compilation.begin(wanted)
    for library in wanted:
        if not stored_code.is_kept(library):
            compilation.result(ENTRIES[library.name][0])
