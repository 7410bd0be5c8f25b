"""Builds serve.cc against the TensorFlow that is installed, and runs it."""

from __future__ import annotations

import fcntl
import glob
import hashlib
import os
import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_text

SOURCE = Path(__file__).with_name("serve.cc")
BUILT = Path(__file__).parents[2] / "build" / "tests"


def text_libraries() -> str:
    """The files with tensorflow_text's ops, as TensorFlow Serving has them linked."""
    folder = os.path.dirname(tensorflow_text.__file__)
    return ":".join(sorted(glob.glob(os.path.join(folder, "python", "ops", "*.so"))))


def build() -> Path:
    """Compiles and links the program; returns its path.

    It is built once for each source, compiler and TensorFlow; another process waits meanwhile.
    """
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise FileNotFoundError("There is no C++ compiler (g++) to build tests/serving/serve.cc.")
    lib = tf.sysconfig.get_lib()
    command = [compiler, "-O1", str(SOURCE), *tf.sysconfig.get_compile_flags()]
    command += ["-Wl,--no-as-needed", f"-L{lib}", f"-Wl,-rpath,{lib}"]
    command += ["-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2", "-ldl", "-lpthread"]
    inputs = [SOURCE.read_text(), tf.version.GIT_VERSION, *command]
    digest = hashlib.sha256("\0".join(inputs).encode()).hexdigest()[:16]
    BUILT.mkdir(parents=True, exist_ok=True)
    program = BUILT / f"serve-{digest}"
    with open(BUILT / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            unfinished = program.with_suffix(".unfinished")
            process = subprocess.run(
                [*command, "-o", str(unfinished)], capture_output=True, text=True
            )
            if process.returncode:
                raise RuntimeError(f"{' '.join(command)}\n{process.stderr[-3000:]}")
            unfinished.rename(program)
    return program


def framed(sentences: Sequence[str | bytes]) -> bytes:
    """Sentences as the program reads them."""
    encoded = [s.encode() if isinstance(s, str) else s for s in sentences]
    return b"".join(struct.pack("=I", len(s)) + s for s in encoded)


def serve(program, release, *command, sentences=(), libraries=None) -> subprocess.CompletedProcess:
    """Runs the program in a process of its own; stdout and stderr are bytes."""
    libraries = text_libraries() if libraries is None else libraries
    return subprocess.run(
        [str(program), libraries, str(release), *(str(part) for part in command)],
        input=framed(sentences),
        capture_output=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )


def embed(program, release, sentences, threads=1) -> np.ndarray:
    """float32 [threads, sentences, dim]: what each of so many threads got at once."""
    process = serve(program, release, "embed", threads, sentences=sentences)
    if process.returncode:
        raise RuntimeError(process.stderr.decode()[-3000:])
    return np.frombuffer(process.stdout, np.float32).reshape(threads, len(sentences), -1)
