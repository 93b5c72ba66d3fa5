"""A run of the command with many panels: one stacked image, its map, an NXmx file."""

import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from nanobragg_numba.command_line.option_table import OPTIONS
from nanobragg_numba.command_line.reading import CommandLine
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.modes import mode_of
from nanobragg_numba.experiment.seeds import clock_seed, fresh_seed
from nanobragg_numba.files.output import Chunk, OutputFiles
from nanobragg_numba.output.saved_images import npy
from nanobragg_numba.panels.detector import PanelDetector
from nanobragg_numba.panels.simulate import simulate_panels
from nanobragg_numba.panels.stacked import map_name, map_text

from .image_formats import check_format, described, format_of
from .own_options import OwnOptions
from .progress_bar import ProgressBar
from .quirks import notes
from .remarks import tell

ALLOWED = {"-floatfile", "-nonoise", "-nopgm", "-progress", "-noprogress", "-seed"}
"""Of the words about the output those that mean something for many panels; -seed is then nobody's."""


def run_panels(own: OwnOptions, line: CommandLine, detector: PanelDetector, threads: int, say: Callable[[str], None]) -> int:
    """Compute and write the stacked image; returns the exit status. Raises InputError for outputs that hold one plane alone."""
    from .nanobragg import check_targets, command_of, tell_seeds, write_dump

    _refuse_single_images(line)
    check_format("-floatfile", line.outputs.float_file, own.compat)
    if format_of(line.outputs.float_file, own.compat) in (".h5", ".nxs"):
        raise InputError(f"-floatfile {line.outputs.float_file}: of many panels -nxmx FILE writes NXmx, with a module for each")
    map_path = map_name(line.outputs.float_file)
    targets = [("-floatfile", line.outputs.float_file), ("the map of -floatfile", map_path)]
    targets += [(flag, path) for flag, path in (("-png", own.png), ("-nxmx", own.nxmx)) if path is not None]
    check_targets(own, line, targets)
    write_dump(line)
    last = 0
    rows = sum(panel.shape[0] for panel in detector.panels)
    with ProgressBar(rows) as bar:

        def progress(done: int, _: int) -> None:
            nonlocal last
            bar.add(done - last)
            last = done

        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", RuntimeWarning)
            run = simulate_panels(
                line.parameters, detector, compat=own.compat, precision=own.precision, threads=threads, device=own.device,
                progress=progress, missing_seed=fresh_seed if mode_of(own.compat).spec else clock_seed,
            )  # fmt: skip
    for warning in told:
        tell(f"-{warning.message}")
    for text in notes(line, run.experiment, run.out_of_table):
        tell(text)
    if math.isinf(run.image.max(initial=0.0)):
        tell("warning: pixels have more photons than a 4-byte float can hold (3.4e38), and are inf in the image")
    slow, fast = detector.shape
    say(f"{len(detector)} panels, {slow} x {fast} pixels (slow, fast) in one image\n")
    with OutputFiles() as files:
        plain = f"{run.image.size} 4-byte floats"
        say(f"writing {line.outputs.float_file} as {described(line.outputs.float_file, own.compat, plain)}\n")
        files.write(line.outputs.float_file, _stacked_bytes(own, line.outputs.float_file, run.image))
        say(f"writing {map_path} as the map of the panels\n")
        files.write(map_path, [map_text(detector)])
        if own.nxmx is not None:
            from nanobragg_numba.panels.nexus_image import image_bytes

            say(f"writing {own.nxmx} as NXmx of {len(detector)} modules\n")
            files.write(own.nxmx, [image_bytes(run, command_of(own, line))])
        if own.png is not None:
            from nanobragg_numba.files import preview

            files.write(own.png, [preview.png(run.image)])
        files.commit()
    if mode_of(own.compat).spec:
        tell_seeds(replace(line, outputs=replace(line.outputs, noise=False)), run.experiment)
    return 0


def _stacked_bytes(own: OwnOptions, path: str, image: np.ndarray) -> Iterable[Chunk]:
    """The stacked image in the format that the suffix names; its geometry stands in the map."""
    suffix = format_of(path, own.compat)
    if suffix == ".edf":
        from nanobragg_numba.files import edf

        return edf.contents(image)
    return [image.astype("<f4", copy=False)] if suffix is None else npy(image)


def _refuse_single_images(line: CommandLine) -> None:
    if line.parameters.response is not None:
        raise InputError("the detector's read-out is of an image of one plane; of many panels -floatfile holds the photons")
    for word in line.words:
        if word.startswith("-") and _is_output(word, False) and not _is_output(word, True):
            raise InputError(
                f"{word}: is about an image of one plane; of many panels -floatfile holds the stacked image, and -nxmx FILE all of them"
            )


def _is_output(word: str, allowed: bool) -> bool:
    rows = [option for option in OPTIONS if option.group == "output" and (option.words[0] in ALLOWED) == allowed]
    return any(option.matches(word) for option in rows)
