"""A folder in which the code of a README page runs, small."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path

import labse_tf
from tests.fresh import fresh
from tests.readme.not_run import how
from tests.readme.pages import COMMANDS, ROOT
from tests.readme.shell import Answer, Request, run_shell
from tests.readme.shrinking import smaller_config, smaller_flags
from tests.running import run, untraced

ADDRESSES = {"http://localhost:8501": "rest", "localhost:8500": "grpc"}
TRAINING = ("training.dual_encoder", "training.pretrain")
EXPORT = "export/README.md"  # where releases are exported, without further flags
_WITHOUT_LABSE_TF = "import sys; sys.modules['labse_tf'] = None\n"


class Sandbox:
    """Runs blocks of a page, one after the other.

    Args:
        folder: to run in, with the files that the page takes for granted.
        server: a tests.serving.model_server.ModelServer, in place of one on the usual ports.
        monkeypatch: pytest's.
        page: relative to the root.
    """

    def __init__(self, folder: Path, server, monkeypatch, page: Path):
        self._folder, self._server, self._monkeypatch = folder, server, monkeypatch
        self._page = str(page)
        monkeypatch.chdir(folder)
        monkeypatch.setattr(subprocess, "run", _forked_instead(subprocess.run))

    def shell(self, commands: str) -> str:
        """What commands print.

        Raises:
            AssertionError: one of them fails.
        """
        return run_shell(self._addressed(commands), COMMANDS, self._answer, self._folder)

    def python(self, code: str) -> str:
        """What code prints; code that does not name labse_tf runs where it cannot be imported."""
        code = self._addressed(code)
        if "labse_tf" not in code:
            process = fresh("-c", _WITHOUT_LABSE_TF + code, cwd=self._folder)
            assert process.returncode == 0, process.stderr[-3000:]
            return process.stdout
        with contextlib.redirect_stdout(io.StringIO()) as out, self._monkeypatch.context() as patch:
            for name in ("FineTuningConfig", "PretrainingConfig"):
                kind = getattr(labse_tf, name)
                patch.setattr(labse_tf, name, lambda k=kind, **given: smaller_config(k(**given)))
            patch.setitem(sys.modules, "sentence_transformers", _sentence_transformers())
            exec(compile(code, "<README>", "exec"), {"__name__": "__main__"})
        return out.getvalue()

    def _addressed(self, code: str) -> str:
        for address, attribute in ADDRESSES.items():
            code = code.replace(address, getattr(self._server, attribute))
        return code

    def _answer(self, request: Request) -> Answer:
        """What the program that bash would start answers."""
        command = shlex.join(request.words)
        way = how(command, self._page)
        if way == "skip":
            return 0, "", ""
        with self._monkeypatch.context() as patch, tempfile.TemporaryFile() as stdin:
            stdin.write(request.stdin)
            stdin.seek(0)
            patch.chdir(request.cwd)
            patch.setattr(sys, "stdin", io.TextIOWrapper(stdin))
            patch.setattr(argparse.ArgumentParser, "parse_args", _parse_small(way == "parse"))
            try:
                process = self._run(request.words)
            except _Parsed:
                return 0, "", ""
            except Exception as error:
                return 1, "", f"{command}: {type(error).__name__}: {error}"
        return process.returncode, process.stdout, process.stderr

    def _run(self, words: list[str]) -> subprocess.CompletedProcess:
        match words:
            case ["labse", *arguments]:
                return run(importlib.import_module("labse_tf.commands.main").main, *arguments)
            case ["python", "-m", "export.saved_model", _, release] if self._page != EXPORT:
                # That takes seconds: a copy of another takes its place.
                shutil.copytree(self._folder / "release", release)
                return subprocess.CompletedProcess(words, 0, "", "")
            case ["python", "-m", module, *arguments] if module in TRAINING:
                with untraced():
                    return run(program(module), *arguments)
            case ["python", "-m", module, *arguments]:
                return run(program(module), *arguments)
            case ["python", "-c", *arguments]:
                return fresh("-c", *arguments, cwd=os.getcwd())
            case ["python", file, *arguments] if not file.startswith("-"):
                return fresh(ROOT / file, *arguments, cwd=os.getcwd())
        raise ValueError("tests/readme cannot run this; nor is it in tests/readme/not_run.py.")


def program(module: str) -> Callable:
    """The `main` that `python -m` runs, of a module or of a package."""
    found = importlib.import_module(module)
    if hasattr(found, "__path__"):
        found = importlib.import_module(f"{module}.__main__")
    return found.main


class _Parsed(Exception):
    """The flags of a program were read, and that is all that was asked for."""


def _parse_small(only_parse: bool, parse_args=argparse.ArgumentParser.parse_args):
    """`parse_args` that takes flags as they stand, and returns small ones."""

    def parse(parser, *arguments, **options):
        flags = smaller_flags(parse_args(parser, *arguments, **options))
        if only_parse:
            raise _Parsed
        return flags

    return parse


def _forked_instead(run_process):
    """subprocess.run whose new Pythons are forked from one that has TensorFlow imported."""

    def run_or_fork(command, *arguments, **options):
        if command[0] != sys.executable:
            return run_process(command, *arguments, **options)
        options_end = 3 if command[1] == "-X" else 1  # -X utf8
        cwd, environment = options.get("cwd") or os.getcwd(), options.get("env")
        return fresh(*command[options_end:], cwd=cwd, env=environment)

    return run_or_fork


def _sentence_transformers() -> types.ModuleType:
    """Where tests run it is not installed, nor can its model be fetched: ours, by its name."""
    module = types.ModuleType("sentence_transformers")
    module.SentenceTransformer = lambda name: labse_tf.load("release")
    return module


def words_of(output: str) -> list[str]:
    """The lines of an output without numbers and spaces."""
    output = re.sub(r"-?\d[\d,]*(\.\d*)?(e[-+]?\d+)?", "#", output)
    return [re.sub(r"\s+", "", line) for line in output.splitlines() if line.strip()]
