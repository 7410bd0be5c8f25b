"""The embeddings of a side: computed, and written to a file."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator

import numpy as np

from labse_tf.evaluation.benchmarks.embedding import Embed
from labse_tf.files.atomic import atomic_file
from labse_tf.files.embeddings import EmbeddingFile
from labse_tf.files.journals import ResumeError
from labse_tf.mining.rows import Rows, open_rows, stored_form, stored_width
from labse_tf.mining.sides import Side
from labse_tf.progress_bars import progress_bar

Encode = Callable[[list[str]], np.ndarray]
EMBEDDED_AT_ONCE = 16_384  # embedded between two writes: whole windows of LaBSE.encode
_CHECKED = 3  # sentences on which two models are compared
# Cosines of a function's embeddings of the same batch are above it.
_SAME_MODEL = 0.999
_COUNTED = re.compile(r"([\d,]+) of [\d,]+ sentences ")
_log = logging.getLogger(__name__)


def embed_side(
    side: Side, encode: Encode, path: str, dtype: str, show_progress: bool | None = None
) -> Rows:
    """Unit rows of a side's sentences, in a file; those of an interrupted run are not made again.

    Args:
        side: its sentences.
        encode: from a list of strings to an array [sentences, dim].
        path: of the file, which may be there, whole or begun.
        dtype: "float32", "float16", or "int8".
        show_progress: whether to draw a bar on stderr; None: if it is a terminal.

    Raises:
        OSError: the file cannot be written.
        ValueError: what `encode` returns is not a finite row a sentence.
    """
    if os.path.exists(path):
        return open_rows(path)
    what = f"the {side.name}s"
    embed, dim = Embed(encode), dim_of(side, encode)
    with _summed_warnings(what):
        file = EmbeddingFile(path, stored_width(dim, dtype), dtype, resume=True)
        try:
            bar = progress_bar(
                show=show_progress,
                total=len(side),
                unit=" sentences",
                unit_scale=True,
                desc=f"embedding {what}",
            )
            with bar:
                bar.update(file.rows)
                sentences = side.sentences(file.rows)
                while part := list(itertools.islice(sentences, EMBEDDED_AT_ONCE)):
                    file.append(stored_form(embed.unit(part, what), dtype))
                    bar.update(len(part))
            file.finish()
        finally:
            file.close()
    return open_rows(path)


def dim_of(side: Side, encode: Encode) -> int:
    """How long the rows are that `encode` makes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of sentences that are cut: said later
        return Embed(encode).raw(side.read(np.arange(1))[1], f"the {side.name}s").shape[1]


def check_same_model(side: Side, encode: Encode, path: str) -> None:
    """Compare some embeddings with those that an earlier run stored, or store them.

    A function has no fingerprint, so its embeddings tell whether it is the same.

    Args:
        side: The sentences.
        encode: Function from a list of strings to an array [sentences, dim].
        path: File of the stored embeddings.

    Raises:
        ValueError: If the embeddings differ.
    """
    some = some_rows(side)
    embeddings = Embed(encode).unit(side.read(some)[1], f"the {side.name}s")
    if not os.path.exists(path):
        with atomic_file(path, "wb") as file:
            np.save(file, embeddings)
        return
    before = np.load(path)
    same = embeddings.shape == before.shape
    cosine = np.einsum("ij,ij->i", embeddings, before).min() if same else None
    if not same or not cosine >= _SAME_MODEL:
        what = f"cosine {cosine:.4f}" if same else f"{before.shape[1]} dimensions before"
        raise ResumeError(
            f"{os.path.dirname(path)!r} belongs to an interrupted run with another model: the "
            f"embeddings of the {side.name}s differ ({what}). Resume it with the same model, or "
            "remove the directory to start from scratch."
        )


def some_rows(side: Side) -> np.ndarray:
    """Return a few rows of a side, int64, on which models are compared."""
    return np.unique(np.linspace(0, len(side) - 1, _CHECKED).astype(np.int64))


@contextlib.contextmanager
def _summed_warnings(what: str) -> Iterator[None]:
    """What LaBSE.encode warns of, as of sentences that are cut, said once of all calls."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    counts: dict[str, int] = {}
    for message in (str(warning.message) for warning in caught):
        match = _COUNTED.match(message)
        reason = message[match.end() :] if match else message
        counts[reason] = counts.get(reason, 0) + int(match[1].replace(",", "") if match else 1)
    for reason, count in counts.items():
        _log.warning("Of %s %s %s", what, f"{count:,}", reason)
