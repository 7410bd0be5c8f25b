"""labse client: sentences to a TensorFlow Serving, embeddings back."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterator

import numpy as np

from labse_tf.commands.sentences import HELP, given_sentences
from labse_tf.files.embeddings import (
    OUTPUT_DTYPES,
    SUFFIX,
    EmbeddingFile,
    check_output,
    stored_settings,
)
from labse_tf.files.journals import ResumeError, check_settings
from labse_tf.files.lines import read_lines
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
        "--resume", action="store_true", help=f"continue after the rows in OUTPUT{SUFFIX}"
    )
    for name, kind, default, text in (
        ("batch-size", int, BATCH_SIZES[-1], "the most sentences in a request"),
        ("timeout", float, TIMEOUT, "seconds for a request"),
        ("retries", int, RETRIES, "how often a request is repeated"),
        (
            "load-timeout",
            float,
            LOAD_TIMEOUT,
            "seconds to wait for a model that is being loaded, or a server that is restarted",
        ),
        ("connections", int, CONNECTIONS, "the most requests at once"),
    ):
        parser.add_argument(
            f"--{name}", type=kind, default=default, help=f"{text} (default: {default})"
        )
    parser.add_argument(
        "--tls", action="store_true", help="encrypt gRPC (for REST, write https://HOST:PORT)"
    )
    parser.add_argument(
        "--header",
        action="append",
        default=[],
        metavar="NAME:VALUE",
        help="HTTP header or gRPC metadata of every request, such as a login; @FILE for the lines "
        "of a file, so that a password is in no list of processes; may be repeated",
    )
    parser.set_defaults(run=_client)


def _client(flags: argparse.Namespace) -> None:
    if flags.resume and flags.output is None:
        raise ValueError("--resume continues an --output, but none is given.")
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
        headers=_headers(flags.header),
    ) as client:
        if flags.output is None:
            for rows in client.stream(_sentences(flags)):
                for row in rows:
                    # The shortest decimals that are this float32 again.
                    print(json.dumps([float(str(x)) for x in row]), flush=True)
        else:
            _write(client, flags)


def _headers(arguments: list[str]) -> dict[str, str]:
    lines = itertools.chain.from_iterable(
        read_lines(argument[1:]) if argument.startswith("@") else [argument]
        for argument in arguments
    )
    headers = {}
    for line in filter(str.strip, lines):
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise ValueError("--header must be NAME:VALUE, or @FILE with such lines.")
        headers[name.strip()] = value.strip()
    return headers


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
    file = EmbeddingFile(
        flags.output,
        embedding.shape[1],
        flags.dtype,
        resume=flags.resume,
        settings=_settings_of(client),
    )
    try:
        sentences = file.watch(itertools.chain(first, sentences))
        if file.rows:
            _skip_embedded(file, sentences, client)
        with progress_bar(initial=file.rows, unit=" sentences", unit_scale=True) as bar:
            for rows in client.stream(sentences):
                file.append(rows)
                bar.update(len(rows))
        embeddings = file.finish()
    except ResumeError:
        raise
    except BaseException:
        if file.rows:
            print(
                f"{file.rows:,} rows are kept in {file.unfinished}: resume with --resume.",
                file=sys.stderr,
            )
        raise
    finally:
        file.close()
    print(f"{flags.output}: {embeddings.dtype} {list(embeddings.shape)}")


def _settings_of(client: EmbeddingClient) -> dict[str, str | int | None]:
    return {"model": client.model, "version": client.version}


def _choose_version(client: EmbeddingClient, flags: argparse.Namespace) -> None:
    """Have the client continue with the version of the interrupted run, unless one was given."""
    settings = stored_settings(flags.output)
    if settings is not None and client.version is None:
        client.version = settings.get("version")
    if settings is not None:  # before a request is sent
        check_settings(flags.output + SUFFIX, settings, _settings_of(client))


def _skip_embedded(file: EmbeddingFile, sentences: Iterator[str], client: EmbeddingClient) -> None:
    """Skip the sentences that have rows, if the first and the last of the rows are theirs."""
    ends = file.skip(sentences)
    for row, embedding in zip((0, file.rows - 1), client.encode(ends), strict=True):
        # Not `> SAME`: a NaN is no embedding either.
        if not np.linalg.norm(file.read(row).astype(np.float32) - embedding) <= SAME:
            raise ResumeError(
                f"{file.unfinished!r} cannot be resumed: row {row} is not this model's embedding "
                f"of sentence {row}. Remove it to start from scratch."
            )
