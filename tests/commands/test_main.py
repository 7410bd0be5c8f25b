"""`labse` itself: the console script and its commands."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from labse_tf.commands.main import main

COMMANDS = (
    "encode",
    "client",
    "evaluate",
    "evaluate report",
    "mine",
    "crawl",
    "similarity",
    "convert",
    "prune",
    "quantize",
)


def test_the_console_script_knows_its_commands():
    process = subprocess.run(
        [Path(sys.executable).parent / "labse", "--help"], capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    listed = [line.split("  ")[2] for line in process.stdout.splitlines() if line[:4] == " " * 4]
    assert [name for name in listed if name] == list(COMMANDS)
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="labse")
    assert script.load() is main


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([*command.split(), "--help"])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: labse {command} [-h]")
