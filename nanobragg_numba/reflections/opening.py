"""Which files are read through gemmi: those whose name and whose content both say so; any other is a text list, as it always was."""

import re
from typing import Literal

from nanobragg_numba.errors import InputError
from nanobragg_numba.files.reading import read_bytes

Kind = Literal["mtz", "cif", "pdb"]

SUFFIXES: dict[str, Kind] = {".mtz": "mtz", ".cif": "cif", ".mmcif": "cif", ".fcf": "cif", ".pdb": "pdb", ".ent": "pdb"}
GZIP = b"\x1f\x8b"
CIF_BEGINS = re.compile(rb"(?:\s|#[^\n]*\n)*data_", re.I)
PDB_RECORD = re.compile(rb"^(?:ATOM  |HETATM|CRYST1)", re.M)
NATURES = {
    "mtz": "an MTZ file, which begins with 'MTZ '",
    "cif": "a CIF file, which begins with data_",
    "pdb": "a PDB file, which has a CRYST1 or ATOM record",
}
"""What each kind is, for a sentence."""


def named_kind(path: str) -> Kind | None:
    """The kind that the name says, a trailing .gz left off."""
    name = path.lower().removesuffix(".gz")
    return next((kind for suffix, kind in SUFFIXES.items() if name.endswith(suffix)), None)


def content_kind(content: bytes) -> Kind | None:
    """The kind that the content, not compressed, says."""
    if content.startswith(b"MTZ "):
        return "mtz"
    if CIF_BEGINS.match(content.removeprefix(b"\xef\xbb\xbf")):
        return "cif"
    return "pdb" if PDB_RECORD.search(content) else None


def unpacked(content: bytes, where: str) -> bytes:
    """The content, decompressed if it is gzip's. Raises InputError, naming ``where``, if that breaks off."""
    if not content.startswith(GZIP):
        return content
    # Seldom needed, and a command starts faster without.
    import gzip
    import zlib

    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        raise InputError(f"{where}: the compressed file is damaged or cut short") from None


def kind_of(path: str, flag: str) -> Kind | None:
    """The kind of the file at ``path`` if its name and its content agree on one; None if it is to be read as a text list.

    Raises InputError, naming ``flag`` and the file, if a file of such a name cannot be read.
    """
    named = named_kind(path)
    if named is None:
        return None
    return named if content_kind(unpacked(read_bytes(path, flag), f"{flag} {path}")) == named else None


def hint(path: str) -> str:
    """What to add to the refusal of a text list: what its name or its content would have it be, and the other not."""
    named = named_kind(path)
    if named is not None:
        return f" (nor is it {NATURES[named]})"
    try:
        with open(path, "rb") as file:
            kind = content_kind(file.read(4096))
    except OSError:
        return ""
    if kind is None or kind == "pdb":
        return ""
    return f" (it looks like {'an MTZ' if kind == 'mtz' else 'a CIF'} file: give it a name that ends in .{kind})"
