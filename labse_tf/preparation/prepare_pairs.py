"""prepare_pairs: raw translation pairs -> filtered shards to train on, and their counts."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

from labse_tf.files.atomic import atomic_directory
from labse_tf.files.checksums import checksum
from labse_tf.inference.embedder import Embedder
from labse_tf.preparation.filters import (
    Filter,
    Pair,
    at_most,
    cleaned,
    known_scripts,
    not_empty,
    not_identical,
    not_in,
    not_seen,
    of_length,
    of_ratio,
    of_scripts,
    read_leakage_keys,
)
from labse_tf.preparation.identification import known_labels, of_languages
from labse_tf.preparation.inputs import Input, find_inputs
from labse_tf.preparation.options import ANY_SCORE, PreparationOptions
from labse_tf.preparation.raw_pairs import read_raw_pairs
from labse_tf.preparation.scoring import best_share, of_score
from labse_tf.preparation.shards import ShardWriter
from labse_tf.progress_bars import ProgressBar, progress_bar
from labse_tf.version import __version__

COUNTS = "counts.json"


def prepare_pairs(
    files: Sequence[str | os.PathLike],
    output: str | os.PathLike,
    options: PreparationOptions | None = None,
    *,
    exclude: Sequence[str | os.PathLike] = (),
    model: Embedder | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Filters translation pairs and writes them as shards that `labse_tf.read_pairs` reads.

    A pair is dropped by the first of these that it does not pass: a side is empty; the sides are
    identical; length; length ratio; language, by script and, if asked, by an identifier; a side is
    in a file of `exclude`; an equal pair came before; its source or target is in as many pairs as
    allowed; score. The paper (arXiv 2007.01852, section 3.1) filters mined pairs with a scoring
    model, contrastive data selection, at a threshold where annotators call 80% of what remains good
    translations. Here the score is the cosine of the sides' embeddings by an earlier LaBSE.

    Files are read once, in blocks of 8,192 pairs; with `keep_best`, what passes the other filters
    is stored on disk until all of it is scored. Memory grows with the hashes of one language pair's
    pairs, about 100 bytes each, and of its sources and targets, if those are limited.

    Args:
        files: pairs, TSV or TFRecord, plain or gzip (see `labse_tf.data.pair_files`); shards of one
            name are one file, and empty ones are left out with a warning. The order given does not
            matter. Columns of TSV after the second and other features of TFRecord are dropped.
        output: the directory to write, whole or not at all: shards and counts.json.
        options: which pairs stay, and how they are written.
        exclude: test sentences, text or pairs: pairs that hold one, on either side, are dropped.
            Case, punctuation and spaces do not count (`labse_tf.data.duplicates.leakage_keys`).
        model: scores the pairs, for `min_score` or `keep_best`.
        overwrite: whether to replace what this function wrote to `output` before.

    Returns:
        What counts.json holds: version, options, and for each file the SHA-256 of its inputs, its
        languages, the pairs read, dropped by each filter and kept, and each shard's pairs.

    Raises:
        FileExistsError: `output` exists, and `overwrite` is False or it is something else.
        FileNotFoundError: a file does not exist.
        ImportError: languages are to be identified, but the extra `preparation` is not installed.
        OSError: the output cannot be written.
        ValueError: a file is damaged, empty or holds something else than pairs (`file:line:`); two
            files' shards would have the same names; a model is missing, or not used; or no pair
            is left.

    Example:
        >>> options = PreparationOptions(shards=4)
        >>> counts = prepare_pairs(["deu-eng.tsv.gz"], "train", options, exclude=["test.txt"])
        >>> counts["files"][0]["kept"]
        170042
    """
    options = options or PreparationOptions()
    inputs = find_inputs(files, options)
    _check(output, overwrite, [*itertools.chain(*(i.paths for i in inputs)), *exclude])
    if options.scores != (model is not None):
        raise ValueError(
            "`min_score` and `keep_best` need a `model` that scores the pairs."
            if model is None
            else "A `model` was given, but neither `min_score` nor `keep_best`: which scores stay?"
        )
    counts: dict[str, Any] = {
        "version": __version__,
        "options": dataclasses.asdict(options),
        "model": None if model is None else model.fingerprint(),
        "exclude": {os.fspath(path): checksum(path) for path in exclude},
        "files": [],
    }
    excluded = read_leakage_keys(exclude)
    with atomic_directory(output) as folder, progress_bar(unit=" pairs") as bar:
        for languages, group in itertools.groupby(inputs, key=lambda i: i.languages):
            filters = _filters(options, languages, excluded, model)
            for file in group:
                bar.set_description(file.name)
                counts["files"].append(_prepare(file, folder, options, filters, model, bar))
        if not any(file["kept"] for file in counts["files"]):
            raise ValueError(f"No pair is left. {_dropped(counts)} Loosen what drops them.")
        with open(os.path.join(folder, COUNTS), "w", encoding="utf-8") as file:
            json.dump(counts, file, indent=1, ensure_ascii=False)
            file.write("\n")
    return counts


def _check(output: str | os.PathLike, overwrite: bool, read: list[str | os.PathLike]) -> None:
    """Refuses to write where something else is, or where something is read."""
    if not os.path.lexists(output):
        return
    path = os.fspath(output)
    if not overwrite:
        raise FileExistsError(f"{path!r} exists. Choose another path, or overwrite it.")
    if not os.path.isfile(os.path.join(path, COUNTS)):
        raise FileExistsError(
            f"{path!r} has no {COUNTS}: it is not an earlier output, and is not overwritten. "
            "Remove it yourself, or choose another path."
        )
    inside = os.path.realpath(path)
    for file in read:
        if os.path.commonpath([inside, os.path.realpath(file)]) == inside:
            raise ValueError(f"{os.fspath(file)!r} is in {path!r}, which would be overwritten.")
    if foreign := _foreign_files(path):
        raise FileExistsError(
            f"{os.path.join(path, foreign[0])!r} is not part of the earlier output, and would be "
            f"removed with {path!r}. Move it, or choose another path."
        )


def _foreign_files(path: str) -> list[str]:
    """Return the names in an earlier output that its counts do not mention."""
    with open(os.path.join(path, COUNTS), encoding="utf-8") as file:
        try:
            known = {name for written in json.load(file)["files"] for name in written["shards"]}
        except (ValueError, KeyError, TypeError):  # another program's counts.json
            return [COUNTS]
    return sorted({*os.listdir(path)} - {COUNTS, *known})


def _filters(
    options: PreparationOptions,
    languages: tuple[str, str],
    excluded: set[str],
    model: Embedder | None,
) -> dict[str, Filter]:
    """The filters of one language pair, in the order in which they are applied."""
    filters: dict[str, Filter] = {
        "empty": not_empty,
        "identical": not_identical,
        "length": of_length(options.min_length, options.max_length),
        "ratio": of_ratio(options.max_ratio, options.ratio_smoothing),
    }
    if options.min_script_share:
        scripts = [known_scripts(language) for language in languages]
        filters["language"] = of_scripts(scripts, options.min_script_share)
    if options.language_filter == "identified":
        labels = [known_labels(language) for language in languages]
        filters["identification"] = of_languages(labels, options.language_odds)
    if excluded:
        filters["excluded"] = not_in(excluded)
    # After the exclusion, so that what is excluded does not count as a sentence's first pair.
    if options.deduplicate:
        filters["duplicate"] = not_seen()
    if options.max_per_source or options.max_per_target:
        filters["repeated"] = at_most(options.max_per_source, options.max_per_target)
    if model is not None and options.min_score > ANY_SCORE:
        filters["score"] = of_score(model, options.min_score)
    return filters


def _prepare(
    file: Input,
    folder: str,
    options: PreparationOptions,
    filters: dict[str, Filter],
    model: Embedder | None,
    bar: ProgressBar,
) -> dict[str, Any]:
    read, dropped = 0, dict.fromkeys(filters, 0)

    def passing() -> Iterator[list[Pair]]:
        nonlocal read
        for block in itertools.chain.from_iterable(map(read_raw_pairs, file.paths)):
            read += len(block)
            bar.update(len(block))
            block = [tuple(cleaned(x, options.nfc) for x in pair) for pair in block]
            for name, keep in filters.items():
                kept = list(itertools.compress(block, keep(block)))
                dropped[name] += len(block) - len(kept)
                block = kept
            if block:
                yield block

    blocks = passing()
    if options.keep_best < 1:
        spool = os.path.join(folder, "scored.unfinished")
        blocks = best_share(blocks, model, options.keep_best, spool, dropped)
    with ShardWriter(
        folder,
        file.name,
        options.shards,
        file_format=options.format,
        compress=options.compress,
        seed=options.seed,
    ) as writer:
        for block in blocks:
            writer.write(block)
    known = {"scripts": known_scripts}
    if options.language_filter == "identified":
        known["identified"] = known_labels
    return {
        "name": file.name,
        "inputs": {path: checksum(path) for path in file.paths},
        "languages": list(file.languages),
        **{
            name: [found and sorted(found) for found in map(find, file.languages)]
            for name, find in known.items()
        },
        "read": read,
        "dropped": dropped,
        "kept": sum(writer.counts.values()),
        "shards": writer.counts,
    }


def _dropped(counts: dict[str, Any]) -> str:
    read = sum(file["read"] for file in counts["files"])
    filters = list(counts["files"][0]["dropped"])
    sums = ((name, sum(file["dropped"][name] for file in counts["files"])) for name in filters)
    return f"Of {read:,} were dropped: " + ", ".join(f"{name} {n:,}" for name, n in sums if n) + "."
