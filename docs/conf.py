"""Sphinx: the pages beside this file, the API from docstrings, and pictures that scripts make while the pages are built."""

import dataclasses
import os
import runpy
import sys
from pathlib import Path

import matplotlib.pyplot as plt

import nanobragg_numba

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "gallery")]

import conventions  # noqa: E402

project = "nanobragg_numba"
version = release = nanobragg_numba.__version__
extensions = ["sphinx.ext.autodoc", "numpydoc", "myst_parser"]
html_theme = "furo"
html_title = f"nanobragg_numba {release}"
html_copy_source = False

myst_heading_anchors = 4
numpydoc_show_class_members = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 100


def setup(app):
    """Load the public names, and connect what is made while the pages are built."""
    # They are loaded when first asked for; until then the module's dictionary, which autodoc reads, lacks them.
    vars(nanobragg_numba).update({name: getattr(nanobragg_numba, name) for name in nanobragg_numba.__all__})
    app.connect("autodoc-process-signature", leave_out)
    app.connect("builder-inited", make_pictures)
    app.connect("source-read", finish_page)


def leave_out(app, what, name, found, options, signature, returned):
    """The signature of a dataclass says again what its fields say below it."""
    return ("", "") if dataclasses.is_dataclass(found) else None


def make_pictures(app):
    """Run the scripts of the gallery and the drawing of the conventions in ``pictures/``, where each leaves its own."""
    plt.switch_backend("Agg")
    folder = HERE / "pictures"
    folder.mkdir(exist_ok=True)
    before = os.getcwd()
    os.chdir(folder)
    try:
        for script in [*sorted(HERE.glob("gallery/*.py")), HERE / "conventions.py"]:
            runpy.run_path(str(script), run_name="__main__")
            plt.close("all")
    finally:
        os.chdir(before)


def finish_page(app, page, source):
    """Put the table of conventions, made as the drawing is, into its page; leave pages still to come out of the contents."""
    if page == "conventions":
        source[0] = source[0].replace("<!-- table -->", conventions.table())
    if page == "index":
        for name in ("options", "architecture"):
            if not (HERE / f"{name}.md").exists():
                source[0] = source[0].replace(f"\n{name}\n", "\n")
