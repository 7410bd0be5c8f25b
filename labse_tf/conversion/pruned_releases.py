"""Pruning from release to release, and what came of it: labse prune."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence

from labse_tf.conversion.corpora import check_corpus
from labse_tf.conversion.formats import describe_cosines
from labse_tf.data.texts import read_sentences
from labse_tf.encoder.pruning import changed_tokens, count_usage, prune
from labse_tf.files.lines import STDIN, read_lines
from labse_tf.inference.loading import load
from labse_tf.models import named
from labse_tf.progress_bars import progress_bar
from labse_tf.release.saved_model import size_on_disk
from labse_tf.tokenization.scripts import scripts_of


def prune_release(
    source: str | os.PathLike,
    destination: str | os.PathLike,
    corpus: Sequence[str | os.PathLike],
    *,
    min_count: int = 1,
    keep_file: str | os.PathLike | None = None,
    languages: Sequence[str] = (),
    **dtypes: str,
) -> list[str]:
    """Writes a release of a model with the word pieces that a corpus uses.

    Args:
        source: whatever `labse_tf.load` reads.
        destination: the directory to write; it must not exist.
        corpus: files of sentences or of translation pairs, or pipes, or "-" for standard input. It
            is read twice: what comes through a pipe is copied to a temporary file meanwhile.
        min_count: how often a piece must occur.
        keep_file: pieces that stay in any case, one a line.
        languages: ISO codes; pieces whose letters are of these languages' scripts stay.
        dtypes: `weights_dtype` of the release, by default that of the source, and `compute_dtype`,
            see `labse_tf.release.saved_model.write_release`.

    Returns:
        The lines of a table: before and after, and how many tokens of the corpus change; and what
        the dtypes cost.

    Raises:
        FileExistsError: `destination` exists.
        FileNotFoundError, OSError: a file cannot be read or written.
        ValueError: a file or an argument is not what it should be.
    """
    if min_count < 1:
        raise ValueError(f"`min_count` (={min_count}) must be at least 1.")
    if os.path.lexists(destination):
        raise FileExistsError(f"{os.fspath(destination)!r} exists. Choose another path.")
    corpus = check_corpus(corpus)
    scripts = set().union(*map(scripts_of, languages))
    model = load(source)
    keep = _pieces(keep_file, set(model.preprocessor.tokens)) if keep_file else ()
    with _readable_twice(corpus) as files:
        usage = count_usage(model.preprocessor, _sentences(files, "counting"))
        kept = prune(
            model.preprocessor,
            model.encoder,
            usage,
            min_count=min_count,
            keep=keep,
            scripts=scripts,
        )
        pruned = model.with_parts(*kept)
        total, changed = changed_tokens(
            model.preprocessor,
            pruned.preprocessor,
            _sentences(files, "comparing", usage.sentences),
        )
    pruned.save(destination, **dtypes)

    def row(name: str, before: float, after: float, form: str) -> str:
        return f"{name:18}{before:>16{form}}{after:>16{form}}{after / before:>9.1%}"

    lines = [f"{'':18}{'before':>16}{'after':>16}"]
    lines.append(
        row("word pieces", model.preprocessor.vocab_size, pruned.preprocessor.vocab_size, ",")
    )
    lines.append(row("weights", model.encoder.count_params(), pruned.encoder.count_params(), ","))
    if os.path.exists(named(source)):
        sizes = (size_on_disk(path) / 1e6 for path in (named(source), destination))
        lines.append(row("MB on disk", *sizes, ",.1f"))
    lines.append(
        f"{changed:,} of the {total:,} tokens of {usage.sentences:,} sentences change "
        f"({changed / max(total, 1):.2%})"
    )
    if dtypes:
        lines.append(describe_cosines(pruned, **dtypes))
    return lines


@contextlib.contextmanager
def _readable_twice(corpus: Sequence[str | os.PathLike]) -> Iterator[list[tuple[str, str]]]:
    """Each path of a corpus with the file to read: its own, or a temporary copy of a pipe."""
    with tempfile.TemporaryDirectory(prefix="labse_tf-") as directory:
        files = []
        for number, path in enumerate(map(os.fspath, corpus)):
            file = path
            if not os.path.isfile(path):
                # With its own ending, which says what it holds.
                file = os.path.join(directory, f"{number}-{os.path.basename(path)}")
                source = sys.stdin.fileno() if path == STDIN else path
                with (
                    open(source, "rb", closefd=path != STDIN) as pipe,
                    open(file, "wb") as copy,
                ):
                    shutil.copyfileobj(pipe, copy)
            files.append((path, file))
        yield files


def _sentences(
    files: Sequence[tuple[str, str]], what: str, total: int | None = None
) -> Iterator[str]:
    """The sentences of all files, with a progress bar for who watches."""
    with progress_bar(desc=what, total=total, unit=" sentences") as bar:
        for path, file in files:
            try:
                for sentence in read_sentences(file):
                    bar.update()
                    yield sentence
            except ValueError as error:
                raise ValueError(str(error).replace(file, path)) from error


def _pieces(keep_file: str | os.PathLike, known: set[str]) -> list[str]:
    pieces = list(read_lines(keep_file))
    for number, piece in enumerate(pieces, start=1):
        if piece not in known:
            raise ValueError(
                f"{os.fspath(keep_file)}:{number}: {piece!r} is not in the vocabulary of the model."
            )
    return pieces
