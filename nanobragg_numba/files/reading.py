"""Read a whole input file, or say in one sentence why not."""

from nanobragg_numba.errors import InputError
from nanobragg_numba.maths.c_numbers import shown


def read_bytes(path: str, flag: str) -> bytes:
    """The file's content. Raises InputError, naming ``flag`` and the file, if it cannot be read or is empty."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise InputError(f"{flag} {path}: {(error.strerror or str(error)).lower()}") from None
    except ValueError:
        raise InputError(f"{flag} {shown(path)}: holds a NUL byte") from None
    except MemoryError:
        raise InputError(f"{flag} {path}: too large for the memory of this machine") from None
    if not content:
        raise InputError(f"{flag} {path}: the file is empty")
    return content
