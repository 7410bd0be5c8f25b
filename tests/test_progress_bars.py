"""Where a progress bar is drawn."""

import io
import sys

import pytest
from tqdm import tqdm

from labse_tf import progress_bars
from labse_tf.progress_bars import is_watched, progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("show", "stream", "drawn"),
    [
        (None, Terminal, True),
        (None, io.StringIO, False),
        (True, io.StringIO, True),
        (False, Terminal, False),
    ],
)
def test_terminals(show, stream, drawn, monkeypatch):
    monkeypatch.setattr(sys, "stderr", written := stream())
    assert list(progress_bar(range(3), show=show, desc="what")) == [0, 1, 2]
    assert ("what: 100%" in written.getvalue()) == drawn


def test_a_file_of_its_own(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress_bar(total=2, file=(file := Terminal())) as bar:
        bar.update(2)
    assert "2/2" in file.getvalue() and not sys.stderr.getvalue()


def test_notebooks(monkeypatch):
    """tqdm.auto is the class of tqdm.notebook then, and stderr no terminal."""
    in_notebook = type("tqdm_notebook", (tqdm,), {"__module__": "tqdm.notebook"})
    auto = type("tqdm_asyncio", (in_notebook,), {"__module__": "tqdm.asyncio"})
    assert not is_watched(io.StringIO())
    monkeypatch.setattr(progress_bars, "tqdm", auto)
    assert is_watched(io.StringIO())
