"""What command lines share: flags of dataclasses, of models and of dtypes; how a program ends."""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
import sys
import traceback
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from labse_tf.models import NAME
from labse_tf.release.weights_dtypes import WEIGHTS_DTYPES
from labse_tf.training.preemption import Preempted

_PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODEL_HELP = (
    "directory of a release; or of a TF-Hub, Hugging Face or Model Garden model, an archive, a "
    f"handle of TF-Hub or Kaggle, the name of a repository; or {NAME}, which comes with labse_tf"
)


def add_flags(
    parser: argparse.ArgumentParser,
    dataclass: type,
    preset: Any = None,
    without: Collection[str] = (),
    others: Mapping[str, Any] | None = None,
) -> None:
    """Adds a flag for each field of a dataclass: its name, type, help and default.

    So that every default stands in one place, the dataclass.

    Args:
        parser: is added to.
        dataclass: its fields' `metadata["help"]` explain the flags.
        preset: an instance whose values are the defaults instead of the dataclass' own. A flag
            that is not given is None then, so that `from_flags` can tell what was.
        without: fields that have no flag.
        others: instances whose values are said beside the defaults, by what they are called.
    """
    types = typing.get_type_hints(dataclass)
    for field in dataclasses.fields(dataclass):
        if field.name in without:
            continue
        default = getattr(preset, field.name) if preset is not None else field.default
        values = {"default": default}
        values |= {name: getattr(other, field.name) for name, other in (others or {}).items()}
        said = "; ".join(f"{name}: {value}" for name, value in values.items())
        text = f"{field.metadata.get('help', '')} ({said})".strip().replace("%", "%%")
        options: dict[str, Any] = {
            "dest": field.name,
            "default": None if preset is not None else default,
            "help": text,
        }
        if types[field.name] in (bool, bool | None):
            options["action"] = argparse.BooleanOptionalAction
        else:
            options["type"] = types[field.name]
            options["metavar"] = types[field.name].__name__.upper()
        parser.add_argument(f"--{field.name.replace('_', '-')}", **options)


def from_flags(flags: argparse.Namespace, dataclass: type) -> dict[str, Any]:
    """The values that were given for the fields of a dataclass; None ones are left out."""
    values = {f.name: getattr(flags, f.name, None) for f in dataclasses.fields(dataclass)}
    return {name: value for name, value in values.items() if value is not None}


def add_model_flag(parser: argparse.ArgumentParser) -> None:
    """Adds `--model`, the model that a command embeds with."""
    parser.add_argument("--model", default=NAME, help=f"{MODEL_HELP} (default: {NAME})")


def add_embedding_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of how a command embeds."""
    parser.add_argument("--batch-tokens", type=int, help="the most tokens embedded at a time")
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16", "int8", "auto"),
        default="float32",
        help="Precision to embed in. bfloat16 is up to twice as fast as float32 on CPUs with "
        "instructions for it. int8 needs --backend openvino; with a model that `labse quantize` "
        "prepared it is 1.7 to 1.9 times as fast as bfloat16, with others it can be slower. auto "
        "chooses the fastest one by the CPU's instructions (default: float32).",
    )
    parser.add_argument(
        "--backend",
        choices=("tensorflow", "openvino"),
        default="tensorflow",
        help="openvino is faster on most CPUs, and starts in a second (default: tensorflow)",
    )


def encode_options(flags: argparse.Namespace) -> dict[str, int]:
    """Return the options of `encode` that were given, by their names."""
    return {} if flags.batch_tokens is None else {"batch_tokens": flags.batch_tokens}


def add_dtype_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of a release's dtypes; `given_dtypes` reads them."""
    parser.add_argument(
        "--weights-dtype",
        choices=WEIGHTS_DTYPES,
        help="half precision stores a release in half the space, int8 its word embeddings in a "
        "quarter (default: as the model's source, or that of --compute-dtype if the source is in "
        "float32)",
    )
    parser.add_argument(
        "--compute-dtype",
        choices=("float32", "bfloat16"),
        help="what the release computes in; its outputs are float32 (default: float32)",
    )


def given_dtypes(flags: argparse.Namespace) -> dict[str, str]:
    """The dtypes that were given, by the names of `LaBSE.save`'s arguments."""
    given = {name: getattr(flags, name) for name in ("weights_dtype", "compute_dtype")}
    return {name: dtype for name, dtype in given.items() if dtype is not None}


def run_program(
    main: Callable[[Sequence[str] | None], None], arguments: Sequence[str] | None = None
) -> None:
    """Runs a program; what a user did wrong is one line on stderr and exit status 2.

    A run that SIGTERM ended has status 75, EX_TEMPFAIL of <sysexits.h>: it is not finished, and
    goes on when it is started again.

    With the environment variable LABSE_TRACEBACK the error's traceback comes before it. An error
    that was not raised on purpose, such as a TypeError inside of labse_tf, names this variable. If
    stdout is closed (`| head -1`), the program exits quietly with status 141.

    Args:
        main: the program.
        arguments: of its command line; None for those of the process.
    """
    try:
        main(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still in the buffer goes nowhere, or its flush at the end would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except (OSError, ValueError, TypeError, FloatingPointError, MemoryError, ImportError) as error:
        if os.environ.get("LABSE_TRACEBACK"):
            traceback.print_exc()
        message = f"error: {error}"
        if isinstance(error, (TypeError, ValueError)) and not _is_raised_here(error):
            message += (
                f" ({type(error).__name__}, which may be a bug in labse_tf: LABSE_TRACEBACK=1 in "
                "the environment shows its traceback)"
            )
        print(message, file=sys.stderr)
        sys.exit(2)
    except Preempted as end:
        print(end, file=sys.stderr)
        sys.exit(os.EX_TEMPFAIL)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def _is_raised_here(error: BaseException) -> bool:
    """Return whether a `raise` statement of this project raised an error, not what it calls."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    file_name = os.path.relpath(frame.filename, _PROJECT)
    is_of_project = file_name.split(os.sep)[0] in ("labse_tf", "training", "export", "tests")
    return is_of_project and (frame.line or "").startswith("raise")
