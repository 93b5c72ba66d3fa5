"""What a run is to compute: a base command, its rows, a seed and a format."""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nanobragg_numba import __version__
from nanobragg_numba.command_line.option_table import Option
from nanobragg_numba.errors import InputError

from .command_words import Base, absolute_files, cell_words, column_option, input_files, names_files
from .formats import FORMATS
from .generated_rows import Scan, orientation_words, seed_words
from .jobs_table import Table
from .state import digest_of_file

if TYPE_CHECKING:
    from .experiments.listed import ListedImages

MOST_IMAGES = 10**9


@dataclass(frozen=True)
class Rows:
    """Where the rows come from: exactly one of the four is given."""

    table: Table | None = None
    orientations: int | None = None
    scan: Scan | None = None
    scan_text: str = ""
    listed: "ListedImages | None" = None
    """Images of the experiments of a list."""
    columns: tuple[tuple[str, Option], ...] = ()
    """Of the table: the word and the row of the option table of each."""

    def __len__(self) -> int:
        if self.table is not None:
            return len(self.table.rows)
        if self.listed is not None:
            return len(self.listed)
        return self.orientations if self.orientations is not None else self.scan.count if self.scan is not None else 0

    @property
    def source(self) -> dict[str, Any]:
        """What run.json says of them."""
        if self.table is not None:
            text = hashlib.sha256()
            for line in self.table.csv_lines():
                text.update(line.encode())
            return {"table": text.hexdigest()}
        if self.listed is not None:
            return {"expt": [self.listed.words(row)[1] for row in (0, len(self.listed) - 1)]}
        return {"orientations": self.orientations} if self.orientations is not None else {"scan": self.scan_text}


@dataclass(frozen=True)
class Plan:
    """All that the images of a run follow from."""

    base: Base
    rows: Rows
    seed: int
    format: str
    template: str
    """``#`` stand for the number of an image, counted from 1; without a suffix a run's data files begin so."""
    images_per_file: int
    folder: str
    """What names of files in the table start from."""

    def words(self, row: int) -> tuple[str, ...]:
        """The reference program's words of a row, counted from 0, seeds included. Raises InputError for a cell that makes no sense."""
        words = [*self.base.words, *self._own_words(row)]
        return (*words, *seed_words(words, self.seed, row, self.base.noise and self.format != "float"))

    def _own_words(self, row: int) -> list[str]:
        rows = self.rows
        if rows.orientations is not None:
            return orientation_words(self.seed, row)
        if rows.scan is not None:
            return rows.scan.words(row)
        if rows.listed is not None:
            return rows.listed.words(row)
        assert rows.table is not None
        words: list[str] = []
        for (word, option), cell in zip(rows.columns, rows.table.rows[row], strict=True):
            words += cell_words(word, option, cell, f"column {word.lstrip('-')!r}")
        return absolute_files(words, self.base.compat, self.folder, "the row")

    def command_line(self, row: int) -> list[str]:
        """The words of the command line that makes the image again."""
        return ["nanoBragg", *self.base.own_words, *self.words(row)]

    def groups(self) -> Iterator[tuple[int, range]]:
        """Number, counted from 1, and rows of each data file."""
        for number, start in enumerate(range(0, len(self.rows), self.images_per_file), 1):
            yield number, range(start, min(start + self.images_per_file, len(self.rows)))

    def contents(self) -> dict[str, Any]:
        """What run.json holds."""
        return {
            "program": __version__, "base": list(self.base.words), "options": list(self.base.own_words), "source": self.rows.source,
            "rows": len(self.rows), "seed": self.seed, "format": self.format, "template": self.template,
            "images_per_file": self.images_per_file, "files": {path: digest_of_file(path) for path in self._files()},
            "packages": {name: _version(name) for name in FORMATS[self.format].needs},
        }  # fmt: skip

    def _files(self) -> list[str]:
        """The input files of the base and of all rows."""
        files = dict.fromkeys(input_files(self.base.words, self.base.compat))
        if self.rows.listed is not None:
            files[self.rows.listed.path] = None
        if self.rows.table is not None:
            for at, (word, option) in enumerate(self.rows.columns):
                if names_files(option):
                    named = (os.path.normpath(os.path.join(self.folder, row[at])) for row in self.rows.table.rows if row[at])
                    files |= dict.fromkeys(path for name in named for path in input_files((word, name), self.base.compat))
        return list(files)


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def table_rows(table: Table, base: Base) -> Rows:
    """The rows of a table. Raises InputError for a column that is no option of a row."""
    columns = tuple(column_option(column, base.compat, table.path) for column in table.columns)
    words = [word for word, _ in columns]
    twice = next((column for column, word in zip(table.columns, words, strict=True) if words.count(word) > 1), None)
    if twice is not None:
        raise InputError(f"{table.path}: two columns mean {twice!r}")
    return Rows(table=table, columns=columns)


def orientation_rows(count: int) -> Rows:
    """``count`` random orientations. Raises InputError for no number of images."""
    if not 1 <= count <= MOST_IMAGES:
        raise InputError(f"--orientations must be a whole number from 1 to {MOST_IMAGES}, not {count}")
    return Rows(orientations=count)


def scan_rows(text: str) -> Rows:
    """The images of a rotation. Raises InputError."""
    scan = Scan(text)
    if scan.count > MOST_IMAGES:
        raise InputError(f"--scan {text}: {scan.count} images are too many")
    return Rows(scan=scan, scan_text=text)


def listed_rows(text: str, folder: str, format: str) -> Rows:
    """The images of the experiments of a list: FILE, or FILE:N[:IMAGE]. Raises InputError."""
    from .experiments.listed import listed_images

    listed = listed_images(os.path.normpath(os.path.join(folder, text)), one_setup=not FORMATS[format].one_file_each)
    if len(listed) > MOST_IMAGES:
        raise InputError(f"--expt {text}: {len(listed)} images are too many")
    return Rows(listed=listed)


def settled_template(template: str | None, format: str, count: int) -> str:
    """The names of a run's files, with # for numbers. Raises InputError for names that cannot be."""
    digits = max(5, len(str(count)))
    form = FORMATS[format]
    if template is None:
        return f"image_{'#' * digits}{form.suffix}" if form.one_file_each else "run"
    if "/" in template or "\0" in template or template.startswith(".") or not template:
        raise InputError(f"--name {template!r}: must be a plain name of files in the run's folder")
    if not form.one_file_each:
        if "#" in template or "." in template:
            raise InputError(f"--name {template}: the files of --format {format} are named by a word alone, as run for run_master.h5")
        return template
    if len(re.findall("#+", template)) != 1:
        raise InputError(f"--name {template}: one run of # must stand for the number of the image, as in run7_####.img")
    if template.count("#") < len(str(count)):
        raise InputError(f"--name {template}: {count} images need {len(str(count))} digits")
    if not os.path.splitext(template)[1]:
        template += form.suffix
    return template


def require_count(name: str, value: Any, least: int = 1) -> int:
    """A whole number. Raises InputError, naming the option."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name} must be a whole number, {least} or more, not {value!r}")
    return value


def words_or_reason(plan: Plan, row: int) -> Sequence[str] | str:
    """A row's words, or why it has none."""
    try:
        return plan.words(row)
    except InputError as error:
        return str(error)
