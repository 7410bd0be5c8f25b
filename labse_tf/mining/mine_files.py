"""mine_files: the pairs of two files, to a file; what `labse mine` does."""

from __future__ import annotations

import dataclasses
import os
import secrets
import time
from typing import Any

from labse_tf.files.checksums import checksum
from labse_tf.files.lines import STDIN, read_lines
from labse_tf.mining.gold import ranked, read_gold
from labse_tf.mining.models import Model, encoder_of
from labse_tf.mining.options import MiningOptions
from labse_tf.mining.output import check_output, write_pairs
from labse_tf.mining.report.write import check_report, write_report
from labse_tf.mining.run import Input, Mined, mine_pairs, read_sides
from labse_tf.mining.sides import check_filters
from labse_tf.mining.work_directory import SUFFIX, work_directory
from labse_tf.version import __version__

# Options that concern only what is done with the neighbours, when all that takes long is done.
_AFTER = (
    "strategy margin min_score max_score keep_best deduplicate_pairs deduplicate_targets "
    "drop_copies max_ratio ratio_smoothing memory"
).split()


def mine_files(
    source: str | os.PathLike,
    target: str | os.PathLike,
    output: str | os.PathLike,
    model: Model = None,
    options: MiningOptions | None = None,
    *,
    source_embeddings: str | os.PathLike | None = None,
    target_embeddings: str | os.PathLike | None = None,
    gold: str | os.PathLike | None = None,
    report: str | os.PathLike | None = None,
    errors: str = "strict",
    overwrite: bool = False,
    command: str = "",
    load_options: dict[str, Any] | None = None,
    encode_options: dict[str, Any] | None = None,
    show_progress: bool | None = None,
) -> dict[str, Any]:
    """Mines the pairs of two files and writes them, `score TAB source TAB target`, best first.

    Embeddings and neighbours are kept in `OUTPUT.mining` until the output is there; a run that was
    interrupted goes on from them when it is started again as before. Only options that choose among
    the pairs (thresholds, strategy...) may be others then.

    Args:
        source: a sentence a line, or id TAB sentence; plain or .gz; a pipe, or "-".
        target: the same of the other language.
        output: TSV, gzip if its name ends in `.gz`; the metadata are beside it, see
            `labse_tf.mining.output.write_pairs`.
        model: An `Embedder`, the path of a model, or a function; None for the model that comes with
            labse_tf. Not needed where all embeddings are given; if given, they are compared with
            its own.
        options: what is a pair, which stay, and how they are searched for.
        source_embeddings: .npy, float32 or float16, a row for each line of `source`.
        target_embeddings: the same of `target`.
        gold: id TAB id of the pairs that are right, to measure with.
        report: a directory to write a report to.
        errors: of invalid UTF-8: "strict", or "replace" by U+FFFD.
        overwrite: whether to replace the output and the report.
        command: for the report.
        load_options: of `labse_tf.load`.
        encode_options: of `Embedder.encode`.
        show_progress: whether to draw progress bars on stderr; None: if it is a terminal.

    Returns:
        Counts of lines, sentences, pairs, of what was dropped; seconds; with `gold` best F1,
        threshold, precision and recall of all pairs.

    Raises:
        FileExistsError: the output or the report exists, and `overwrite` is False.
        ImportError: languages are to be identified, but the extra `preparation` is not installed.
        OSError: a file cannot be read or written, or another process mines to this output.
        ValueError: as `labse_tf.mine`; or what an interrupted run left is of other inputs.
    """
    options, begin = options or MiningOptions(), time.monotonic()
    check_filters(options)
    check_inputs([source, target], [source_embeddings, target_embeddings, gold])
    check_output(output, overwrite)
    if report is not None:
        check_report(report, overwrite)
    encode, fingerprint = None, ""
    if source_embeddings is None or target_embeddings is None or model is not None:
        encode, fingerprint = encoder_of(model, load_options, **(encode_options or {}))
    settings = {
        "version": __version__,
        "source": _identity(source),
        "target": _identity(target),
        "source embeddings": _identity(source_embeddings),
        "target embeddings": _identity(target_embeddings),
        "model": fingerprint,
        **_settings_of_model(load_options, encode_options),
        "errors": errors,
        **_kept_options(options),
    }
    with work_directory(os.fspath(output) + SUFFIX, settings) as folder:
        check_output(output, overwrite)  # A run that held the lock until now may have written it.
        inputs = [
            Input(read_lines(path, errors), os.fspath(path), embeddings)
            for path, embeddings in ((source, source_embeddings), (target, target_embeddings))
        ]
        sides = read_sides(*inputs, folder, options)
        known = None if gold is None else read_gold(gold, *sides)
        found = mine_pairs(*inputs, folder, encode, options, show_progress)
        measured = None if known is None else ranked(found.pairs, *found.sides, known)
        facts = _facts(found, time.monotonic() - begin)
        if measured is not None and len(measured.scores):
            threshold, best = measured.best()
            facts["gold"] = {
                "best F1": best,
                "best threshold": threshold,
                "at the best": measured.at(threshold),
                "all pairs": measured.at(float(measured.scores[-1])),
            }
        if report is not None:
            write_report(report, found, measured, facts, options, command, overwrite)
        check_output(output, overwrite)
        write_pairs(output, found.pairs, found.cosines, *found.sides)
    return facts


def check_inputs(inputs: list[str | os.PathLike], others: list[str | os.PathLike | None]) -> None:
    """Says what is wrong with files before a model is read.

    Raises:
        FileNotFoundError, IsADirectoryError: a file is not there.
        ValueError: both inputs are the same.
    """
    for path in (*inputs, *(other for other in others if other is not None)):
        path = os.fspath(path)
        if path == STDIN:
            continue
        if not os.path.exists(path):
            raise FileNotFoundError(f"There is no file {path!r}.")
        if os.path.isdir(path):
            raise IsADirectoryError(f"{path!r} is a directory; give its files.")
    first, second = map(os.fspath, inputs)
    same = first == second or (STDIN not in (first, second) and os.path.samefile(first, second))
    if same or (_identity(first) == _identity(second)):
        raise ValueError(
            f"Both sides, {first!r} and {second!r}, are the same text: each sentence would be its "
            "own translation. Give one file of each language."
        )


def _identity(path: str | os.PathLike | None) -> str:
    """The checksum of a file; of a pipe, which is read once, something that is never the same."""
    if path is None:
        return ""
    return checksum(path) if os.path.isfile(path) else f"a pipe, {secrets.token_hex(8)}"


def _settings_of_model(
    load_options: dict[str, Any] | None, encode_options: dict[str, Any] | None
) -> dict[str, Any]:
    """The options that change embeddings, such as the precision."""
    given = {**(load_options or {}), **(encode_options or {})}
    return {name: value for name, value in given.items() if name != "batch_tokens"}


def _kept_options(options: MiningOptions) -> dict[str, Any]:
    """The options that concern what is kept in the directory of a run."""
    kept = {n: value for n, value in dataclasses.asdict(options).items() if n not in _AFTER}
    return kept | {"margin needs no neighbours": options.margin == "absolute"}


def _facts(found: Mined, seconds: float) -> dict[str, Any]:
    facts: dict[str, Any] = {"version": __version__, "seconds": seconds}
    for side in found.sides:
        facts[side.name] = {
            "lines": side.lines,
            "dropped": side.dropped,
            "copies": len(side.copies) - len(side),
            "sentences": len(side),
        }
    return facts | {"candidates dropped": found.dropped, "pairs": len(found.pairs)}
