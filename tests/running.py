"""Programs run in the process of the tests, which spares the import of TensorFlow."""

import contextlib
import io
import subprocess
from collections.abc import Callable, Iterator

import tensorflow as tf

from labse_tf.commands.flags import run_program


def run(main: Callable, *arguments) -> subprocess.CompletedProcess:
    """A program's `main(arguments)`, as `run_program` runs it, but for the process."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            run_program(lambda _: main([str(argument) for argument in arguments]))
        except SystemExit as end:
            status = int(end.code or 0)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def untraced() -> Iterator[None]:
    """For runs of two steps: to trace a step takes longer than to take it."""
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


def call(main: Callable, *arguments, status: int = 0) -> str:
    """stdout of a program that ends with `status`; the last error line, if that is not 0."""
    process = run(main, *arguments)
    assert process.returncode == status, f"{main.__module__}: {process.stderr[-3000:]}"
    return process.stdout if status == 0 else process.stderr.strip().splitlines()[-1]
