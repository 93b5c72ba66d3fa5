"""A table of jobs: CSV, JSON lines or Parquet; its columns are options, its cells their values, and an empty cell is not given."""

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from nanobragg_numba.errors import InputError
from nanobragg_numba.files.reading import read_bytes


@dataclass(frozen=True)
class Table:
    """The cells of a table as text, as they are kept beside the run."""

    path: str
    columns: tuple[str, ...]
    rows: list[list[str]]
    """A cell for each column."""

    def csv_lines(self) -> Iterator[str]:
        """The table as CSV: the form in which a run keeps it."""
        for row in (self.columns, *self.rows):
            buffer = io.StringIO()
            csv.writer(buffer, lineterminator="\n").writerow(row)
            yield buffer.getvalue()


def read_table(path: str) -> Table:
    """The table in a file; the suffix says its kind. Raises InputError naming file and line or row."""
    suffix = os.path.splitext(path)[1].lower()
    readers = {".csv": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines, ".json": _json_lines, ".parquet": _parquet, ".pq": _parquet}
    if suffix not in readers:
        raise InputError(f"{path}: a table of jobs is .csv, .jsonl or .parquet, and the suffix {suffix or 'of none'} is none of them")
    columns, rows = readers[suffix](path)
    if not rows:
        raise InputError(f"{path}: the table has no rows")
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise InputError(f"{path}: the column {twice!r} is there twice")
    return Table(path, tuple(columns), rows)


def table_of(records: Sequence[Mapping[str, Any]]) -> Table:
    """A table of rows given as mappings of options to values. Raises InputError for none, and for what no cell holds."""
    if not records:
        raise InputError("jobs: there are no rows")
    rows = [
        {str(name): cell_text(value, f"jobs, row {number}, column {name!r}") for name, value in record.items()}
        for number, record in enumerate(records, 1)
    ]
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    return Table("jobs", columns, [[row.get(name, "") for name in columns] for row in rows])


def _text(path: str) -> str:
    try:
        return read_bytes(path, "the table").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is no UTF-8 text") from None


def _csv(path: str) -> tuple[list[str], list[list[str]]]:
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    columns: list[str] = []
    rows = []
    try:
        for cells in reader:
            if not cells or cells[0].lstrip().startswith("#"):
                continue
            cells = [cell.strip() for cell in cells]
            if not columns:
                columns = cells
            elif len(cells) != len(columns):
                raise InputError(f"{path}, line {reader.line_num}: {len(cells)} cells, and the first line names {len(columns)} columns")
            else:
                rows.append(cells)
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}") from None
    if any("\0" in cell for row in (columns, *rows) for cell in row):
        raise InputError(f"{path}: holds a NUL byte")
    return columns, rows


def _json_lines(path: str) -> tuple[list[str], list[list[str]]]:
    records = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}, line {number}: {error}") from None
        if not isinstance(record, dict):
            raise InputError(f"{path}, line {number}: a row is an object of options and values, not {type(record).__name__}")
        records.append({name: cell_text(value, f"{path}, line {number}, column {name!r}") for name, value in record.items()})
    columns = list(dict.fromkeys(name for record in records for name in record))
    return columns, [[record.get(name, "") for name in columns] for record in records]


def _parquet(path: str) -> tuple[list[str], list[list[str]]]:
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise InputError(f"{path}: reading Parquet needs pyarrow: pip install 'nanobragg_numba[batch]'") from None
    try:
        table = parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"{path}: cannot be read as Parquet: {str(error).splitlines()[0]}") from None
    columns = list(table.column_names)
    rows = [
        [cell_text(record[name], f"{path}, row {number}, column {name!r}") for name in columns]
        for number, record in enumerate(table.to_pylist(), 1)
    ]
    return columns, rows


def cell_text(value: Any, where: str) -> str:
    """A value of JSON or Parquet as the text of a cell, numbers with all their digits. Raises InputError, naming ``where``."""
    if value is None or value == []:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, Integral | Real):
        return repr(int(value) if isinstance(value, Integral) else float(value))
    if isinstance(value, list | tuple):
        return " ".join(cell_text(part, where) for part in value)
    raise InputError(f"{where}: a cell is a number, a text, true or false, or a list of them, not {type(value).__name__}")
