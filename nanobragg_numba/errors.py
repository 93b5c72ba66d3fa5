"""The exceptions: input at fault, and a trace that is not the image."""


class InputError(ValueError):
    """Bad input, told in one sentence that names the flag, file or line at fault.

    The commands print the sentence on standard error and exit with status 2.
    """


class TraceMismatch(RuntimeError):
    """A pixel's trace does not end with the value that the engine computes: a defect of this program."""
