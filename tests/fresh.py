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
    return Started(*arguments, cwd=cwd, env=env, stdin=stdin).wait(timeout)


class Started:
    """A process as of `fresh`, which runs beside this one until `wait`.

    Attributes:
        pid: its number, for signals.
    """

    def __init__(self, *arguments, cwd=ROOT, env=None, stdin: str = ""):
        self._arguments = [str(argument) for argument in arguments]
        self._folder = tempfile.TemporaryDirectory()
        Path(self._folder.name, "stdin").write_text(stdin, encoding="utf-8")
        arguments = (self._arguments, str(cwd), env or {}, self._folder.name)
        self._process = _context().Process(target=_run, args=arguments)
        self._process.start()
        self.pid = self._process.pid

    def wait(self, timeout: float = 300) -> subprocess.CompletedProcess:
        """How it ended; see `fresh`."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
            raise subprocess.TimeoutExpired(self._arguments, timeout)
        folder = Path(self._folder.name)
        texts = ((folder / name).read_text(encoding="utf-8") for name in ("stdout", "stderr"))
        return subprocess.CompletedProcess(self._arguments, self._process.exitcode, *texts)


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
