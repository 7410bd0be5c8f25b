"""labse encode: the sentences of files, or of standard input, to a .npy file."""

from __future__ import annotations

import argparse
import itertools
import os
import re
import sys
from collections.abc import Iterator

from labse_tf.commands.flags import add_embedding_flags, add_model_flag, encode_options
from labse_tf.files.embeddings import OUTPUT_DTYPES, SUFFIX, check_output, rows_kept
from labse_tf.files.journals import ResumeError
from labse_tf.files.lines import ERRORS, STDIN, count_lines, read_lines
from labse_tf.files.sentences import read_column, read_field

_COLUMNS = re.compile(r"\.(tsv|jsonl)(\.gz)?$", re.IGNORECASE)


def add_encode(commands) -> None:
    """Adds the command to the subparsers of `labse`."""
    parser = commands.add_parser("encode", help="embed the sentences of files")
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="UTF-8, a sentence a line, plain or .gz; or a pipe; - for standard input",
    )
    add_model_flag(parser)
    parser.add_argument(
        "--output", required=True, help="NumPy file to write, [sentences, dim]; rows are appended "
        f"to OUTPUT{SUFFIX} until it is whole",
    )  # fmt: skip
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--column", type=int, help="of tab-separated files, from 1")
    which.add_argument("--field", help="of JSONL files, the key of the sentence")
    parser.add_argument(
        "--errors", choices=ERRORS, default="strict", help="of invalid UTF-8 (default: strict)"
    )
    parser.add_argument(
        "--dtype", choices=OUTPUT_DTYPES, default="float32", help="of the output (default: float32)"
    )
    parser.add_argument(
        "--resume", action="store_true", help=f"continue after the rows in OUTPUT{SUFFIX}"
    )
    parser.add_argument(
        "--deduplicate",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="embed equal sentences once (default: --deduplicate)",
    )
    parser.add_argument(
        "--long",
        choices=("cut", "mean"),
        default="cut",
        help="what becomes of sentences longer than the model reads: they are cut, or embedded in "
        "parts, whose mean is taken (default: cut)",
    )
    prompt = parser.add_mutually_exclusive_group()
    prompt.add_argument("--prompt", help="text to put before each sentence, such as 'query: '")
    prompt.add_argument(
        "--prompt-name",
        help="name of one of the model's own prompts (default: the model's default prompt, if any)",
    )
    add_embedding_flags(parser)
    parser.set_defaults(run=_encode)


def _encode(flags: argparse.Namespace) -> None:
    for path in flags.files:  # before seconds are spent on TensorFlow and the model
        if path != STDIN and not os.path.exists(path):
            raise FileNotFoundError(f"There is no file {path!r}.")
        if os.path.isdir(path):
            raise IsADirectoryError(f"{path!r} is a directory; give its files.")
        if (found := _COLUMNS.search(path)) and flags.column is None and flags.field is None:
            which = "--column" if found[1].lower() == "tsv" else "--field"
            raise ValueError(f"{path!r}: say with {which} where its sentences are.")
    check_output(flags.output, flags.resume)
    import labse_tf
    from labse_tf.progress_bars import is_watched

    model = labse_tf.load(flags.model, precision=flags.precision, backend=flags.backend)
    options = encode_options(flags)
    total = None
    if is_watched(sys.stderr) and all(map(os.path.isfile, flags.files)):  # a pipe is read once
        total = sum(map(count_lines, flags.files))
    try:
        embeddings = model.encode(
            _sentences(flags),
            total=total,
            output=flags.output,
            output_dtype=flags.dtype,
            resume=flags.resume,
            deduplicate=flags.deduplicate,
            long=flags.long,
            prompt=flags.prompt,
            prompt_name=flags.prompt_name,
            **options,
        )
    except (ResumeError, BlockingIOError):  # the rows cannot be resumed by this command
        raise
    except BaseException:
        if rows := rows_kept(flags.output):
            unfinished = flags.output + SUFFIX
            print(f"{rows:,} rows are kept in {unfinished}: resume with --resume.", file=sys.stderr)
        raise
    print(f"{flags.output}: {embeddings.dtype} {list(embeddings.shape)}")


def _sentences(flags: argparse.Namespace) -> Iterator[str]:
    def read(path: str) -> Iterator[str]:
        if flags.column is not None:
            return read_column(path, flags.column, flags.errors)
        if flags.field is not None:
            return read_field(path, flags.field, flags.errors)
        return read_lines(path, flags.errors)

    return itertools.chain.from_iterable(map(read, flags.files))
