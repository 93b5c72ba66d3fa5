"""The nanoBragg command: the reference program's command line, standard output and files."""

import math
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from nanobragg_numba import __version__
from nanobragg_numba.command_line.doubtful_values import doubtful_values
from nanobragg_numba.command_line.reading import CommandLine, read_command_line
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.modes import mode_of
from nanobragg_numba.files.output import OutputFiles, require_writable
from nanobragg_numba.jit import compilation
from nanobragg_numba.jit.cpu_features import reason_for_exact_engine
from nanobragg_numba.panels.lines.expt_words import expt_file

from .file_clashes import clashes, input_files
from .own_options import OWN_WORDS, OwnOptions, take_own_options
from .remarks import quietly, tell, tell_error, tell_now

BAD_INPUT, NO_CRYSTAL, INTERRUPTED, BROKEN_PIPE = 2, 9, 130, 141


def say(text: str) -> None:
    """Standard output, as the reference writes it; file names go through byte for byte."""
    if sys.stdout is None:
        # Closed by the caller: the reference, too, then writes its files all the same.
        return
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(os.fsencode(text))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise InputError(f"cannot write to standard output: {(error.strerror or str(error)).lower()}") from None


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    words = sys.argv[1:] if words is None else words
    return ended(lambda: _main(words))


def ended(run: Callable[[], int]) -> int:
    """The exit status of a command that ``run`` runs, which ends in one sentence where it cannot go on."""
    try:
        return run()
    except InputError as error:
        tell_error(f"error: {error}")
        return BAD_INPUT
    except MemoryError:
        tell_error("error: not enough memory for this simulation")
        return BAD_INPUT
    except KeyboardInterrupt:
        tell_error("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our standard output is gone: end as a program killed by SIGPIPE would, but without remains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


def answered(own: OwnOptions, program: str, help_text: Callable[[], str]) -> bool:
    """Whether the program was asked for its help or its version alone, and has printed it."""
    if own.action == "help":
        say(help_text())
    elif own.action == "version":
        say(f"{program} (nanobragg_numba) {__version__}\n")
    return own.action != "run"


def _help_text() -> str:
    from .help import help_text

    return help_text()


def _main(words: Sequence[str]) -> int:
    own, rest = take_own_options(words)
    if answered(own, "nanoBragg", _help_text):
        return 0
    compilation.say = tell_now
    if own.compile is not None:
        from .compile_code import compile_all

        compile_all(own.compile, say)
        return 0
    if own.batch is not None:
        from .batch import run_batch

        return run_batch(own.batch, own.words, main)
    with quietly(own.quiet):
        return _run(own, rest)


def _check_words(own: OwnOptions, line: CommandLine) -> None:
    """Remark on words and values that mean nothing; InputError for them with -strict, and for such values in "spec"."""
    for text in line.doubts(OWN_WORDS):
        if own.strict:
            raise InputError(text)
        tell(f"warning: {text}" + ("; ignored, as the C program does" if text not in line.warnings else ""))
    for text in doubtful_values(line):
        if own.strict or mode_of(own.compat).spec:
            raise InputError(text)
        tell(f"warning: {text}; the C program goes on with it, and -compat spec refuses it")
    for text in line.found:
        tell(text)
    for remark in line.remarks:
        tell(str(remark))


def _check_targets(own: OwnOptions, line: CommandLine) -> None:
    """See that the outputs of the line can be written; see ``check_targets``."""
    targets = [("-floatfile", line.outputs.float_file), ("-intfile", line.outputs.int_file)]
    targets += [("-pgmfile", line.outputs.pgm_file)] if line.outputs.write_pgm else []
    targets += [("-noisefile", line.outputs.noise_file)] if line.outputs.noise else []
    targets += [("-png", own.png)] if own.png is not None else []
    targets += [("-nxmx", own.nxmx)] if own.nxmx is not None else []
    check_targets(own, line, targets)


def check_targets(own: OwnOptions, line: CommandLine, targets: list[tuple[str, str]]) -> None:
    """See that each of the files can be written, and none is an input or another of them; a mere remark in "c", where C goes on."""
    dump = [("-dump", line.files.dump)] if line.files.hkl is not None else []
    # In "c" a dump that cannot be written is no error, as in the reference.
    for flag, path in targets + (dump if mode_of(own.compat).spec else []):
        require_writable(path, flag)
    described = [("-panels", own.panels), ("-expt", None if own.expt is None else expt_file(own.expt))]
    inputs = input_files(line) + [(flag, path) for flag, path in described if path is not None]
    for text in clashes(inputs, dump + targets):
        if own.strict or mode_of(own.compat).spec:
            raise InputError(text)
        tell(f"Q21: {text}; -strict refuses that")


def _run(own: OwnOptions, words: Sequence[str]) -> int:
    from nanobragg_numba.engine.needed_code import begin_for_image

    begin_for_image(files=True, noise="-nonoise" not in words, text=any("-hkl" in word for word in words))
    line = read_command_line(words, own.compat)
    _check_words(own, line)
    detector = None
    if own.panels is not None or own.expt is not None:
        from nanobragg_numba.panels.lines.described_line import with_described

        line, detector, remarks = with_described(line, own.compat, own.panels, own.expt)
        for remark in remarks:
            tell(remark)
    if not line.usable:
        return _without_crystal(line)
    if detector is not None:
        from nanobragg_numba.panels.placing import as_single

        from .panel_images import run_panels

        single = as_single(line.parameters, detector)
        if single is None:
            return run_panels(own, line, detector, _threads(own.threads), say)
        line = replace(line, parameters=single)
    from nanobragg_numba.experiment.derive import derive_experiment
    from nanobragg_numba.experiment.seeds import clock_seed, fresh_seed

    _check_targets(own, line)
    threads = _threads(own.threads)
    noise_seed = line.outputs.noise_seed
    missing = fresh_seed if mode_of(own.compat).spec else clock_seed
    if detector is None:
        experiment = derive_experiment(line.parameters, own.compat, noise_seed=noise_seed, missing_seed=missing)
    else:
        from nanobragg_numba.panels.simulate import derive_panels

        experiment = derive_panels(line.parameters, detector, own.compat, noise_seed, missing).experiment
    from .image_formats import check_formats

    check_formats(line, experiment)
    with OutputFiles() as files:
        _simulate(own, line, experiment, threads, files)
        files.commit()
    return 0


def _without_crystal(line: CommandLine) -> int:
    from nanobragg_numba.experiment.beam import clip_to_beam
    from nanobragg_numba.experiment.detector import starting_axes

    from .report import BANNER, headers
    from .usage import usage

    crystal = line.parameters.crystal
    _, clipped = clip_to_beam(crystal.size_mm, line.parameters.beam)
    _, vectors = starting_axes(line.parameters)
    no_F = crystal.structure_factors is None and crystal.default_F == 0.0
    say(headers(line) + "".join(text + "\n" for text in (*clipped, *vectors)) + BANNER)
    say(("ERROR: no hkl file and no dump file to read." if no_F else "") + usage(line))
    return NO_CRYSTAL


def _threads(wanted: int | None) -> int:
    from nanobragg_numba.threads import most_threads

    most = most_threads()
    if wanted is not None and wanted > most:
        tell(f"warning: -threads {wanted} is more than the {most} that this machine or NUMBA_NUM_THREADS allows; using {most}")
    return min(wanted or most, most)


def write_dump(line: CommandLine) -> bool | None:
    """Write the structure-factor dump, if one is due; whether that worked. A failure is no error, as in the reference."""
    from nanobragg_numba.files import fdump

    factors = line.parameters.crystal.structure_factors
    if line.files.hkl is None or factors is None:
        return None
    try:
        require_writable(line.files.dump, "-dump")
        with OutputFiles() as files:
            files.write(line.files.dump, [fdump.write(factors)])
            files.commit()
    except InputError:
        return False
    return True


def _simulate(own: OwnOptions, line: CommandLine, experiment: Any, threads: int, files: OutputFiles) -> None:
    from nanobragg_numba.engine.pixel_engine import PixelEngine
    from nanobragg_numba.experiment.seeds import generator_seed
    from nanobragg_numba.kernels.random_state import reseed

    from . import report
    from .quirks import notes
    from .read_out_file import ReadOutFile
    from .write_images import NoiseFile, write_images

    noise_seed, command = generator_seed(experiment.seeds.noise), command_of(own, line)
    # Before anything is printed: it may find no GPU, or too little memory there.
    engine = PixelEngine(experiment, precision=own.precision, threads=threads, device=own.device)
    if engine.cpu_reason is not None:
        tell(f"-device {own.device}: computing on the CPU: {engine.cpu_reason}")
    slow = reason_for_exact_engine()
    if slow is not None and own.precision != "exact":
        tell(f"{slow}: every step is computed as in C, some 15 times slower than elsewhere")
    say(report.headers(line))
    say("".join(text + "\n" for text in (*experiment.clip_warnings, *experiment.geometry.early_warnings)) + report.BANNER)
    dump_written = write_dump(line)
    say(report.before_run(line, experiment, dump_written))
    if line.outputs.noise:
        say(report.noise_parameters(noise_seed, line.parameters.crystal.water_um / 1e6))
    reseed(experiment.random_state, noise_seed)
    kind = NoiseFile if line.parameters.response is None else ReadOutFile
    noise = kind(line, engine, files, command) if line.outputs.noise else None
    try:
        _compute(line, engine, noise, dump_written)
    except BaseException:
        if noise is not None:
            noise.finished.abandon()
        raise
    for text in notes(line, experiment, engine.out_of_table):
        tell(text)
    if math.isinf(engine.image.max(initial=0.0)):
        tell("warning: pixels have more photons than a 4-byte float can hold (3.4e38), and are inf in the image")
    if mode_of(own.compat).spec:
        tell_seeds(line, experiment)
    write_images(line, engine, files, noise, command, say)
    if own.png is not None:
        from nanobragg_numba.files import preview

        files.write(own.png, [preview.png(engine.image)])
    if own.nxmx is not None:
        from nanobragg_numba.files.nexus import image_bytes

        files.write(own.nxmx, [image_bytes(engine.image, experiment, command)])


def command_of(own: OwnOptions, line: CommandLine) -> str:
    """A line that makes the image again."""
    own_words = [("-compat", own.compat), ("-panels", own.panels), ("-expt", own.expt)]
    return shlex.join(
        ["nanoBragg", *line.taken_off, *line.words, *(word for pair in own_words if pair[1] is not None for word in map(str, pair))]
    )


def tell_seeds(line: CommandLine, experiment: Any) -> None:
    """The seeds that nobody gave and the image was made with."""
    crystal, words = line.parameters.crystal, []
    if crystal.misset_deg == "random" and crystal.misset_seed is None:
        words.append(f"-misset_seed {experiment.seeds.misset}")
    if line.outputs.noise and line.outputs.noise_seed is None:
        words.append(f"-seed {experiment.seeds.noise}")
    if words:
        tell(f"fresh seeds; {' '.join(words)} makes the same again")


def _compute(line: CommandLine, engine: Any, noise: Any, dump_written: bool | None) -> None:
    """Compute the image, with the reference's lines on standard output and a bar on standard error if it takes long."""
    import numpy as np

    from . import report
    from .printout import Printout
    from .progress_bar import ProgressBar

    outputs = line.outputs
    printout = Printout(line, dump_written) if outputs.printout else None
    progress = report.Progress(engine.experiment.geometry.roi)
    rows = max(engine.window[3] - engine.window[2], 0)
    with ProgressBar(rows) as bar:
        for block in engine.blocks():
            if noise is not None:
                noise.finished.reach(block.slow_end)
            text = ""
            computed = block.computed
            event = block.out_of_table
            if printout is not None:
                # The warning comes before the print-out of the pixel in which it happens.
                text = printout.lines(engine, block, None if event is None else report.out_of_table(event))
            else:
                before = computed.size if event is None else event.pixel - block.slow_start * computed.shape[1]
                stretches = [int(np.count_nonzero(part)) for part in np.split(computed.ravel(), [before])]
                lines = [progress.lines(pixels) if outputs.progress else "" for pixels in stretches]
                text = lines[0] + ("" if event is None else report.out_of_table(event)) + lines[1]
            if text:
                say(text)
            bar.add(block.slow_end - block.slow_start)
