"""What noisify and nonBragg have in common as commands: our own options, doubtful words, files, the ending."""

import sys
from collections.abc import Callable, Sequence

from nanobragg_numba.errors import InputError
from nanobragg_numba.files.output import require_writable
from nanobragg_numba.jit import compilation
from nanobragg_numba.maths.c_numbers import c_format

from .file_clashes import Named, clashes
from .nanobragg import answered, ended
from .own_options import SISTER_ROWS, OwnOptions, take_own_options
from .remarks import quietly, speaking_as, tell, tell_now

SISTER_WORDS = tuple(word for row in SISTER_ROWS for word in row.words)


def run_sister(
    program: str, words: Sequence[str] | None, run: Callable[[OwnOptions, Sequence[str]], int], help_text: Callable[[], str]
) -> int:
    """The exit status of ``program`` with these words, or with those of the process."""

    def main() -> int:
        own, rest = take_own_options(sys.argv[1:] if words is None else words, SISTER_ROWS)
        if answered(own, program, help_text):
            return 0
        compilation.say = tell_now
        with quietly(own.quiet):
            return run(own, rest)

    with speaking_as(program):
        return ended(main)


def check_words(own: OwnOptions, doubts: Sequence[str], warnings: Sequence[str]) -> None:
    """Remark on words and values that mean nothing; InputError for them with -strict."""
    for text in (*doubts, *warnings):
        if own.strict:
            raise InputError(text)
        tell(f"warning: {text}" + ("; ignored, as the C program does" if text in doubts else ""))


def check_targets(own: OwnOptions, inputs: Sequence[Named], outputs: Sequence[Named]) -> None:
    """See that every output can be written, and remark if one is an input or another output; InputError for that with -strict."""
    for flag, path in outputs:
        require_writable(path, flag)
    for text in clashes(inputs, outputs):
        if own.strict:
            raise InputError(text)
        tell(f"warning: {text}; -strict refuses that")


def smv_header(kind: str | None, width: int, height: int, values: Sequence[tuple[str, float]]) -> bytes:
    """The header of the reference's SMV images; without a ``kind`` of pixels it lacks its beginning."""
    text = "" if kind is None else f"{{\nHEADER_BYTES=512;\nDIM=2;\nBYTE_ORDER=little_endian;\nTYPE={kind};\n"
    text += f"SIZE1={width};\nSIZE2={height};\n" + "".join(c_format(f"{key}=%g;\n", value) for key, value in values)
    return (text + "DETECTOR_SN=000;\nBEAMLINE=fake;\n}\f").encode().ljust(512, b" ")
