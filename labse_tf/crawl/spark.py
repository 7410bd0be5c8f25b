"""SparkEngine: the tasks of a crawl in the executors of Apache Spark (extra `spark`).

Each item is one Spark task, which Spark does again elsewhere if its Python worker, its executor or
its machine is lost. A Python worker lives on for the next tasks and keeps its model. Files are the
only thing that tasks share: the work folder must be the same path on every machine.

Items and results are pickled, as Spark pickles the function itself: both ends are this application,
and nothing that was downloaded or read from a file is ever unpickled.
"""

from __future__ import annotations

import os
import pickle
import re
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from labse_tf.crawl.engine import set_threads
from labse_tf.extras import install_hint
from labse_tf.progress_bars import ProgressBar, progress_bar

_LOCAL_CLUSTER = re.compile(r"local-cluster\[\s*\d+\s*,\s*(\d+)\s*,\s*\d+\s*\]")
_STANDALONE = re.compile(r"spark://(.+)")
_REACH_S = 5.0
_POLL_S = 0.5


class SparkEngine:
    """Does items as tasks of a Spark application; a context manager that ends it.

    A task has the cores of its executor, so that one model in one Python worker uses them all,
    unless `spark.task.cpus` says otherwise; TensorFlow's threads are as many.

    Args:
        master: as "spark://host:7077", "yarn", "local-cluster[2,1,2048]"; None: that of the
            environment, as of spark-submit, else "local[*]".
        conf: settings of Spark.
        threads: of TensorFlow in each Python worker; 0 for the cores of a task.
        show_progress: whether to draw a bar on stderr; None: if it is a terminal.

    Raises:
        ImportError: pyspark is not installed.
        OSError: there is no Java, or the master cannot be reached.
    """

    name = "spark"

    def __init__(
        self,
        master: str | None = None,
        conf: Mapping[str, str] | None = None,
        threads: int = 0,
        show_progress: bool | None = None,
    ):
        try:
            from pyspark.sql import SparkSession
        except ImportError as error:
            raise ImportError(
                f"The engine spark needs pyspark: {install_hint('spark')}."
            ) from error
        check_java()
        if match := _STANDALONE.fullmatch(master or ""):
            check_reached(match[1])
        # Executors start the Python that this names; without it they take any "python3".
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        conf = dict(conf or {})
        if "spark.task.cpus" not in conf:
            cores = (_LOCAL_CLUSTER.fullmatch(master or "") or [None, None])[1]
            if cores := conf.get("spark.executor.cores", cores):
                conf["spark.task.cpus"] = cores
        builder = SparkSession.builder.appName("labse crawl")
        if master is not None:
            builder = builder.master(master)
        for key, value in {**_DEFAULTS, **_of_this_machine(master or ""), **conf}.items():
            builder = builder.config(key, value)
        self._show_progress = show_progress
        try:
            self._session = builder.getOrCreate()
        except Exception as error:
            raise OSError(
                f"Spark did not start with the master {master!r}: {_last_line(error)}"
            ) from error
        self._session.sparkContext.setLogLevel("ERROR")
        self.threads = threads or int(
            self._session.sparkContext.getConf().get("spark.task.cpus", "1")
        )

    def __enter__(self) -> SparkEngine:
        return self

    def __exit__(self, *error) -> None:
        self._session.stop()

    def map(self, function: Callable, items: Sequence[Any], what: str) -> list[Any]:
        """See `labse_tf.crawl.engine.Engine`.

        An item that fails with a ValueError fails for good, and that error is raised here; what
        may be the machine's fault is tried again, as often as `spark.task.maxFailures` says.

        Raises:
            OSError: the tasks failed as often as that.
        """
        if not items:
            return []
        work = _Work(function, [pickle.dumps(item) for item in items], self.threads)
        tasks = self._session.range(0, len(items), 1, len(items))  # a row, a partition, a task
        results = tasks.mapInArrow(work, "number long, result binary")
        with progress_bar(
            total=len(items), show=self._show_progress, desc=what, leave=False
        ) as bar:
            try:
                rows = self._collect(results, what, bar)
            except Exception as error:
                if type(error).__module__.split(".")[0] not in ("pyspark", "py4j"):
                    raise
                raise OSError(f"{what} failed on Spark: {_last_line(error)}") from error
        found: list[Any] = [None] * len(items)
        for number, result in rows:
            found[number], error = pickle.loads(result)
            if error is not None:
                raise error
        return found

    def _collect(self, results, what: str, bar: ProgressBar) -> list[tuple[int, bytes]]:
        """All rows; meanwhile the bar shows how many tasks are done."""
        done = threading.Event()
        context = self._session.sparkContext
        group = f"labse-crawl-{id(results)}"
        context.setJobGroup(group, what, True)
        watcher = threading.Thread(target=_watch, args=(context, group, bar, done), daemon=True)
        watcher.start()
        try:
            return [(row["number"], bytes(row["result"])) for row in results.collect()]
        finally:
            done.set()
            watcher.join()


_DEFAULTS = {
    "spark.log.level": "ERROR",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    # Shuffles nothing, so that there is nothing to plan anew.
    "spark.sql.adaptive.enabled": "false",
    # One row of it is one task: Arrow must not be asked for more at a time.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "1",
    "spark.python.worker.reuse": "true",
}


class _Work:
    """What a Python worker does with the rows of a task.

    Args:
        function: of a module.
        items: pickled.
        threads: of TensorFlow.
    """

    def __init__(self, function: Callable, items: list[bytes], threads: int):
        self._function, self._items, self._threads = function, items, threads

    def __call__(self, batches: Iterator) -> Iterator:
        import pyarrow as pa

        set_threads(self._threads)
        for batch in batches:
            for number in batch.column(0).to_pylist():
                try:
                    result = (self._function(pickle.loads(self._items[number])), None)
                except (ValueError, ImportError) as error:
                    result = (None, error)
                yield pa.RecordBatch.from_arrays(
                    [pa.array([number], pa.int64()), pa.array([pickle.dumps(result)], pa.binary())],
                    names=["number", "result"],
                )


def check_java() -> None:
    """Raises OSError, with what to install, if there is no Java to run Spark with."""
    home = os.environ.get("JAVA_HOME")
    if home and os.access(os.path.join(home, "bin", "java"), os.X_OK):
        return
    if home is None and shutil.which("java"):
        return
    where = f"JAVA_HOME (={home!r}) has no bin/java" if home else "there is no `java` on the PATH"
    raise OSError(
        f"Spark needs Java 17 or 21, and {where}: apt-get install default-jre-headless; or leave "
        "out --engine spark, which does the same in this process."
    )


def check_reached(addresses: str) -> None:
    """Says that nothing listens at a standalone master, which Spark would try for minutes.

    Args:
        addresses: "host:port", or several with commas between, of which one must be reached.

    Raises:
        OSError: none is.
        ValueError: one is no address.
    """
    errors = []
    for address in addresses.split(","):
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise ValueError(f"The master 'spark://{addresses}' must be spark://HOST:PORT.")
        try:
            socket.create_connection((host.strip("[]"), int(port)), _REACH_S).close()
            return
        except OSError as error:
            errors.append(str(error))
    raise OSError(
        f"The Spark master at {addresses} cannot be reached: {'; '.join(errors)}. Is it started, "
        "and is this the address that its log names?"
    )


def _of_this_machine(master: str) -> dict[str, str]:
    """Where executors find labse_tf, if this process was told by PYTHONPATH; and a driver to be
    reached by this machine alone, whose name may have no address, where the executors are here."""
    path = os.environ.get("PYTHONPATH")
    conf = {"spark.executorEnv.PYTHONPATH": path} if path else {}
    if master.startswith("local"):
        conf |= dict.fromkeys(("spark.driver.host", "spark.driver.bindAddress"), "127.0.0.1")
    return conf


def _watch(context, group: str, bar: ProgressBar, done: threading.Event) -> None:
    tracker = context.statusTracker()
    while not done.wait(_POLL_S):
        finished = 0
        for job in tracker.getJobIdsForGroup(group):
            for stage in getattr(tracker.getJobInfo(job), "stageIds", ()):
                info = tracker.getStageInfo(stage)
                finished += info.numCompletedTasks if info else 0
        bar.update(max(0, finished - bar.n))


def _last_line(error: Exception) -> str:
    """The line of a Spark error that says what happened, behind its tracebacks in two languages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if re.match(r"(\w+\.)*\w*(Error|Exception)\b", line)]
    return (told or lines or [type(error).__name__])[-1]
