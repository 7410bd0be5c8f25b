"""Fresh Python processes in a tenth of a second.

A process that imports TensorFlow takes four seconds for that alone. `fresh` forks one from a server
that has imported it and done nothing with it: TensorFlow survives that fork, since its runtime has
not begun. Where the start itself is what is tested, a test starts a true process.

This module imports nothing of labse_tf, and so does a fresh process.
"""

import functools
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

ROOT = Path(__file__).parents[1]


def fresh(*arguments, cwd=ROOT, env=None, stdin: str = "", timeout: float = 300):
    """A fresh Python process, `-I` or not, of `-c CODE`, `-m MODULE` or a file, and its arguments.

    It has TensorFlow, tensorflow_text and tensorflow_hub imported, and nothing of labse_tf.

    Returns:
        subprocess.CompletedProcess, with stdout and stderr as text.

    Raises:
        subprocess.TimeoutExpired: it was killed after `timeout` seconds.
    """
    arguments = [str(argument) for argument in arguments]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "stdin").write_text(stdin, encoding="utf-8")
        process = _context().Process(target=_run, args=(arguments, str(cwd), env or {}, folder))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(arguments, timeout)
        texts = (Path(folder, name).read_text(encoding="utf-8") for name in ("stdout", "stderr"))
        return subprocess.CompletedProcess(arguments, process.exitcode, *texts)


@functools.cache
def _context():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tensorflow", "tensorflow_text", "tensorflow_hub"])
    return context


def _run(arguments: list[str], cwd: str, env: dict[str, str], folder: str) -> None:
    """What the forked process does."""
    os.chdir(cwd)
    os.environ.update(env)
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        flags = os.O_WRONLY | os.O_CREAT if descriptor else os.O_RDONLY
        os.dup2(os.open(os.path.join(folder, name), flags), descriptor)
    isolated = arguments[0] == "-I"
    kind, *rest = arguments[isolated:]
    sys.path[:] = [path for path in sys.path if path and Path(path).resolve() != ROOT]
    status = 0
    try:
        if kind == "-c":
            sys.argv = ["-c", *rest[1:]]
            sys.path[:0] = [] if isolated else [cwd]
            exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
        elif kind == "-m":
            sys.argv = rest
            sys.path[:0] = [] if isolated else [cwd]
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv = [kind, *rest]
            sys.path[:0] = [] if isolated else [os.path.dirname(os.path.abspath(kind))]
            runpy.run_path(kind, run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(status)
