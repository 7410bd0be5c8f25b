"""Runs a notebook in a kernel of its own, as a reader would who chooses "Run all"."""

from __future__ import annotations

import copy
import os
import re
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

ROOT = Path(__file__).parents[2]
_CELL_TIMEOUT = 600  # seconds: a cell that takes so long hangs
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class NotebookFailed(Exception):
    """A cell raised, hung or ended the kernel; the message has its traceback."""


def executed(notebook: nbformat.NotebookNode, name: str) -> nbformat.NotebookNode:
    """The notebook with the outputs of a run; what it writes goes to a folder that is removed.

    The kernel imports labse_tf from this checkout, and so installs nothing.

    Args:
        notebook: of nbformat 4; is left as it is.
        name: for the message.

    Raises:
        NotebookFailed: it did not run to its end.
    """
    result = copy.deepcopy(notebook)
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    with tempfile.TemporaryDirectory(prefix="labse_tf-notebook-") as folder:
        client = NotebookClient(
            result,
            timeout=_CELL_TIMEOUT,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            coalesce_streams=True,
            record_timing=False,
            extra_arguments=["--log-level=40"],  # errors: else it warns of its ports each time
        )
        try:
            client.execute(env=environment)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            raise NotebookFailed(f"{name}: {_COLOURS.sub('', str(error))}") from error
    return result


def tidied(
    notebook: nbformat.NotebookNode, kept: nbformat.NotebookNode
) -> tuple[nbformat.NotebookNode, str]:
    """What to keep of a run, and what it wrote to stderr, which is not kept.

    stderr has warnings of libraries, with paths and times of the machine. The notebook's own
    metadata stay as they were: a kernel writes its Python's version there.
    """
    result, said = copy.deepcopy(notebook), []
    result.metadata = copy.deepcopy(kept.metadata)
    for cell in result.cells:
        if cell.cell_type == "code":
            outputs = []
            for output in cell.outputs:
                if output.output_type == "stream" and output.name == "stderr":
                    said.append(output.text)
                else:
                    outputs.append(output)
            cell.outputs = outputs
    return result, "".join(said)
