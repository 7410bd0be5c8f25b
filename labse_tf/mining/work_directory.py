"""The working directory of a mining run: intermediate results, and the settings they belong to."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any

from labse_tf.files.atomic import atomic_file
from labse_tf.files.journals import ResumeError, check_settings
from labse_tf.files.locks import lock_directory

SUFFIX = ".mining"
_SETTINGS, _CHOICES = "settings.json", "choices.json"
# Embeddings, the state of a search and its neighbors take long to compute; the rest is read again.
_RESULTS = re.compile(r"(source|target)\.npy(\.unfinished)?|(search|neighbours)\.npz")
_log = logging.getLogger(__name__)


@contextlib.contextmanager
def work_directory(path: str, settings: dict[str, Any]) -> Iterator[str]:
    """Lock a directory to work in, which may hold the results of an earlier run.

    The directory is removed when the block ends well, or fails before there is anything to resume.
    Otherwise it is kept, and a warning names it.

    Args:
        path: The directory.
        settings: What the results depend on, for JSON: checksums, fingerprints, options.

    Raises:
        OSError: If another process works there, or the directory cannot be written.
        ResumeError: If the directory belongs to a run with other settings.
    """
    with lock_directory(path, "mines"):
        _begin(path, settings)
        try:
            yield path
        except ResumeError:  # the same command would be refused again
            raise
        except BaseException:
            if any(map(_RESULTS.fullmatch, os.listdir(path))):
                _log.warning(
                    "The results so far are kept in %r: run the same command again to resume, or "
                    "remove the directory.",
                    path,
                )
            else:
                shutil.rmtree(path)
            raise
        shutil.rmtree(path)


def stored_choice(folder: str, name: str, choose: Callable[[], str]) -> str:
    """Return what an earlier run chose for an option that is "auto", or choose and store it.

    Another measurement, or other memory, must not make a resumed run choose differently: it could
    not use the results of the earlier run.

    Args:
        folder: The working directory.
        name: The option.
        choose: Return a choice.
    """
    file, choices = os.path.join(folder, _CHOICES), {}
    if os.path.exists(file):
        with open(file, encoding="utf-8") as text:
            choices = json.load(text)
    if name not in choices:
        choices[name] = choose()
        with atomic_file(file) as text:
            json.dump(choices, text)
    return choices[name]


def _begin(path: str, settings: dict[str, Any]) -> None:
    file = os.path.join(path, _SETTINGS)
    if os.path.exists(file):
        with open(file, encoding="utf-8") as text:
            check_settings(path, json.load(text), settings)
    elif os.listdir(path):
        raise FileExistsError(
            f"{path!r} is in the way: it has no {_SETTINGS}, so it is not of an interrupted run. "
            "Remove it, or choose another output."
        )
    else:
        with atomic_file(file) as text:
            json.dump(settings, text, indent=1, ensure_ascii=False)
