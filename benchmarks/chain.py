"""What many workers would do with nb-batch, and what would choke first: python benchmarks/chain.py

Measures what one image and one task cost the parent, with workers that cost nothing, and what a task costs dask's scheduler; then simulates
the chain of parent, scheduler, workers and file system, each serving one request after the other, and prints images a second and how
busy each station is. What a worker and the file system take is given.
"""

import argparse
import heapq
import itertools
import json
import tempfile
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from nanobragg_numba.batch import scheduling
from nanobragg_numba.batch.command_words import read_base
from nanobragg_numba.batch.engines import Given
from nanobragg_numba.batch.plan import Plan, orientation_rows
from nanobragg_numba.batch.progress import Progress
from nanobragg_numba.batch.state import Group, RunFolder
from nanobragg_numba.batch.storage import DONE, Record
from nanobragg_numba.batch.worker import Job, Outcome, Task

BASE = "-mat A.mat -hkl P1.hkl -lambda 1 -distance 100 -detpixels 256 -pixel 0.4 -N 10 -oversample 1 -mosaic 0.3 -mosaic_domains 5"
NOTE = json.dumps({"photons": 1.0, "brightest": 1.0, "frame": {"ub": [[0.012345678] * 3] * 3, "cell": [70.0] * 6, "command": ""}}).encode()
IMAGES = (
    ("stills of 256x256", 0.0075, 40e3), ("1024x1024 with noise", 0.25, 1.5e6), ("4096x4096 with noise", 20.0, 20e6),
    ("256x256 on a GPU", 0.0005, 40e3),
)  # fmt: skip
"""What they are, a worker's seconds, and bytes as they are kept."""
FILE = 100
"""Images of a data file."""


class Idle(Executor):
    """Finishes each task at once."""

    def submit(self, function: Any, *arguments: Any) -> "Future[Any]":  # type: ignore[override]
        """The outcome that a worker would have sent."""
        task: Task = arguments[-1]
        outcome = Outcome("log", [Record(DONE, row, 40000, 0, NOTE, 0) for row, _ in task.rows], seconds=SECONDS * len(task.rows))
        future: Future[Any] = Future()
        future.set_result(outcome)
        return future


SECONDS = 1.0


def parent_seconds(images: int, seconds_an_image: float) -> float:
    """What a run of so many images costs the parent, where tasks are as large as images of that cost have them."""
    global SECONDS
    SECONDS = seconds_an_image
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / ".unfinished").mkdir()
        plan = Plan(read_base(BASE, "c", "/"), orientation_rows(images), 1, "smv", "image_#####.img", FILE, "/")
        job = Job(folder, plan.base, "smv", plan.template, None, 1)
        told = Progress(images, 0, True)
        schedule = scheduling.Schedule(plan, job, RunFolder(folder), Given(Idle(), 1), told, None)
        started = perf_counter()
        schedule.run(Group(number, rows) for number, rows in plan.groups())
        return perf_counter() - started


def dask_seconds(tasks: int) -> float | None:
    """What a task costs dask's scheduler and its client, with workers that do nothing; None without dask."""
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        return None
    with LocalCluster(n_workers=1, threads_per_worker=4, processes=False, dashboard_address=None) as cluster, Client(cluster) as client:
        client.gather(client.map(abs, range(100), pure=False))
        started = perf_counter()
        client.gather(client.map(abs, range(tasks), pure=False))
        return (perf_counter() - started) / tasks


@dataclass(frozen=True)
class Costs:
    """Seconds."""

    image: float
    """Of a worker."""
    parent_image: float
    parent_task: float
    scheduler_task: float
    disk_image: float
    """Of the file system: bytes of an image, twice (log, then data file), over its rate."""
    disk_operation: float
    """To open, close, rename or remove a file."""


class Station:
    """Serves one request after the other."""

    def __init__(self) -> None:
        self.free = self.busy = 0.0

    def serve(self, now: float, seconds: float) -> float:
        """When a request that comes now is done."""
        self.free = max(now, self.free) + seconds
        self.busy += seconds
        return self.free


def simulated(workers: int, images: int, costs: Costs) -> tuple[float, dict[str, float]]:
    """Seconds of a run, and the share of it that each station is busy. A worker computes on while the file system writes behind it."""
    parent, scheduler, disk = Station(), Station(), Station()
    computing = [Station() for _ in range(workers)]
    seconds = max(scheduling.SECONDS_A_TASK, scheduling.SECONDS_A_WORKER * workers)
    most = max(1, min(FILE, int(seconds / costs.image)))
    left, end, numbers = images, 0.0, itertools.count()
    # Time, an order among equals, what comes next, the worker, and rows of the task; each worker has room for a few tasks.
    events = [(0.0, next(numbers), "room", worker, 0) for _ in range(scheduling.TASKS_A_WORKER) for worker in range(workers)]
    while events:
        now, _, what, worker, rows = heapq.heappop(events)
        if what == "room":
            end = max(end, now)
            rows = max(1, min(most, left // (2 * scheduling.TASKS_A_WORKER * workers)))
            if rows > left:
                continue
            left -= rows
            following = "sent", parent.serve(now, costs.parent_task + rows * costs.parent_image)
        elif what == "sent":
            following = "there", scheduler.serve(now, costs.scheduler_task)
        elif what == "there":
            following = "computed", computing[worker].serve(now, rows * costs.image)
        else:
            # A log is made and removed; a data file is written beside and renamed, for a hundred images.
            operations = 3 + 4 * rows / FILE
            following = "room", disk.serve(now, rows * costs.disk_image + operations * costs.disk_operation)
        heapq.heappush(events, (following[1], next(numbers), following[0], worker, rows))
    at_work = sum(station.busy for station in computing) / workers
    shares = {"parent": parent.busy, "scheduler": scheduler.busy, "file system": disk.busy, "workers": at_work}
    return end, {name: busy / end for name, busy in shares.items()}


def main(words: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--rate", type=float, default=2.0, help="GB/s that the file system writes")
    parser.add_argument("--operations", type=float, default=5000.0, help="files that it opens, renames or removes a second")
    options = parser.parse_args(words)
    few, many = (min(parent_seconds(4000, seconds) for _ in range(3)) / 4000 for seconds in (0.002, 1.0))
    # Tasks of 100 images and of one.
    parent_task = (many - few) / 0.99
    parent_image = few - parent_task / 100
    scheduler = dask_seconds(2000)
    print(f"parent: {parent_image * 1e3:.3f} ms an image and {parent_task * 1e3:.3f} ms a task")
    print("dask is not installed: no scheduler" if scheduler is None else f"scheduler: {scheduler * 1e3:.3f} ms a task")
    print("\n| images | workers | images/s | of the workers' own | busiest | parent | scheduler | file system |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, seconds, size in IMAGES:
        costs = Costs(seconds, parent_image, parent_task, scheduler or 0.0, 2 * size / (options.rate * 1e9), 1 / options.operations)
        for workers in (1, 10, 100, 1000):
            images = max(20000, 200 * workers)
            took, busy = simulated(workers, images, costs)
            most = max(busy, key=busy.__getitem__)
            shares = " | ".join(f"{100 * busy[part]:.0f} %" for part in ("parent", "scheduler", "file system"))
            print(f"| {name} | {workers} | {images / took:.4g} | {100 * images / took * seconds / workers:.0f} % | {most} | {shares} |")


if __name__ == "__main__":
    main()
