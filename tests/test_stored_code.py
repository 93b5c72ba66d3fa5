"""Compiled code is kept between runs: what names it, and what happens when anything is other than expected."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from running import GOLDEN, nanobragg

from nanobragg_numba.engine.needed_code import ALL
from nanobragg_numba.jit import calls, compilation, cpu_features, stored_code
from nanobragg_numba.jit.cache_folder import CACHE_FOLDER, DAYS_UNUSED, remove_what_nothing_uses
from nanobragg_numba.jit.entries import ENTRIES
from nanobragg_numba.kernels.entries import IMAGES, TEXT, noisy_counts, squared_deviations

PACKAGE = Path(stored_code.__file__).parent.parent
CELL = "-cell 70 80 90 75 85 95 -default_F 100 -N 5 -lambda 1 -distance 100 -detpixels 24 -oversample 1 -seed 1"
HKL = "-mat erl.mat -hkl erl.hkl -lambda 1 -N 5 -distance 100 -detpixels 24 -oversample 1 -seed 1"


def run_python(code, folder, *words, **environment):
    variables = {**os.environ, **{name: str(value) for name, value in environment.items()}}
    return subprocess.run([sys.executable, "-c", code, *words], cwd=folder, capture_output=True, text=True, env=variables)


@pytest.mark.parametrize(
    "line",
    [
        f"{CELL} -mosaic 1 -mosaic_domains 3 -fluence 1e30",
        f"{CELL} -round_xtal -misset random -threads 2",
        f"{CELL} -precision single -dmin 2 -polar 0.9",
        f"{HKL} -interpolate -printout_pixel 3 4",
        f"{HKL} -phi 0 -osc 1 -phisteps 3 -compat spec",
        f"{CELL} -precision exact",
        f"{CELL} -oversample_omega -oversample 2 -gauss_xtal",
    ],
)
def test_a_warm_command_loads_no_compiler(line, tmp_path):
    for name in ("erl.mat", "erl.hkl"):
        shutil.copy(GOLDEN / "inputs" / name, tmp_path)
    for library in ALL[:6]:
        stored_code.loaded(ENTRIES[library.name][0])
    code = (
        "import sys; from nanobragg_numba.cli.nanobragg import main; status = main(sys.argv[1:])\n"
        "print([name for name in ('numba', 'tqdm', 'PIL', 'fabio') if name in sys.modules], status, file=sys.stderr)"
    )
    done = run_python(code, tmp_path, *line.split())
    assert done.stderr.splitlines()[-1] == "[] 0", done.stderr


def test_every_entry_point_is_declared_once_and_stored():
    marked = {(path.stem, name) for path in PACKAGE.rglob("*.py") for name in re.findall(r"^@entry\ndef (\w+)", path.read_text(), re.M)}
    declared = {(entry.module.split(".")[-1], entry.function) for library in ALL for entry in ENTRIES[library.name]}
    assert len(marked) > 20 and marked == declared
    for library in ALL:
        entries = ENTRIES[library.name]
        stored_code.loaded(entries[0])
        assert set(stored_code._ready[library.name]) == {entry.function for entry in entries}


@pytest.fixture
def other_folder(tmp_path, monkeypatch):
    """A cache of the test's own, the good content of one library, and the libraries that are compiled meanwhile."""
    stored_code.loaded(noisy_counts)
    good = next(path for path in stored_code.places(IMAGES) if path.exists()).read_bytes()
    file = tmp_path / "images-1.code"
    monkeypatch.setattr(stored_code, "places", lambda library: [tmp_path / f"{library.name}-1.code"])
    monkeypatch.setattr(stored_code, "_ready", {})
    compiled = []

    def in_own_process(libraries, folder, settings, finished):
        for library in libraries:
            compiled.append(library.name)
            if not file.is_dir():
                file.write_bytes(good)
            finished(library, compilation.Outcome(file, "is a folder" if file.is_dir() else None))

    monkeypatch.setattr(compilation, "in_own_process", in_own_process)
    return file, good, compiled


def _flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "checksum", "header", "code", "folder"])
def test_a_damaged_file_is_compiled_anew(other_folder, damage, capfd):
    path, good, compiled = other_folder
    contents = {
        "empty": b"", "truncated": good[: len(good) // 2], "checksum": _flipped(good, 3), "header": _flipped(good, 40),
        "code": _flipped(good, len(good) - 1000),
    }  # fmt: skip
    if damage == "folder":
        path.mkdir()
    elif damage != "missing":
        path.write_bytes(contents[damage])
    counts, overloads = np.zeros((1, 2), np.uint16), np.zeros(1, np.int64)
    noisy_counts((0, 1), (), (0, 2), np.array([[7.0, 1e9]], np.float32), 10.0, counts, overloads)
    assert counts.tolist() == [[17, 65535]] and overloads.tolist() == [1]
    assert compiled == ["images"]
    said = capfd.readouterr().err
    assert "compiling the kernels" in said and "compiled in" in said
    assert ("the file that was kept is damaged" in said) == (damage not in ("missing", "folder"))


def test_an_intact_file_is_used(other_folder):
    path, good, compiled = other_folder
    path.write_bytes(good)
    noisy_counts((0, 0), (), (0, 0), np.zeros((0, 0), np.float32), 0.0, np.zeros((0, 0), np.uint16), np.zeros(0, np.int64))
    assert compiled == []


def test_what_names_a_file(monkeypatch):
    names = {stored_code.file_name(TEXT, cpu, features) for cpu in ("znver4", "skylake") for features in ("", "+avx2")}
    for variable in ("NUMBA_LOOP_VECTORIZE", "NUMBA_SLP_VECTORIZE"):
        monkeypatch.setenv(variable, "0")
        names.add(stored_code.file_name(TEXT, "znver4", ""))
        monkeypatch.delenv(variable)
    names.add(stored_code.file_name(TEXT._replace(number="complex128"), "znver4", ""))
    monkeypatch.setattr(stored_code, "_versions", lambda: "another numba")
    names.add(stored_code.file_name(TEXT, "znver4", ""))
    monkeypatch.setattr(stored_code, "_sources", lambda rooms: "another source")
    names.add(stored_code.file_name(TEXT, "znver4", ""))
    assert len(names) == 9


def test_only_the_sources_of_compiled_code_count(tmp_path, monkeypatch):
    copy = tmp_path / "package"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(stored_code, "_PACKAGE", copy)

    def edited(file):
        stored_code._sources.cache_clear()
        before = stored_code.file_name(TEXT, "znver4", "")
        with open(copy / file, "a") as source:
            source.write("\n")
        stored_code._sources.cache_clear()
        return stored_code.file_name(TEXT, "znver4", "") != before

    try:
        assert not edited("engine/simulate.py") and not edited("files/smv.py") and not edited("experiment/detector.py")
        assert edited("kernels/text_numbers.py") and edited("maths/vectors3.py")
    finally:
        stored_code._sources.cache_clear()


@pytest.mark.parametrize(
    "values",
    [
        (np.zeros((2, 2), np.float32), (0, 2, 0, 2), 1.0, np.zeros(1), 0),
        (np.zeros((2, 2), np.float32), (0, 2, 0, 2), 1.0),
        (np.zeros((2, 2)), (0, 2, 0, 2), 1.0, np.zeros(1)),
        (np.zeros((2, 2), np.float32), (0, 2, 0, 2.5), 1.0, np.zeros(1)),
        (np.zeros((2, 2), np.float32), (0, 2, 0, 2), 1.0, np.zeros((1, 1))),
        (np.zeros((2, 4), np.float32)[:, ::2], (0, 2, 0, 2), 1.0, np.zeros(1)),
    ],
)
def test_values_of_other_types_are_refused(values):
    with pytest.raises(TypeError, match="squared_deviations"):
        squared_deviations(*values)


def test_a_failure_of_one_thread_is_not_lost():
    def broken(*addresses):
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        calls.over_rows(calls.Compiled("broken", broken, ["int64"] * 2), (0, 10), 2, tuple, ())


def test_threads_behind_an_interrupt_harm_nothing(tmp_path):
    code = (
        "import gc, os, signal, threading, time\n"
        "from nanobragg_numba import parameters_from_command_line, simulate\n"
        f"line = {CELL.replace('-detpixels 24', '-detpixels 700')!r} + ' -mosaic 1 -mosaic_domains 40000'\n"
        "parameters = parameters_from_command_line(line)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "try:\n"
        "    simulate(parameters, threads=2)\n"
        "except KeyboardInterrupt:\n"
        "    gc.collect()\n"
        "    time.sleep(0.7)\n"
        "    print('went on')"
    )
    done = run_python(code, tmp_path)
    assert done.returncode == 0 and done.stdout == "went on\n", done.stderr


# What follows compiles the smallest library on an empty cache.
WORDS = (
    "import numpy as np, sys\n"
    "from nanobragg_numba.kernels.entries import count_words\n"
    "counts = np.zeros(1, np.int64)\n"
    "count_words(np.frombuffer(b'a bc  d', np.uint8), counts)\n"
    "print(counts[0], 'numba' in sys.modules)"
)
COMPILED = r"nanobragg_numba: compiling the kernels for text files: once for this version on this processor, into .*\n"
COMPILED += r"nanobragg_numba: compiled in [\d.]+ s\n"


@pytest.mark.parametrize(
    "variables",
    [
        {}, {"NUMBA_DISABLE_JIT": 1}, {"NUMBA_OPT": 0}, {"NUMBA_DEBUGINFO": 1}, {"NUMBA_BOUNDSCHECK": 1}, {"NUMBA_ENABLE_CUDASIM": 1},
        {"NUMBA_DEBUG": 1}, {"NUMBA_LOOP_VECTORIZE": 0},
    ],
    ids=str,
)  # fmt: skip
def test_each_setting_of_numba_on_an_empty_cache(tmp_path, variables):
    done = run_python(WORDS, tmp_path, NUMBA_CACHE_DIR=tmp_path / "cache", **variables)
    assert done.stdout == "3 False\n", done.stderr
    assert re.fullmatch(COMPILED, done.stderr), done.stderr
    # It poisons nothing: the next run finds the code, or, for a setting that changes code, makes its own.
    again = run_python(WORDS, tmp_path, NUMBA_CACHE_DIR=tmp_path / "cache")
    assert again.stdout == "3 False\n"
    assert again.stderr == "" or "NUMBA_LOOP_VECTORIZE" in variables


def test_an_option_that_numba_drops_leaves_code_that_numba_runs(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.abc, importlib.util, sys\n"
        "class Finder(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'numba.core.codegen':\n"
        "            sys.meta_path.remove(self)\n"
        "            spec = importlib.util.find_spec(name)\n"
        "            run = spec.loader.exec_module\n"
        "            def execute(module):\n"
        "                run(module)\n"
        "                del module.CPUCodeLibrary._optimize_functions\n"
        "                module.CPUCodeLibrary._optimise = module.CPUCodeLibrary._optimize_final_module\n"
        "                module.CPUCodeLibrary.add_llvm_module = lambda self, m: self._final_module.link_in(m)\n"
        "            spec.loader.exec_module = execute\n"
        "            return spec\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    done = run_python(WORDS, tmp_path, NUMBA_CACHE_DIR=tmp_path / "cache", PYTHONPATH=tmp_path)
    assert done.stdout == "3 True\n", done.stderr
    said = done.stderr.splitlines()
    assert len([line for line in said if "cannot compile ahead" in line]) == 1 and "Traceback" not in done.stderr


def test_two_first_runs_at_once_compile_once(tmp_path):
    variables = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    runs = [subprocess.Popen([sys.executable, "-c", WORDS], env=variables, cwd=tmp_path, stdout=subprocess.PIPE) for _ in range(3)]
    assert [run.communicate()[0] for run in runs] == [b"3 False\n"] * 3
    (file,) = (tmp_path / "cache" / "nanobragg_numba").glob("text-*.code")
    # The first that holds the lock makes the file; it is not replaced.
    assert file.stat().st_nlink == 1 and not list(file.parent.glob("*.part"))


def test_a_process_that_waited_finds_the_code(tmp_path, monkeypatch):
    from nanobragg_numba.jit import ahead_of_time

    target = tmp_path / "text-1.code"
    calls_made = []
    monkeypatch.setattr(ahead_of_time, "object_code", lambda library: calls_made.append(library.name) or ({"f": ["int64"]}, b"code"))
    for _ in range(2):
        ahead_of_time.compile_into("text", "nanobragg_numba.kernels.entries", target)
    assert calls_made == ["text"] and stored_code.content_of(target) == b"f: int64\n\ncode"


def cache_folders(tmp_path, usual):
    """The folder looked in first, and the one written to, with ``usual`` as the user's cache."""
    code = "from nanobragg_numba.jit.cache_folder import CACHE_FOLDER, USUAL_FOLDER; print(USUAL_FOLDER); print(CACHE_FOLDER)"
    environment = {**os.environ, "XDG_CACHE_HOME": str(usual), "TMPDIR": str(tmp_path)}
    environment.pop("NUMBA_CACHE_DIR", None)
    out = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    return [Path(line) for line in out.splitlines()]


def test_without_a_writable_cache_the_same_folder_serves_every_run(tmp_path):
    blocked = tmp_path / "a file"
    blocked.write_text("")
    first, second = cache_folders(tmp_path, blocked / "cache"), cache_folders(tmp_path, blocked / "cache")
    assert first == second and first[1] == tmp_path / f"nanobragg_numba-{os.getuid()}"
    assert first[1].is_dir() and first[0] != first[1]


def test_a_folder_that_others_can_write_to_is_not_used(tmp_path):
    open_to_all = tmp_path / f"nanobragg_numba-{os.getuid()}"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    blocked = tmp_path / "a file"
    blocked.write_text("")
    _, own = cache_folders(tmp_path, blocked / "cache")
    assert own != open_to_all and own.is_dir()


def test_what_nothing_uses_is_removed(tmp_path):
    old = time.time() - 86400 * (DAYS_UNUSED + 1)
    (tmp_path / "text-old.code").write_text("")
    (tmp_path / "text-new.code").write_text("")
    folder = tmp_path / "0123456789abcdef" / "kernels"
    folder.mkdir(parents=True)
    (folder / "kernels.nbi").write_text("")
    for path in (folder / "kernels.nbi", folder, folder.parent, tmp_path / "text-old.code"):
        os.utime(path, (old, old))
    remove_what_nothing_uses(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["text-new.code"]


def test_the_doctor_names_what_there_is():
    from nanobragg_numba.doctor import report

    text = report()
    for word in ("nanobragg_numba", "numba", "llvmlite", "processor", "engine", "compiled code", str(CACHE_FOLDER), "GPU", "guarded"):
        assert word in text


def test_compiling_for_an_unknown_processor_is_refused(tmp_path):
    code = "import sys; from nanobragg_numba.cli.nanobragg import main; sys.exit(main(['-compile', 'quantum9000']))"
    done = run_python(code, tmp_path, NUMBA_CACHE_DIR=tmp_path / "cache")
    assert done.returncode == 2 and "LLVM knows no processor 'quantum9000'" in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*.code"))


def test_the_doctor_takes_no_words(tmp_path):
    run = subprocess.run([sys.executable, "-m", "nanobragg_numba.doctor", "cuda"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 2 and run.stderr == "doctor: error: takes no words, and cuda is one\n" and not run.stdout


@pytest.mark.parametrize(
    ("processor", "given", "compiled"),
    [
        ("sapphirerapids", "+avx512f", "+avx512f,-prefer-256-bit"),
        ("sapphirerapids", "", "-prefer-256-bit"),
        ("sapphirerapids", "+avx512f,+prefer-256-bit", "+avx512f,+prefer-256-bit"),
        ("znver4", "+avx512f", "+avx512f"),
    ],
)
def test_the_width_of_vectors(monkeypatch, processor, given, compiled):
    monkeypatch.setenv("NUMBA_CPU_NAME", processor)
    monkeypatch.setenv("NUMBA_CPU_FEATURES", given)
    assert cpu_features.features_of_code() == compiled


def test_a_processor_without_fused_multiply_add_is_told(monkeypatch, tmp_path, capfdbinary):
    words = "-cell 50 50 50 90 90 90 -default_F 1 -N 3 -lambda 1 -distance 50 -detpixels 4 -nonoise".split()
    told = "has no fused multiply-add: every step is computed as in C"
    usual = nanobragg(words, tmp_path / "usual", capfdbinary)
    monkeypatch.setattr(cpu_features, "has_fused_multiply_add", lambda: False)
    asked_for = nanobragg([*words, "-precision", "exact"], tmp_path / "exact", capfdbinary)
    slow = nanobragg(words, tmp_path / "slow", capfdbinary)
    assert told in slow.stderr and told not in usual.stderr + asked_for.stderr
    assert slow.files() == usual.files() == asked_for.files()
