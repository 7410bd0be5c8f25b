"""A shell whose programs run in this process: bash reads the commands, Python calls their mains.

bash itself expands variables, patterns, loops and pipes. What it would start as `python`, `labse`,
`make`... is a script that sends its arguments here and waits for the answer. So the import of
TensorFlow is paid once.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import NamedTuple

# -I -S: nothing of site-packages, which would take longer than the script.
_STUB = f"""#!{sys.executable} -IS
import os, sys
from multiprocessing.connection import Client

with Client(os.environ["LISTENER"]) as listener:
    name, stdin = os.path.basename(sys.argv[0]), sys.stdin.buffer.read()
    listener.send(([name, *sys.argv[1:]], os.getcwd(), stdin))
    status, output, errors = listener.recv()
sys.stdout.write(output)
sys.stderr.write(errors)
sys.exit(status)
"""


class Request(NamedTuple):
    """A program that bash would start: its words, its working directory, its standard input."""

    words: list[str]
    cwd: str
    stdin: bytes


Answer = tuple[int, str, str]  # exit status, stdout, stderr


def run_shell(
    commands: str, programs: Sequence[str], answer: Callable[[Request], Answer], cwd: Path
) -> str:
    """Runs lines of bash, which end at the first command that fails.

    Args:
        commands: the lines.
        programs: names that are not looked up on the PATH but given to `answer`.
        answer: runs one, in the calling thread.
        cwd: the working directory to begin in.

    Returns:
        stdout.

    Raises:
        AssertionError: a command failed; the message has stderr.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name in programs:
            stub = Path(folder, name)
            stub.write_text(_STUB)
            stub.chmod(0o755)
        with Listener(family="AF_UNIX") as listener:
            environment = {
                **os.environ,
                "PATH": f"{folder}:{os.environ['PATH']}",
                "LISTENER": listener.address,
            }
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", commands],
                cwd=cwd, env=environment, text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            outputs: list[str] = []
            ending = threading.Thread(target=_wait, args=(process, listener.address, outputs))
            ending.start()
            while (request := _receive(listener)) is not None:
                request[0].send(answer(request[1]))
                request[0].close()
            ending.join()
    assert process.returncode == 0, f"status {process.returncode}: {outputs[1][-3000:]}"
    return outputs[0]


def _wait(process: subprocess.Popen, address: str, outputs: list[str]) -> None:
    """Reads what bash prints, and tells the listener when it has ended."""
    outputs.extend(process.communicate())
    with Client(address) as client:
        client.send(None)


def _receive(listener: Listener):
    connection = listener.accept()
    message = connection.recv()
    return None if message is None else (connection, Request(*message))
