"""Programs run in the process of the tests, which spares the import of TensorFlow."""

import contextlib
import io
from collections.abc import Callable

from labse_tf.commands.flags import run_program


def call(main: Callable, *arguments, status: int = 0) -> str:
    """stdout of a program's `main(arguments)` that ends with `status`; else its last error line.

    As `run_program` runs it, but for the process.
    """
    out, err, ended = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            run_program(lambda _: main([str(argument) for argument in arguments]))
        except SystemExit as end:
            ended = end.code or 0
    assert ended == status, f"{main.__module__} ended with {ended}: {err.getvalue()[-3000:]}"
    return out.getvalue() if status == 0 else err.getvalue().strip().splitlines()[-1]
