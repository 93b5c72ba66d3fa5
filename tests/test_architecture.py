"""The rooms of the package and the arrows between them (docs/architecture.md): which room may import which."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = {"": "nanobragg_numba", "gpu": "cuda_kernels", "autograd": "autograd", "cli": "cli"}
"""Where modules stand, by the import name behind ``nanobragg_numba``."""

COMPILED = {"jit", "maths"}
PHYSICS = {"kernels", *COMPILED}
RUN = {"experiment", "fields", *PHYSICS}
BELOW_GPU = {
    "engine", "simd", "derivatives", "shots", "output", "response", "files", "reflections", "spectra", "command_line", "threads", *RUN
}  # fmt: skip
ROOMS: dict[str, set[str]] = {
    "errors": set(),
    "threads": set(),
    "maths": set(),
    "jit": {"maths", "threads"},
    "kernels": COMPILED,
    "fields": COMPILED,
    "experiment": {"fields", *PHYSICS},
    "simd": RUN,
    "derivatives": {"threads", *RUN},
    "shots": {"simd", "derivatives", *RUN},
    "engine": {"simd", "derivatives", "shots", "output", "response", "threads", *RUN},
    "files": {"threads", *RUN},
    "output": {"files", "threads", *RUN},
    "prediction": RUN,
    "reflections": {"files", *RUN},
    "spectra": {"files", *RUN},
    "command_line": {"files", "reflections", "spectra", "experiment", "fields", *COMPILED},
    "panels": {"engine", "files", "output", "command_line", "threads", *RUN},
    "response": {"simd", "threads", *RUN},
    "gpu": BELOW_GPU,
    "batch": {"panels", "", *BELOW_GPU},
    "autograd": {"gpu", *BELOW_GPU},
    "refinement": {"autograd", "batch", "gpu", "panels", "prediction", *BELOW_GPU},
    "cli": {"autograd", "batch", "gpu", "panels", "prediction", "refinement", *BELOW_GPU},
    "file_formats": {"files", "output", *RUN},
    "simtbx": {"panels", *RUN},
    "doctor": {"gpu", "", *BELOW_GPU},
    "": {"autograd", "gpu", "file_formats", "panels", "prediction", *BELOW_GPU},
}
"""What each room may import beside itself and ``errors``; the nameless one is ``nanobragg_numba/__init__.py``, the public names."""
WHEN_ASKED_FOR = {"gpu", "autograd", "reflections", "spectra", "panels"}
"""What every room may import inside a function."""
PUBLIC_NAMES_SERVE = {"", "cli", "autograd"}

LINES, FILES = 400, 15
SAY_NOTHING = {"utils", "util", "helpers", "common", "misc"}

MODULES = {
    ".".join([*filter(None, [name]), *path.relative_to(ROOT / folder).with_suffix("").parts]).removesuffix("__init__").strip("."): path
    for name, folder in FOLDERS.items()
    for path in (ROOT / folder).rglob("*.py")
}
"""Every module's file by its import name behind ``nanobragg_numba``."""


def room(module):
    return module.split(".")[0]


def names_of(node, module):
    """What an import statement in ``module`` means of ours."""
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[2] for alias in node.names if alias.name.split(".")[0] == "nanobragg_numba"]
    if node.level:
        inside = module.split(".") if MODULES[module].name == "__init__.py" else module.split(".")[:-1]
        base = [*inside[: len(inside) - node.level + 1], *(node.module or "").split(".")]
    elif room(node.module) == "nanobragg_numba":
        base = node.module.split(".")[1:]
    else:
        return []
    base = list(filter(None, base))
    inner = [".".join([*base, alias.name]) for alias in node.names]
    return [name if name in MODULES else ".".join(base) for name in inner]


def imports_of(module):
    """(what is imported, line, whether that happens when the module is loaded), of all that is ours; types' names alone do not count."""
    tree = ast.parse(MODULES[module].read_text())
    later = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    late = {id(inner) for node in later for inner in ast.walk(node)}
    types = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]
    never = {id(inner) for node in types for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and id(node) not in never:
            yield from ((name, node.lineno, id(node) not in late) for name in names_of(node, module))


IMPORTS = {module: list(imports_of(module)) for module in MODULES}


def test_arrows_point_one_way():
    wrong = []
    for module, found in IMPORTS.items():
        allowed = {room(module), "errors", *ROOMS[room(module)], *({""} if room(module) in PUBLIC_NAMES_SERVE else ())}
        for name, line, at_once in found:
            if room(name) not in (allowed if at_once else allowed | WHEN_ASKED_FOR):
                wrong.append(f"{MODULES[module].relative_to(ROOT)}:{line} imports {name or 'nanobragg_numba'}")
    assert not wrong


def test_every_room_has_its_row():
    assert {room(module) for module in MODULES} <= set(ROOMS)
    # What the table allows is itself without a circle.
    list(TopologicalSorter(ROOMS).static_order())


def test_imports_are_seen():
    """Else the arrows would be held by a reader that finds none."""
    assert sum(map(len, IMPORTS.values())) > 200
    assert {name for name, _, at_once in IMPORTS["engine.batch"] if not at_once} >= {"gpu.coverage"}
    assert ("errors", True) in {(name, at_once) for name, _, at_once in IMPORTS["files.hkl"]}


def test_no_circle_of_modules():
    graph = {module: {name for name, _, at_once in found if at_once and name != module} for module, found in IMPORTS.items()}
    circle = []
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        circle = error.args[1]
    assert not circle


def test_files_are_short_and_folders_small():
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in MODULES.values()}
    assert not {name: count for name, count in lines.items() if count > LINES}
    folders = [path.parent for path in MODULES.values() if path.is_relative_to(ROOT / "nanobragg_numba")]
    assert not {str(folder.relative_to(ROOT)): folders.count(folder) for folder in folders if folders.count(folder) > FILES}


def test_names_say_something():
    assert not [name for name in MODULES if SAY_NOTHING & set(name.split("."))]
