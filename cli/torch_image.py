"""The image of a command line through the torch bridge, for nb-compare: leaves ``image.npy`` in the current folder."""

import sys

import numpy as np

from nanobragg_numba.command_line.reading import read_command_line
from nanobragg_numba.errors import InputError

from .own_options import refuse_panels, take_own_options

IMAGE_FILE = "image.npy"
BAD_INPUT = 2


def command() -> None:
    """Make the image of the words on the command line; exits with 2 and a sentence where that fails."""
    try:
        import torch
    except ImportError:
        sys.exit(_failed("PyTorch is not installed; pip install 'nanobragg_numba[torch]'"))
    from nanobragg_numba.autograd import simulate

    try:
        own, words = take_own_options(sys.argv[1:])
        refuse_panels(own)
        # As the command reads it: with the dump of an earlier run where there is no list.
        line = read_command_line(words, own.compat)
        if not line.usable:
            raise InputError("the command line gives no crystal")
        image = simulate(line.parameters, dtype=torch.float32, compat=own.compat)
    except InputError as error:
        sys.exit(_failed(str(error)))
    np.save(IMAGE_FILE, image.numpy())


def _failed(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return BAD_INPUT
