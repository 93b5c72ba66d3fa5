"""What the options beside the crystal's ask for, as parameters: backgrounds, shadow, the detector's response."""

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.beyond_bragg import Background, DetectorResponse, Shadow
from nanobragg_numba.experiment.parameters import Parameters
from nanobragg_numba.files import smv, text_columns

from ..input_files import Remark, naming
from .options import BACKGROUND, OF_RESPONSE, OF_SHADOW, SHADOW, WholeImageOptions

DEFAULT_WIDTH_UM = 46.0
"""Of a point spread, as noisify's."""
PER_A = {"stol": 1.0, "4stol": 1.0 / 4.0, "Q": 1.0 / (4.0 * math.pi)}
"""What the numbers of a table are multiplied with to be sin(theta) / lambda, by the reference's word for it."""


def _background(flag: str, path: str, unit: str, given: dict[str, float], remarks: list[Remark]) -> Background:
    (s, F), remark = text_columns.read(path, 2, flag)
    if remark is not None:
        remarks.append(Remark("", remark))
    missing = np.flatnonzero(np.isnan(F))
    if missing.size:
        raise InputError(f"{flag} {path}: row {missing[0] + 1} of its numbers has no structure factor")
    return naming(f"{flag} {path}", lambda: Background(np.column_stack([s * PER_A[unit], F]), **given))


def with_whole_image(
    parameters: Parameters, options: WholeImageOptions, adc_offset: float, noise: bool, remarks: list[Remark]
) -> Parameters:
    """The parameters with backgrounds, shadow and response, as the line asks for them.

    ``noise``: whether there is an image with noise, the one that is read out. Raises InputError for files that cannot be used, values that
    make no sense, and a read-out that nothing would show.
    """
    backgrounds = [_background(BACKGROUND, path, "stol", given, remarks) for path, given in options.backgrounds]
    shadow = None
    if options.shadow or options.shadow_file is not None:
        path = options.shadow_file
        mask = None if path is None else smv.read(path, SHADOW).pixels()
        shadow = _of_words(OF_SHADOW, lambda: Shadow(mask=mask, **options.shadow))
    response = None
    if options.response:
        word = next(word for word in OF_RESPONSE if OF_RESPONSE[word] in options.response)
        if not noise:
            raise InputError(f"-nonoise leaves out the image that the detector reads, and {word} is about that one alone")
        fwhm = options.response.get("psf_fwhm_pixels", DEFAULT_WIDTH_UM) / 1000.0 / parameters.detector.pixel_size_mm
        given = {**options.response, "adc_offset": adc_offset, "psf_fwhm_pixels": fwhm if "psf" in options.response else 1.0}
        response = _of_words(OF_RESPONSE, lambda: DetectorResponse(**given))
    return replace(parameters, backgrounds=tuple(backgrounds), shadow=shadow, response=response)


def _of_words(words: Mapping[str, str], make: Callable[[], Any]) -> Any:
    """What ``make`` makes; if that is refused, the sentence names the option in place of the field."""
    try:
        return make()
    except InputError as error:
        text = str(error)
        for cls in (Shadow, DetectorResponse):
            for name in sorted((f.name for f in fields(cls)), key=len, reverse=True):
                word = next((word for word, own in words.items() if own == name), None)
                if word is not None:
                    text = text.replace(f"{cls.__name__}.{name}", word)
        raise InputError(text) from None


def promised_background(path: str, unit: str, parameters: Parameters, remarks: list[Remark]) -> Parameters:
    """What -stol (-4stol, -Q) and -water promise together: a cube of water of that edge, whose structure factor is the table's in place of
    the constant 2.57 electrons. Without -water there is nothing to be seen of it, which is remarked."""
    water = parameters.crystal.water_um / 1000.0
    flag = f"-{unit}"
    width = parameters.beam.beamsize_mm
    if not water > 0.0:
        _background(flag, path, unit, {}, remarks)
        remarks.append(
            Remark("Q22", f"{flag} {path}: there is no -water for it, and nothing comes of it ({BACKGROUND} adds a sample of its own)")
        )
        return parameters
    if not width > 0.0:
        raise InputError(f"{flag} {path}: -beamsize must be above zero, for a background in the beam, not {width:g} mm")
    # A background is as wide as the beam: as thick as makes it that cube's volume.
    cube = _background(flag, path, unit, {"thickness_mm": water**3 / width**2}, remarks)
    crystal = replace(parameters.crystal, water_um=0.0)
    return replace(parameters, crystal=crystal, backgrounds=(cube, *parameters.backgrounds))
