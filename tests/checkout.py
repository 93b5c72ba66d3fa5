"""Which copy of the package is tested: this checkout's, installed for editing, or one that was installed from the same sources."""

import configparser
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
REMEDY = "install this checkout: pip install -e '.[test]'"


def package_folders() -> dict[str, Path]:
    """The checkout's folder of each import name that has one of its own (setup.cfg)."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    rows = [line.split("=") for line in parser["options"]["package_dir"].strip().splitlines()]
    return {name.strip(): ROOT / folder.strip() for name, folder in rows}


def look_past_the_working_folder() -> None:
    """Take the checkout's top off the import path, where ``python -m pytest`` puts it first: ``nanobragg_numba`` there lacks the
    folders that only an installation maps into it."""
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry) != str(ROOT.resolve())]


def complaint() -> str | None:
    """Why the tests would not test this checkout; None if they would."""
    for name, folder in package_folders().items():
        spec = importlib.util.find_spec(name)
        if spec is None:
            return f"{name} is not installed; {REMEDY}"
        installed = Path(next(iter(spec.submodule_search_locations or [])))
        different = None if installed.samefile(folder) else next(_different(folder, installed), None)
        if different:
            return f"{installed / different} is not {folder / different}: the tests belong to this checkout's code; {REMEDY}"
    return None


def _different(folder: Path, installed: Path) -> Iterator[Path]:
    """Modules that are other in the installed folder, or not there."""
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder)
        if not (installed / name).is_file() or (installed / name).read_bytes() != path.read_bytes():
            yield name
