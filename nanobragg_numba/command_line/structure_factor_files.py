"""The structure factors that a line names: a text list, a file of the field's formats, or the dump of an earlier run."""

import os
from typing import Any, NamedTuple

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.modes import mode_of
from nanobragg_numba.experiment.parameters import Compat, Crystal, SourceList
from nanobragg_numba.experiment.structure_factors import StructureFactors
from nanobragg_numba.files import fdump

from .input_files import Remark
from .own_input_options import CHANNELS, OwnInputOptions

FLAG = "-hkl"


class FoundFactors(NamedTuple):
    """The table, and what is said about it."""

    factors: StructureFactors | None
    report: tuple[str, ...] = ()
    """The reference's lines."""
    remarks: tuple[Remark, ...] = ()
    source: str = ""
    """What was found in the file, in a sentence."""
    cell: tuple[float, float, float, float, float, float] | None = None
    """The file's, where it has one."""
    wavelength_A: float | None = None
    """Of f' and f'', where they were computed for one."""


def read_list_or_dump(
    hkl_file: str | None, dump: str, dump_is_named: bool, only_named: bool, default_F: float, compat: Compat
) -> FoundFactors:
    """What -hkl names as a text list, or else the dump; one that no option names is read unless ``only_named``."""
    if hkl_file is not None:
        # Loads numba, which the help does not need.
        from nanobragg_numba.files import hkl, hkl_as_c

        reader, quirk = (hkl, "") if mode_of(compat).spec else (hkl_as_c, "Q18")
        try:
            factors, report, remark = reader.read(hkl_file, default_F, flag=FLAG)
        except InputError as error:
            from nanobragg_numba.reflections.opening import hint

            raise InputError(f"{error}{hint(hkl_file)}") from None
        return FoundFactors(factors, report, () if remark is None else (Remark(quirk, remark),))
    if dump_is_named and only_named and not os.path.exists(dump):
        raise InputError(f"-dump {dump}: no such file, and no -hkl to read instead")
    if not os.path.exists(dump) or (only_named and not dump_is_named):
        return FoundFactors(None)
    remarks = []
    if mode_of(compat).spec and not dump_is_named:
        remarks.append(Remark("", f"the structure factors come from {dump}, which an earlier run left; give -hkl, or remove the file"))
    factors = fdump.read(dump, flag="-dump")
    if mode_of(compat).spec and not np.isfinite(factors.table).all():
        raise InputError(f"-dump {dump}: it holds structure factors that are not finite")
    return FoundFactors(factors, (f"reading Fs from {dump}",), tuple(remarks))


def is_of_the_formats(path: str | None) -> bool:
    """Whether -hkl names an MTZ file, a CIF or coordinates: by its name and its content."""
    if path is None:
        return False
    from nanobragg_numba.reflections.opening import kind_of

    return kind_of(path, FLAG) is not None


def read_of_the_formats(
    path: str, options: OwnInputOptions, crystal: Crystal, wavelength_A: float, channels_A: tuple[float, ...] = ()
) -> FoundFactors:
    """The table of such a file, and its cell; of coordinates a table for each of ``channels_A``, or else for ``wavelength_A``.

    Raises InputError, showing both cells, if the line gives a crystal another one, and for channels of what is not computed.
    """
    from nanobragg_numba.reflections import cells, opening, reading
    from nanobragg_numba.reflections.calculated import Solvent

    kind = opening.kind_of(path, FLAG)
    assert kind is not None
    given = _cells_on_the_line(crystal, wavelength_A)
    solvent: Any = options.solvent if isinstance(options.solvent, bool) else Solvent(*options.solvent)
    known = next((cell for _, cell in given), None)
    wavelengths = channels_A or (wavelength_A,)
    wishes = reading.Wishes(options.columns, options.resolution, solvent, wavelengths, crystal.default_F, known)
    factors, remarks, computed = reading.read(path, kind, FLAG, wishes)
    if channels_A and not computed:
        raise InputError(f"{CHANNELS}: f' and f'' can be computed from coordinates alone, and {FLAG} {path} holds reflections")
    assert factors.cell is not None
    for flag, cell in given:
        cells.require_agreement(cell, flag, factors.cell, f"{FLAG} {path}")
    said = f"{FLAG} {path}: {factors.source}; {factors.count} reflections of P1 from {factors.space_group}"
    said += f", cell {cells.shown_cell(factors.cell)}"
    return FoundFactors(
        factors,
        (f"reading Fs from {path}",),
        tuple(Remark("", text) for text in remarks),
        said,
        factors.cell,
        wavelength_A if computed and not channels_A else None,
    )


def _cells_on_the_line(crystal: Crystal, wavelength_A: float) -> list[tuple[str, tuple[float, float, float, float, float, float]]]:
    """The cells of -cell and -mat, as far as they are given and enclose a volume."""
    from nanobragg_numba.reflections.cells import cell_of_axes, completed

    given = []
    if crystal.cell is not None and crystal.cell[0] > 0.0:
        given.append(("-cell", completed(crystal.cell)))
    if crystal.mosflm_matrix is not None:
        # Columns a*, b*, c* times the wavelength.
        given.append((f"-mat at {wavelength_A:g} A", cell_of_axes(np.linalg.inv(np.asarray(crystal.mosflm_matrix) / wavelength_A))))
    return given


def dispersion_remarks(wavelength_A: float | None, sources: SourceList | None) -> list[Remark]:
    """A sentence where f' and f'' are those of a wavelength that the listed sources do not reach."""
    if wavelength_A is None or sources is None or np.isnan(sources.wavelengths_m).all():
        return []
    low, high = 1e10 * np.nanmin(sources.wavelengths_m), 1e10 * np.nanmax(sources.wavelengths_m)
    if low * (1 - 1e-3) <= wavelength_A <= high * (1 + 1e-3):
        return []
    return [Remark("", f"f' and f'' are those at -lambda {wavelength_A:g} A, which the sources, {low:g} to {high:g} A, do not reach")]


def require_use(options: OwnInputOptions, path: str | None, compat: Compat) -> list[str]:
    """Sentences for options that the line has no use for, as its -hkl is a text list or missing; in "spec" the first is an InputError."""
    said = [
        f"{word} has no effect: " + (f"{FLAG} {path} is a text list" if path is not None else f"there is no {FLAG}")
        for word in options.of_factors
    ]
    if said and mode_of(compat).spec:
        raise InputError(said[0])
    return said
