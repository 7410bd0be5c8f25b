"""labse client: sentences to a TensorFlow Serving, embeddings back."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import sys
from collections.abc import Iterator

import numpy as np

from labse_tf.commands.sentences import HELP, given_sentences
from labse_tf.files.atomic import atomic_file
from labse_tf.files.embeddings import OUTPUT_DTYPES, SUFFIX, EmbeddingFile, check_output
from labse_tf.release.batch_sizes import BATCH_SIZES
from labse_tf.serving.client import (
    CONNECTIONS,
    LOAD_TIMEOUT,
    RETRIES,
    TIMEOUT,
    EmbeddingClient,
)
from labse_tf.serving.templates import GRPC_PORT, NAME, REST_PORT

SAME = 0.03  # between a row and its embedding by another precision or a busier batch


def add_client(commands) -> None:
    """Adds the command to the subparsers of `labse`."""
    parser = commands.add_parser(
        "client",
        help="embed sentences on a TensorFlow Serving",
        description="Prints a JSON array a sentence, or writes them to a NumPy file.",
    )
    parser.add_argument(
        "address",
        metavar="HOST:PORT",
        help=f"gRPC (port {GRPC_PORT} by default); http://HOST:PORT for REST (port {REST_PORT})",
    )
    parser.add_argument("sentences", nargs="+", help=HELP)
    parser.add_argument("--model", default=NAME, help=f"its name there (default: {NAME})")
    parser.add_argument(
        "--version", type=int, help="(default: the newest that is available at the start)"
    )
    parser.add_argument("--output", help="NumPy file to write, [sentences, dim]")
    parser.add_argument(
        "--dtype", choices=OUTPUT_DTYPES, default="float32", help="of OUTPUT (default: float32)"
    )
    parser.add_argument(
        "--resume", action="store_true", help=f"go on with the rows in OUTPUT{SUFFIX}"
    )
    for name, kind, default, text in (
        ("batch-size", int, BATCH_SIZES[-1], "the most sentences in a request"),
        ("timeout", float, TIMEOUT, "seconds for a request"),
        ("retries", int, RETRIES, "how often a request is repeated"),
        ("load-timeout", float, LOAD_TIMEOUT, "seconds for a model that is being loaded"),
        ("connections", int, CONNECTIONS, "the most requests at once"),
    ):
        parser.add_argument(
            f"--{name}", type=kind, default=default, help=f"{text} (default: {default})"
        )
    parser.add_argument("--tls", action="store_true", help="encrypt gRPC")
    parser.set_defaults(run=_client)


def _client(flags: argparse.Namespace) -> None:
    if flags.resume and flags.output is None:
        raise ValueError("--resume goes on with an --output, but there is none.")
    if flags.output is not None:
        check_output(flags.output, flags.resume)
    with EmbeddingClient(
        flags.address,
        model=flags.model,
        version=flags.version,
        batch_size=flags.batch_size,
        timeout=flags.timeout,
        retries=flags.retries,
        connections=flags.connections,
        load_timeout=flags.load_timeout,
        tls=flags.tls,
    ) as client:
        if flags.output is None:
            for rows in client.stream(_sentences(flags)):
                for row in rows:
                    # The shortest decimals that are this float32 again.
                    print(json.dumps([float(str(x)) for x in row]), flush=True)
        else:
            _write(client, flags)


def _sentences(flags: argparse.Namespace) -> Iterator[str]:
    return itertools.chain.from_iterable(map(given_sentences, flags.sentences))


def _write(client: EmbeddingClient, flags: argparse.Namespace) -> None:
    from labse_tf.progress_bars import progress_bar

    sentences = _sentences(flags)
    first = list(itertools.islice(sentences, 1))
    if not first:
        raise ValueError("There are no sentences.")
    if flags.resume:
        _choose_version(client, flags)
    embedding = client.encode(first)
    file = EmbeddingFile(flags.output, embedding.shape[1], flags.dtype, resume=flags.resume)
    try:
        with atomic_file(_version_file(flags)) as record:
            json.dump(_version_of(client), record)
        sentences = itertools.chain(first, sentences)
        if file.rows:
            _pass_over(file, sentences, client)
        with progress_bar(initial=file.rows, unit=" sentences", unit_scale=True) as bar:
            for rows in client.stream(sentences):
                file.append(rows)
                bar.update(len(rows))
        embeddings = file.finish()
    except BaseException:
        if file.rows:
            print(
                f"{file.rows:,} rows are kept in {file.unfinished}: go on with --resume.",
                file=sys.stderr,
            )
        raise
    finally:
        file.close()
        if not os.path.exists(file.unfinished):
            with contextlib.suppress(FileNotFoundError):
                os.remove(_version_file(flags))
    print(f"{flags.output}: {embeddings.dtype} {list(embeddings.shape)}")


def _version_file(flags: argparse.Namespace) -> str:
    """Beside the rows of a run that was interrupted: of which model and version they are."""
    return f"{flags.output}{SUFFIX}.json"


def _version_of(client: EmbeddingClient) -> dict[str, str | int | None]:
    return {"model": client.model, "version": client.version}


def _choose_version(client: EmbeddingClient, flags: argparse.Namespace) -> None:
    """Has the client go on with the version of the rows that there are, if it was recorded.

    Raises:
        ValueError: another model or version was asked for, or the record is damaged.
    """
    path = _version_file(flags)
    try:
        with open(path, encoding="utf-8") as file:
            recorded = json.load(file)
        model, version = recorded["model"], recorded["version"]
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path!r} is damaged: remove it if you know the version.") from error
    if model != client.model or client.version not in (None, version):
        raise ValueError(
            f"{flags.output + SUFFIX!r} cannot be resumed: its rows are of model {model!r} version "
            f"{version}, not of {client.model!r} version {client.version}."
        )
    client.version = version


def _pass_over(file: EmbeddingFile, sentences: Iterator[str], client: EmbeddingClient) -> None:
    """Skips the sentences that have rows, if the first and the last of those are theirs."""
    passed = list(itertools.islice(sentences, 1)) * 2
    count = 1
    for passed[1] in itertools.islice(sentences, file.rows - 1):
        count += 1
    if count < file.rows:
        raise ValueError(
            f"{file.unfinished!r} cannot be resumed: it has {file.rows:,} rows, but there are only "
            f"{count:,} sentences."
        )
    for row, embedding in zip((0, file.rows - 1), client.encode(passed), strict=True):
        # Not `> SAME`: a NaN is no embedding either.
        if not np.linalg.norm(file.read(row).astype(np.float32) - embedding) <= SAME:
            raise ValueError(
                f"{file.unfinished!r} cannot be resumed: row {row} is not this model's embedding "
                f"of sentence {row}. Remove the file to start anew."
            )
