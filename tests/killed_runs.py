"""Runs that are killed: each in a process forked off this one, which has loaded everything, at a chosen moment.

python tests/killed_runs.py FOLDER FORMAT: kills a run at every rename, before it and after it, in the middle of every write to a log, and
at twenty moments spread over its time; resumes each, and prints one JSON object of what was found.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

from batch_runs import BASE, content

from nanobragg_numba.batch import run, storage

IMAGES, PER_FILE, MOMENTS = 10, 4, 20


def compute(folder: Path, form: str, resume: bool, orientations: int = IMAGES) -> None:
    run(out=folder, base=BASE, orientations=orientations, seed=7, format=form, images_per_file=PER_FILE, engine="inline", resume=resume)


def forked(task) -> int:
    """The number of the signal that ended a process that does the task, or 0."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            task()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise SystemExit("a run failed")
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying_at_rename(number: int, after: bool):
    """Have the process die at that rename of its."""
    replace, calls = os.replace, iter(range(10**6))

    def replacing(*arguments):
        at = next(calls)
        if at == number and not after:
            die()
        replace(*arguments)
        if at == number:
            die()

    os.replace = replacing


def dying_at_write(number: int):
    """Have the process die in the middle of that write to a log."""
    write, calls = storage.Log._write, iter(range(10**6))

    def writing(log, text):
        if next(calls) == number:
            write(log, text[: len(text) // 2])
            die()
        write(log, text)

    storage.Log._write = writing


def differing(folder: Path, wanted: dict) -> list[str]:
    """Files that are missing, too many, or of other bytes."""
    there = content(folder)
    return sorted(name for name in there.keys() | wanted.keys() if there.get(name) != wanted.get(name))


def killed_at(prepare, folder: Path, form: str) -> bool:
    """Whether a run that ``prepare`` changes is killed; it is resumed then, and compared."""

    def task():
        prepare()
        compute(folder, form, False)

    shutil.rmtree(folder, ignore_errors=True)
    killed = forked(task) == signal.SIGKILL
    inodes = {path.name: path.stat().st_ino for path in folder.glob("image_*")} if killed else {}
    forked(lambda: compute(folder, form, True))
    # A file that was in its place was not written again.
    assert all((folder / name).stat().st_ino == inode for name, inode in inodes.items())
    return killed


def killed_after(seconds: float, folder: Path, form: str, orientations: int) -> bool:
    """Whether a run, begun or resumed, is killed in the middle of its time."""
    child = os.fork()
    if child == 0:
        try:
            compute(folder, form, (folder / "run.json").exists(), orientations)
        finally:
            os._exit(0)
    time.sleep(seconds)
    ended, _ = os.waitpid(child, os.WNOHANG)
    if ended:
        return False
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def main() -> None:
    folder, form = Path(sys.argv[1]), sys.argv[2]
    whole, other = folder / "whole", folder / "other"
    compute(folder / "loaded", form, False)
    forked(lambda: compute(whole, form, False))
    wanted = content(whole)
    found = {"renames": 0, "writes": 0, "moments": 0, "different": []}
    for kind, makers in (("renames", lambda n: dying_at_rename(n // 2, n % 2 == 1)), ("writes", dying_at_write)):
        number = 0
        while killed_at(lambda: makers(number), other, form):  # noqa: B023
            found["different"] += [f"{kind} {number}: {name}" for name in differing(other, wanted)]
            number += 1
        found[kind] = number

    many = folder / "many"
    started = time.perf_counter()
    forked(lambda: compute(many, form, False, 10 * IMAGES))
    seconds = time.perf_counter() - started
    wanted = content(many)
    chance = random.Random(1)
    shutil.rmtree(other)
    while found["moments"] < MOMENTS:
        if killed_after(chance.uniform(0.02, 0.7 * seconds), other, form, 10 * IMAGES):
            found["moments"] += 1
            continue
        found["different"] += [f"moment {found['moments']}: {name}" for name in differing(other, wanted)]
        shutil.rmtree(other)
    forked(lambda: compute(other, form, (other / "run.json").exists(), 10 * IMAGES))
    found["different"] += [f"the last: {name}" for name in differing(other, wanted)]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
