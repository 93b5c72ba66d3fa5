"""The parent's part of a run: hands out tasks, keeps account of rows, and has data files put together when their rows are done.

A worker that dies (SIGKILL, out of memory) takes the tasks in flight with it; what their logs hold is finished all the same. The rows that
were being computed are suspected, and computed alone; one that kills its worker twice more is recorded as failed.
"""

import uuid
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from typing import Any

from nanobragg_numba.errors import InputError

from .assembly import Assembly, assemble
from .engines import Engine, died
from .formats import FORMATS
from .plan import Plan, words_or_reason
from .progress import Progress
from .state import Group, RunFolder
from .worker import Job, Outcome, Task, compute, refusal

TASKS_A_WORKER = 2
"""In flight: one that is computed, and one that waits."""
SECONDS_A_TASK, SECONDS_A_WORKER = 0.2, 0.005
"""A task takes a worker so long, and longer where there are many of them: the parent and a scheduler stand a few hundred tasks a second."""
DEATHS = 2
"""Of its lone worker, that a row may cause before it is given up."""
ASSEMBLIES = 3
"""Attempts at a data file whose worker dies."""


class Pace:
    """How many rows make a task: so many that the engine's own time for one does not count."""

    def __init__(self) -> None:
        self._rows, self._seconds = 0, 0.0

    def add(self, rows: int, seconds: float) -> None:
        """So many rows took a worker so long."""
        self._rows += rows
        self._seconds += seconds

    def rows(self, left: int, workers: int) -> int:
        """Of the next task, where the whole run has ``left``."""
        if not self._rows:
            return 1
        seconds = max(SECONDS_A_TASK, SECONDS_A_WORKER * workers)
        wanted = int(seconds * self._rows / max(self._seconds, 1e-9))
        # The last ones are small, so that all workers end at about the same time.
        return max(1, min(wanted, left // (2 * TASKS_A_WORKER * workers)))


class Schedule:
    """One run's tasks on an engine."""

    def __init__(self, plan: Plan, job: Job, folder: RunFolder, engine: Engine, progress: Progress, assembly: Assembly | None):
        self.failures: dict[int, str] = {}
        """By row: why it failed."""
        self.remarks: dict[str, list[int]] = {}
        """What is to be known, and about which rows."""
        self._plan, self._job, self._folder, self._engine, self._progress, self._assembly = plan, job, folder, engine, progress, assembly
        self._inside = not FORMATS[plan.format].one_file_each
        self._in_flight: dict[Future[Any], Task | Group] = {}
        """A group's data file is being put together."""
        self._groups: dict[int, Group] = {}
        """Those with rows that are not done."""
        self._waiting: deque[tuple[Group, deque[int]]] = deque()
        self._suspects: deque[tuple[Group, int]] = deque()
        self._deaths: dict[int, int] = {}
        self._barren = 0
        """Deaths since a row was begun."""
        self._pace = Pace()
        self._refused: str | None = None

    def run(self, groups: Iterator[Group]) -> None:
        """Compute all rows of the groups that are not done. Raises InputError where the disk refuses; what is done is kept."""
        while True:
            while self._refused is None and len(self._in_flight) < TASKS_A_WORKER * self._engine.workers and self._hand_out(groups):
                pass
            if not self._in_flight:
                break
            self._wait()
            while self._suspects and self._refused is None:
                self._try_alone(*self._suspects.popleft())
        if self._refused is not None:
            raise InputError(self._refused)

    def _hand_out(self, groups: Iterator[Group]) -> bool:
        """Submit one more task; whether there was one."""
        while not self._waiting:
            group = next(groups, None)
            if group is None:
                return False
            self._groups[group.number] = group
            left = deque(row for row in group.rows if row not in group.notes)
            if left:
                self._waiting.append((group, left))
            self._settle(group)
        group, left = self._waiting[0]
        size = self._pace.rows(self._progress.left, self._engine.workers)
        rows = [left.popleft() for _ in range(min(size, len(left)))]
        if not left:
            self._waiting.popleft()
        self._begin(group, rows)
        return True

    def _begin(self, group: Group, rows: list[int]) -> None:
        """Submit a task of the rows, but for those that have no words: these fail here."""
        lines = []
        for row in rows:
            words = words_or_reason(self._plan, row)
            if isinstance(words, str):
                self._fail(group, row, words)
            else:
                lines.append((row, tuple(words)))
        self._settle(group)
        if lines:
            log = (self._folder.unfinished(group.number) / f"{rows[0] + 1:09d}-{uuid.uuid4().hex}").relative_to(self._folder.path)
            task = Task(group.number, tuple(lines), str(log))
            self._submit(task, compute, self._job, task)

    def _submit(self, what: Task | Group, function: Callable[..., Any], *arguments: Any) -> None:
        try:
            future = self._engine.submit(function, *arguments)
        except BrokenExecutor as error:
            # Died since the last was submitted: told as the others will be.
            future = Future()
            future.set_exception(error)
        self._in_flight[future] = what

    def _wait(self) -> None:
        """Wait for a task to end, and deal with what has ended."""
        ready, _ = wait(self._in_flight, return_when=FIRST_COMPLETED)
        broken = any(not future.cancelled() and isinstance(future.exception(), BrokenExecutor) for future in ready)
        if broken:
            # The others cannot finish either.
            ready, _ = wait(self._in_flight)
        lost = [what for future in list(ready) if (what := self._take(future)) is not None]
        if broken:
            self._engine.renew()
        if lost:
            self._bury([what for what in lost if isinstance(what, Task)])
        for what in lost:
            if isinstance(what, Group):
                self._assemble(what)

    def _take(self, future: "Future[Any]") -> Task | Group | None:
        """Take what a task found; the task, where its worker has died."""
        what = self._in_flight.pop(future)
        error = None if future.cancelled() else future.exception()
        if future.cancelled() or (error is not None and died(error)):
            return what
        if isinstance(error, InputError) and isinstance(what, Group):
            self._refused = self._refused or str(error)
        elif error is not None:
            raise error
        elif isinstance(what, Group):
            self._finished(what)
        else:
            self._account(self._groups[what.group], future.result())
        return None

    def _account(self, group: Group, outcome: Outcome) -> None:
        """Note what became of a task's rows."""
        self._refused = self._refused or outcome.refused
        self._barren = 0
        for record in outcome.done:
            group.keep(outcome.log, record)
        for row, why in outcome.failed:
            self._fail(group, row, why)
        for row, text in outcome.remarks:
            self.remarks.setdefault(text, []).append(row)
        self._pace.add(len(outcome.done), outcome.seconds)
        self._progress.add(len(outcome.done), 0)
        self._settle(group)

    def _fail(self, group: Group, row: int, why: str) -> None:
        if row in group.notes:
            # Another attempt at its task, whose worker was thought lost, has finished it.
            return
        group.failed[row] = self.failures[row] = why
        self._progress.add(0, 1)
        try:
            self._folder.note_failure(row, why)
        except OSError as error:
            self._refused = self._refused or refusal(str(self._folder.path), error)

    def _bury(self, dead: list[Task]) -> None:
        """Credit dead tasks with what their logs hold; suspect the rows that were begun, and put the others back."""
        any_begun = False
        for task in dead:
            group = self._groups[task.group]
            begun = self._folder.begun(task.log, self._inside)
            any_begun = any_begun or bool(begun)
            before = len(group.notes)
            self._folder.find_logged(group, self._inside, self._plan.template)
            self._progress.add(len(group.notes) - before, 0)
            left = [row for row, _ in task.rows if row not in group.notes]
            self._suspects.extend((group, row) for row in left if row in begun)
            if rest := deque(row for row in left if row not in begun):
                self._waiting.appendleft((group, rest))
            self._settle(group)
        self._barren = 0 if any_begun else self._barren + 1
        if self._barren > DEATHS:
            raise InputError(
                "the workers end before they begin a row; a script that calls batch.run must do so under "
                'if __name__ == "__main__":, and every worker must be able to import nanobragg_numba'
            )

    def _try_alone(self, group: Group, row: int) -> None:
        """Compute a suspected row with nothing beside it."""
        while self._in_flight:
            self._wait()
        self._begin(group, [row])
        before = len(self._suspects)
        while self._in_flight:
            self._wait()
        if len(self._suspects) == before:
            return
        self._deaths[row] = self._deaths.get(row, 0) + 1
        if self._deaths[row] >= DEATHS:
            self._suspects.remove((group, row))
            self._fail(group, row, "its worker was killed each time it was computed: is there memory enough for it?")
            self._settle(group)

    def _settle(self, group: Group) -> None:
        """Where no row of the group is left, put what it leaves in its place."""
        if not group.complete or group.closing or self._refused is not None:
            return
        group.closing = True
        if group.closed:
            self._finished(group)
            return
        try:
            self._folder.write_notes(group)
        except OSError as error:
            self._refused = refusal(str(self._folder.path), error)
            return
        self._assemble(group)

    def _assemble(self, group: Group) -> None:
        if self._assembly is None:
            self._finished(group)
            return
        group.attempts += 1
        if group.attempts > ASSEMBLIES:
            raise InputError(f"the workers that put data file {group.number} together were killed {ASSEMBLIES} times")
        self._submit(group, assemble, self._assembly, group.number, group.rows, group.places())

    def _finished(self, group: Group) -> None:
        """All that the group leaves is in its place."""
        if self._assembly is None or not group.failed:
            self._folder.remove_logs(group.number)
        del self._groups[group.number]
