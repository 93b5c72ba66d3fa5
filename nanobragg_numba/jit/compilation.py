"""Compiles libraries ahead, in processes of their own, as many at once as there are processors."""

import os
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from nanobragg_numba.threads import most_threads

from . import stored_code
from .cache_folder import CACHE_FOLDER

if TYPE_CHECKING:
    from .entries import Entry, Library


class Outcome(NamedTuple):
    """The file with a library's code, or why there is none."""

    path: Path
    failure: str | None


def _say(text: str) -> None:
    if sys.stderr is not None:
        print(f"nanobragg_numba: {text}", file=sys.stderr, flush=True)


say: Callable[[str], None] = _say
"""Tells the user what is compiled, and how long it took."""
NOT_HEEDED = ("DISABLE_JIT", "OPT", "DEBUG", "BOUNDSCHECK", "DUMP", "FULL_TRACEBACKS", "ENABLE_CUDASIM", "WARNINGS", "DISABLE_INTEL_SVML")
"""numba's settings (NUMBA_...) that begin so are kept from the compiling process: code that is kept has no use for them."""
UNKNOWN_PROCESSOR = "is not a recognized processor"
_state = threading.Condition()
_begun: set[str] = set()
"""Libraries that are being compiled."""
_outcomes: dict[str, Outcome] = {}
_started = 0.0


def begin(libraries: Iterable["Library"]) -> None:
    """Begin to compile those that are not kept; does not wait."""
    global _started
    with _state:
        missing = [library for library in libraries if library.name not in _begun and not stored_code.is_kept(library)]
        if not missing:
            return
        if not _begun:
            _started = perf_counter()
        _begun.update(library.name for library in missing)
        for library in missing:
            _outcomes.pop(library.name, None)
        say(f"compiling the kernels for {_named(missing)}: once for this version on this processor, into {CACHE_FOLDER}")
    for share in shares(missing, most_threads()):
        threading.Thread(target=in_own_process, args=(share, CACHE_FOLDER, {}, _finish), daemon=True).start()


def result(entry: "Entry") -> Outcome:
    """Wait for the entry point's library to be compiled; begins with it if nobody has."""
    name = entry.library.name
    begin([entry.library])
    with _state:
        _state.wait_for(lambda: name not in _begun)
        if name in _outcomes:
            return _outcomes.pop(name)
    found: list[Outcome] = []
    started = perf_counter()
    say(f"compiling the kernels for {entry.library.what} again: the file that was kept is damaged")
    in_own_process([entry.library], CACHE_FOLDER, {}, lambda library, outcome: found.append(outcome))
    say(f"compiled in {perf_counter() - started:.1f} s")
    return found[0]


def _finish(library: "Library", outcome: Outcome) -> None:
    with _state:
        _outcomes[library.name] = outcome
        _begun.discard(library.name)
        if not _begun:
            say(f"compiled in {perf_counter() - _started:.1f} s")
        _state.notify_all()


def _named(libraries: Iterable["Library"]) -> str:
    *others, last = dict.fromkeys(library.what for library in libraries)
    return f"{', '.join(others)} and {last}" if others else last


def shares(libraries: Sequence["Library"], processes: int) -> list[list["Library"]]:
    """Each process's libraries, the longest first: starting the compiler takes as long as compiling a small one."""
    divided: list[list[Library]] = [[] for _ in range(min(processes, len(libraries)))]
    for library in sorted(libraries, key=lambda one: -one.seconds):
        min(divided, key=lambda share: sum(one.seconds for one in share)).append(library)
    return divided


def in_own_process(
    libraries: Sequence["Library"], folder: Path, settings: dict[str, str], finished: Callable[["Library", Outcome], None]
) -> None:
    """Compile the libraries for the processor that ``settings`` names, or this one; ``finished`` is told of each."""
    # Not needed where all is kept.
    import subprocess
    import tempfile

    cpu = settings.get("NUMBA_CPU_NAME")
    targets = {
        library.name: stored_code.places(library)[0] if cpu is None else folder / stored_code.file_name(library, cpu, "")
        for library in libraries
    }
    waiting = {library.name: library for library in libraries}
    failure = "the compiling process ended early"
    unknown = f"LLVM knows no processor {cpu or os.environ.get('NUMBA_CPU_NAME')!r} for this kind of machine"
    try:
        with tempfile.TemporaryDirectory(prefix="nanobragg_numba-") as nowhere, open(Path(nowhere) / "errors", "w+") as errors:
            with subprocess.Popen(
                _command(libraries, targets), env=_environment(settings), cwd=nowhere, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=errors, text=True,
            ) as process:  # fmt: skip
                for line in process.stdout or ():
                    name, _, why = line.rstrip().partition(" ")
                    if UNKNOWN_PROCESSOR in _content(errors):
                        # LLVM then takes the plainest one.
                        why = unknown
                        targets[name].unlink(missing_ok=True)
                    if name in waiting:
                        finished(waiting.pop(name), Outcome(targets[name], why or None))
            said = [line.strip() for line in _content(errors).splitlines() if line.strip()]
            failure = unknown if UNKNOWN_PROCESSOR in "".join(said) else said[-1] if said else failure
    except OSError as error:
        failure = f"no process can be started ({(error.strerror or str(error)).lower()})"
    for name, library in waiting.items():
        finished(library, Outcome(targets[name], failure))


def _content(file: object) -> str:
    return Path(file.name).read_text(errors="replace")  # type: ignore[attr-defined]


def _command(libraries: Sequence["Library"], targets: dict[str, Path]) -> list[str]:
    from .entries import ENTRIES

    words = [(library.name, ENTRIES[library.name][0].declared_in, str(targets[library.name])) for library in libraries]
    return [sys.executable, "-m", "nanobragg_numba.jit.ahead_of_time", *(word for three in words for word in three)]


def _environment(settings: dict[str, str]) -> dict[str, str]:
    heeded = {name: value for name, value in os.environ.items() if not name.startswith(tuple(f"NUMBA_{start}" for start in NOT_HEEDED))}
    path = os.pathsep.join(part for part in (str(Path(__file__).parent.parent.parent), os.environ.get("PYTHONPATH", "")) if part)
    return {**heeded, "PYTHONPATH": path, "NUMBA_DISABLE_INTEL_SVML": "1", **settings}
