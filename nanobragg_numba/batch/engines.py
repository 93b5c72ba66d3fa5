"""Where tasks run: here, in processes of this machine, on dask's workers, or on any other ``concurrent.futures.Executor``."""

import math
import multiprocessing
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from time import monotonic
from typing import Any, Protocol

from nanobragg_numba.errors import InputError
from nanobragg_numba.threads import most_threads

from .plan import require_count

ENGINES = ("inline", "processes", "dask")
OBJECTS_BETWEEN_COLLECTIONS = 100_000
"""Imports make fewer, and none of theirs is garbage."""
SECONDS_BETWEEN_COUNTS = 5.0
"""Of workers, which may come and go."""


class Engine(Protocol):
    """What a run needs of an executor, beside ``submit``."""

    @property
    def workers(self) -> int:
        """Tasks that run at once."""

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """As ``Executor.submit``."""

    def renew(self) -> None:
        """Go on with new workers, after one has died."""

    def stop(self) -> None:
        """End the workers, and what they are at."""


class Inline:
    """Each task at once, in this process."""

    workers = 1

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """See Engine."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future

    def renew(self) -> None:
        """See Engine."""

    def stop(self) -> None:
        """See Engine."""


def _load() -> None:
    """Load what a worker needs, before there is work."""
    from . import worker  # noqa: F401


class Processes:
    """Processes of this machine, each with a share of its processors, or a GPU.

    They are started anew (spawn), so that none inherits threads or a GPU's state, and end when this process does, however that ends.
    ``load``: a module's function that each calls once.
    """

    def __init__(self, workers: int, threads: int, devices: tuple[str, ...] = (), load: Callable[[], None] = _load):
        self.workers = workers
        self._threads, self._devices, self._load = threads, devices, load
        self._context = multiprocessing.get_context("spawn")
        self._start()

    def _start(self) -> None:
        reading, self._alive = self._context.Pipe(duplex=False)
        self._reading = reading
        devices = self._context.SimpleQueue() if self._devices else None
        for device in self._devices:
            assert devices is not None
            devices.put(device)
        arguments = (reading, devices, self._threads)
        self._pool = ProcessPoolExecutor(self.workers, self._context, initializer=_begin_worker, initargs=arguments)
        for _ in range(self.workers):
            # Starts one of them.
            self._pool.submit(self._load)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """See Engine."""
        return self._pool.submit(function, *arguments)

    def renew(self) -> None:
        """See Engine."""
        self.stop()
        self._start()

    def stop(self) -> None:
        """See Engine."""
        self._alive.close()
        self._reading.close()
        self._pool.shutdown(wait=True, cancel_futures=True)


def _begin_worker(alive: Any, devices: Any, threads: int) -> None:
    import gc
    import signal

    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    # The parent hears of Ctrl-C, too, and ends us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ["NUMBA_NUM_THREADS"] = str(threads)
    threading.Thread(target=_end_with_parent, args=(alive,), daemon=True).start()
    if devices is not None:
        from .worker import take_device

        take_device(devices.get())


def _end_with_parent(alive: Any) -> None:
    """End this process when the parent closes its end of the pipe, as its death does."""
    try:
        alive.recv_bytes()
    except (EOFError, OSError):
        pass
    os._exit(1)


class Dask:
    """Workers of dask.distributed: of a scheduler that runs, of SLURM's jobs, or of this machine."""

    def __init__(self, scheduler: str | None, slurm: int | None, options: Mapping[str, Any], workers: int):
        try:
            import distributed
        except ImportError:
            raise InputError("the engine dask needs dask.distributed: pip install 'nanobragg_numba[dask]'") from None
        self._cluster: Any = None
        if scheduler is None:
            self._cluster = _slurm_cluster(slurm, options) if slurm is not None else _local_cluster(workers)
        try:
            self._client = distributed.Client(scheduler if self._cluster is None else self._cluster)
        except (OSError, ValueError) as error:
            self.stop()
            raise InputError(f"--scheduler {scheduler}: no dask scheduler answers ({error})") from None
        # dask calls a function once for all calls with equal arguments, unless told that it is not pure.
        self._executor = self._client.get_executor(pure=False)
        self._given = workers if slurm is None else slurm
        self._counted, self._count = -math.inf, 0

    @property
    def workers(self) -> int:
        """Threads of all workers that are there now; at least as many as were asked for."""
        if monotonic() - self._counted > SECONDS_BETWEEN_COUNTS:
            # Asks the scheduler.
            self._counted, self._count = monotonic(), sum(self._client.nthreads().values())
        return max(self._count, self._given)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """See Engine."""
        future: Future[Any] = self._executor.submit(function, *arguments)
        return future

    def renew(self) -> None:
        """See Engine; dask starts new workers itself."""

    def stop(self) -> None:
        """See Engine."""
        for part in (getattr(self, "_client", None), self._cluster):
            if part is not None:
                part.close()


def _local_cluster(workers: int) -> Any:
    from distributed import LocalCluster

    return LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None)


def _slurm_cluster(jobs: int, options: Mapping[str, Any]) -> Any:
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError:
        raise InputError("--slurm needs dask-jobqueue: pip install 'nanobragg_numba[dask]'") from None
    try:
        cluster = SLURMCluster(**options)
    except (TypeError, ValueError) as error:
        raise InputError(f"--slurm: dask-jobqueue refuses the options: {' '.join(str(error).split())}") from None
    cluster.scale(jobs=jobs)
    return cluster


class Given:
    """Somebody's executor, as mpi4py.futures.MPIPoolExecutor or a ThreadPoolExecutor; it is not shut down."""

    def __init__(self, executor: Any, workers: int | None):
        self._executor = executor
        found = workers or getattr(executor, "_max_workers", None) or getattr(executor, "num_workers", None)
        self.workers = int(found or 1)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """See Engine."""
        future: Future[Any] = self._executor.submit(function, *arguments)
        return future

    def renew(self) -> None:
        """See Engine; Raises InputError: the executor is its owner's."""
        raise InputError("the executor that was given is broken; what is finished is kept, and can be resumed")

    def stop(self) -> None:
        """See Engine."""


def require_engine(
    engine: Any, workers: int | None, scheduler: str | None, slurm: int | None, slurm_options: Mapping[str, Any] | None = None
) -> None:
    """Raise InputError for an engine that there is not, and for options that it does not have."""
    for name, count in (("--workers", workers), ("--slurm", slurm)):
        if count is not None:
            require_count(name, count)
    if not hasattr(engine, "submit") and engine not in ENGINES:
        raise InputError(f"--engine must be one of {', '.join(ENGINES)}, not {engine!r}")
    if engine != "dask" and (scheduler is not None or slurm is not None):
        raise InputError("--scheduler and --slurm are for --engine dask")
    if slurm_options and slurm is None:
        raise InputError("--slurm-options is for --slurm")


def started(
    engine: Any, workers: int | None = None, threads: int | None = None, *, scheduler: str | None = None, slurm: int | None = None,
    slurm_options: Mapping[str, Any] | None = None, devices: tuple[str, ...] = (), load: Callable[[], None] = _load,
) -> tuple[Engine, int]:  # fmt: skip
    """The engine, and the threads of a worker: ``threads``, or its share of the processors. ``devices``: the GPU of each process.

    Raises InputError where its workers cannot be had.
    """
    cores = most_threads()
    if hasattr(engine, "submit"):
        return Given(engine, workers), threads or 1
    if engine == "dask":
        return Dask(scheduler, slurm, slurm_options or {}, workers or cores), threads or 1
    if engine == "inline":
        return Inline(), threads or cores
    count = workers or (len(devices) if devices else cores)
    threads = threads or max(1, cores // count)
    return Processes(count, threads, devices, load), threads


def died(error: BaseException) -> bool:
    """Whether a task failed since its worker died."""
    return isinstance(error, BrokenExecutor) or type(error).__name__ in ("KilledWorker", "CancelledError")
