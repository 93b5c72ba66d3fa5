"""From Bragg spots to all photons: backgrounds are added to rows that are finished, and shadows take from them."""

import numpy as np

from nanobragg_numba.experiment.derive import Experiment


class Completion:
    """What else than the crystal decides the photons of an experiment. Raises InputError where that makes no sense."""

    def __init__(self, experiment: Experiment, threads: int):
        from nanobragg_numba.response.background import backgrounds_of
        from nanobragg_numba.response.smooth.places import passed

        self._added = backgrounds_of(experiment, threads)
        self._passed = passed(experiment.parameters.shadow, experiment.geometry)

    def complete(self, image: np.ndarray, computed: np.ndarray, slow: int, end: int) -> None:
        """Complete the rows from ``slow`` to ``end`` of an image, where they are ``computed`` (slow, fast; bool)."""
        rows = image[slow:end]
        if self._added is not None:
            np.add(rows, self._added[slow:end], out=rows, where=computed[slow:end])
        if self._passed is not None:
            np.multiply(rows, self._passed[slow:end], out=rows, where=computed[slow:end], casting="same_kind")


def completion_of(experiment: Experiment, threads: int) -> Completion | None:
    """What is to be done to the rows of an image of spots; None where that is all there is."""
    parameters = experiment.parameters
    if not parameters.backgrounds and parameters.shadow is None:
        return None
    return Completion(experiment, threads)
