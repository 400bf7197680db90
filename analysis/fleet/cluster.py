"""Captures summarised by many processes: Dask's, started here for as long as it takes, or a cluster by its address.

A few tasks are under way at any time, so that neither this process nor the scheduler holds more than that. A worker
that ends costs nothing: its tasks go to others. What ends worker after worker is looked for capture by capture.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from analysis.errors import AnalysisError
from analysis.fleet.files import Listed
from analysis.fleet.rows import UNREADABLE, Reading, Row, failed, summarise

_PER_TASK = 32
_BYTES_PER_TASK = 16 << 20
_TASKS_PER_THREAD = 3
"""Under way: one that runs, and some that wait for it to end."""
_FEW = 16
"""Captures that this process summarises sooner than others are started."""
_CONNECT_S = 5.0
_WORKERS_S = 30.0
_ALIKE = ("python", "distributed", "dask", "msgpack", "cloudpickle", "numpy", "pandas")
"""What has to be of one version everywhere, for what is sent is pickled."""

Done = Callable[[int], None]
Batch = Sequence[Listed]


def summarised(
    captures: Sequence[Listed], reading: Reading, scheduler: str = "", workers: int | None = None
) -> Iterator[tuple[int, list[Row]]]:
    """(how many captures, their rows) as they are done, in any order.

    scheduler: a cluster's address, '' for processes of our own.  workers: how many of these, None for the CPUs, 0 for
    none beside this one. AnalysisError where the cluster is not there, is another version, or goes away.
    """
    if not captures:
        return
    if not scheduler and (workers == 0 or (workers is None and len(captures) <= _FEW)):
        for capture in captures:
            yield 1, summarise([capture], reading, _now_us())
        return
    with _quiet(), _client(scheduler, workers or len(os.sched_getaffinity(0))) as client:
        yield from _by_tasks(client, captures, reading, scheduler)


def _now_us() -> int:
    return time.time_ns() // 1000


def _by_tasks(client: Any, captures: Batch, reading: Reading, scheduler: str) -> Iterator[tuple[int, list[Row]]]:
    from distributed import as_completed

    n_threads = max(1, sum(client.nthreads().values()))
    waiting = list(reversed(list(batches(captures, n_threads))))
    under_way: dict[Any, Batch] = {}
    finished = as_completed(loop=client.loop)

    def send() -> None:
        batch = waiting.pop()
        future = client.submit(summarise, batch, reading, _now_us(), pure=False, retries=0)
        under_way[future] = batch
        finished.add(future)

    while waiting and len(under_way) < _TASKS_PER_THREAD * n_threads:
        send()
    while under_way:
        future = next(finished)
        batch = under_way.pop(future)
        if future.status == "cancelled" or future.status == "lost":
            raise AnalysisError("went away; what was summarised until then is kept", path=scheduler or "the cluster")
        if future.status == "error":
            if len(batch) > 1:  # one of them may be what ends workers: each by itself
                waiting += [[capture] for capture in batch]
            else:
                yield 1, [_ended(batch[0], reading, future.exception())]
        else:
            yield len(batch), future.result()
        future.release()
        while waiting and len(under_way) < _TASKS_PER_THREAD * n_threads:
            send()


def batches(captures: Batch, n_threads: int) -> Iterator[list[Listed]]:
    """Captures in tasks: many in each, but not so many that some threads have none, or of too many bytes."""
    most = max(1, min(_PER_TASK, len(captures) // (4 * n_threads)))
    batch: list[Listed] = []
    size = 0
    for capture in captures:
        if batch and (len(batch) == most or size + capture.size > _BYTES_PER_TASK):
            yield batch
            batch, size = [], 0
        batch.append(capture)
        size += capture.size
    if batch:
        yield batch


def _ended(capture: Listed, reading: Reading, error: Any) -> Row:
    """The row of a capture whose task has no result."""
    if type(error).__name__ == "KilledWorker":
        reason = "the process that read it was ended, again and again: it may take more memory than there is"
    else:
        reason = f"cannot be read: {type(error).__name__}: {error}"
    return failed(capture, UNREADABLE, reason) | {"mark": reading.marked(capture), "read": _now_us()}


@contextlib.contextmanager
def _client(scheduler: str, workers: int) -> Iterator[Any]:
    """A client of the cluster, or of one that ends with this block."""
    from distributed import Client, LocalCluster

    with contextlib.ExitStack() as stack, _left_at_once(stack):
        if scheduler:
            try:
                client = Client(scheduler, timeout=_CONNECT_S, set_as_default=False)
            except Exception as error:  # what is wrong with an address, a network, a protocol
                raise AnalysisError(f"no Dask scheduler: {_first_line(error)}", path=scheduler) from None
            stack.callback(_closed, client)
            _check(client, scheduler)
        else:
            cluster = stack.enter_context(
                LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0")
            )
            client = Client(cluster, set_as_default=False)
            stack.callback(_closed, client)
        yield client


@contextlib.contextmanager
def _left_at_once(stack: contextlib.ExitStack) -> Iterator[None]:
    """Where a Ctrl-C ends the block, nothing is closed in order, which takes seconds: our own processes are ended."""
    from distributed.deploy.spec import SpecCluster

    try:
        yield
    except KeyboardInterrupt:
        stack.pop_all()
        for cluster in list(SpecCluster._instances):  # one that is not made yet too
            cluster.shutdown_on_close = False  # at exit, which waits ten seconds for it
            for worker in cluster.workers.values():
                with contextlib.suppress(ProcessLookupError, TypeError):  # ended already, or not begun
                    os.kill(worker.pid, signal.SIGKILL)
        raise


def _closed(client: Any) -> None:
    with contextlib.suppress(Exception):  # it may be gone already
        client.close(timeout=5)


def _check(client: Any, scheduler: str) -> None:
    """AnalysisError where the cluster has no workers, or other versions of what matters."""
    try:
        client.wait_for_workers(1, timeout=_WORKERS_S)
        found = client.get_versions()
        own, theirs = _packages(found["client"]), {"the scheduler": _packages(found["scheduler"])}
        theirs |= {name: _packages(each) for name, each in found["workers"].items()}
        for who, packages in theirs.items():
            for name in _ALIKE:
                if packages.get(name) and packages[name] != own[name]:
                    raise AnalysisError(f"{who} has {name} {packages[name]}, this process {own[name]}", path=scheduler)
        for who, release in client.run(_release, on_error="return").items():
            if isinstance(release, BaseException):
                release = "none"
            if release != _release():
                raise AnalysisError(f"{who} has q4engine {release}, this process {_release()}", path=scheduler)
    except AnalysisError:
        raise
    except TimeoutError:
        raise AnalysisError(f"the scheduler has no workers (waited {_WORKERS_S:.0f} s)", path=scheduler) from None
    except Exception as error:
        raise AnalysisError(f"the cluster does not answer: {_first_line(error)}", path=scheduler) from None


def _packages(told: dict[str, Any]) -> dict[str, str]:
    python = ".".join(str(told["host"]["python"]).split(".")[:2])
    return {name: str(each) for name, each in told["packages"].items() if each} | {"python": python}


def _release() -> str:
    """The version of the package that `analysis` is a part of; asked of each worker."""
    try:
        return version("q4engine")
    except PackageNotFoundError:
        return "unknown"


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


_LOGGERS = ("distributed", "tornado", "asyncio")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Dask's own log lines left out, here and in processes started here: what matters is told in one line by us."""
    told = {f"DASK_LOGGING__{name.upper()}": "critical" for name in _LOGGERS}
    # what a signal ends leaves semaphores, which a process of Python's own takes away and tells of
    own = [os.environ["PYTHONWARNINGS"]] if os.environ.get("PYTHONWARNINGS") else []
    told["PYTHONWARNINGS"] = ",".join([*own, "ignore:resource_tracker:UserWarning"])
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    import distributed  # noqa: F401 - sets the levels of its loggers when it is first loaded

    loud = [name for name in [*logging.root.manager.loggerDict, *_LOGGERS] if name.partition(".")[0] in _LOGGERS]
    levels = {name: logging.getLogger(name).level for name in loud}
    for name in loud:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
