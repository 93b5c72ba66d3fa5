"""The one exception that means "the user's input is at fault"."""


class InputError(ValueError):
    """Bad input, told in one sentence that names the flag, file or line at fault.

    The commands print the sentence on standard error and exit with status 2.
    """
