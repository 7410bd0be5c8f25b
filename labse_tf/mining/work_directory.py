"""The directory of a run: what an interrupted one has done, and for which inputs and options."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from typing import Any

from labse_tf.files.atomic import atomic_file
from labse_tf.files.locks import lock_directory

SUFFIX = ".mining"
_SETTINGS = "settings.json"


@contextlib.contextmanager
def work_directory(path: str, settings: dict[str, Any]) -> Iterator[str]:
    """A directory to work in: what an earlier run left, if it was of the same settings.

    It is removed when the block ends well, and kept for another run if it does not.

    Args:
        path: of the directory.
        settings: for JSON: checksums, fingerprints, options; of all that is kept there.

    Raises:
        OSError: another process works there, or it cannot be written.
        ValueError: what is there is of other settings.
    """
    try:
        with lock_directory(path, "mines"):
            _begin(path, settings)
            yield path
    except BaseException:
        if _is_of_little_work(path):
            shutil.rmtree(path)
        raise
    shutil.rmtree(path)


def _begin(path: str, settings: dict[str, Any]) -> None:
    file = os.path.join(path, _SETTINGS)
    settings = json.loads(json.dumps(settings))
    if os.path.exists(file):
        with open(file, encoding="utf-8") as text:
            _check_same(path, json.load(text), settings)
    elif os.listdir(path):
        raise FileExistsError(
            f"{path!r} is in the way: it has no {_SETTINGS}, so it is not of an interrupted run. "
            "Remove it, or choose another output."
        )
    else:
        with atomic_file(file) as text:
            json.dump(settings, text, indent=1, ensure_ascii=False)


def _check_same(path: str, before: dict[str, Any], now: dict[str, Any]) -> None:
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            raise ValueError(
                f"{path!r} is of an interrupted run with another {name}: {before.get(name)!r:.90}, "
                f"now {now.get(name)!r:.90}. Run it as before to go on, or remove the directory to "
                "start anew."
            )


def _is_of_little_work(path: str) -> bool:
    """Whether it is one of ours, without embeddings."""
    names = os.listdir(path) if os.path.isdir(path) else []
    return _SETTINGS in names and not any(".npy" in name for name in names)
