"""The input files of `prepare_pairs`: shards grouped, their names and languages."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence

from labse_tf.data.pair_files import pair_format
from labse_tf.data.regular_files import group_shards
from labse_tf.preparation.options import PreparationOptions

_LANGUAGES = re.compile(r"([a-z]{2,3})[-_]([a-z]{2,3})(?![A-Za-z0-9])")
_SUFFIX = re.compile(r"\.(tsv|tfrecord)[^.]*(\.gz)?[^.]*$", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Input:
    """A file of pairs, or shards that are one.

    Attributes:
        languages: codes of source and target, "" where none is known.
        name: of the file, without folder, suffix and shard.
        paths: of its shards.
    """

    languages: tuple[str, str]
    name: str
    paths: tuple[str, ...]


def find_inputs(files: Sequence[str | os.PathLike], options: PreparationOptions) -> list[Input]:
    """The files by language pair, then by name, in whatever order they were given.

    Raises:
        FileNotFoundError: a file does not exist.
        ValueError: there are none, a name does not say its format, or two would be written under
            one name.
    """
    if not files:
        raise ValueError("No files of translation pairs were given: expected at least one.")
    inputs: dict[str, Input] = {}
    for paths in group_shards(set(map(os.fspath, files))):
        for path in paths:
            pair_format(path)
            if not os.path.isfile(path):
                raise FileNotFoundError(f"There is no file of translation pairs {path!r}.")
        name = _SUFFIX.sub("", os.path.basename(paths[0]))
        if name in inputs:
            raise ValueError(
                f"{inputs[name].paths[0]!r} and {paths[0]!r} would both be written as {name!r}. "
                "Rename one of them."
            )
        match = _LANGUAGES.match(name.lower() if name.isupper() else name)
        source, target = match.groups() if match else ("", "")
        languages = (options.source_language or source, options.target_language or target)
        inputs[name] = Input(languages, name, tuple(paths))
    return sorted(inputs.values(), key=lambda i: (i.languages, i.name))
