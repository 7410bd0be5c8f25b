"""A model for LiteRT (TensorFlow Lite), which runs on phones and other small machines.

A directory with `model.tflite`, whose one signature is the `token_ids` of a release: the three
int32 tensors in, unit rows out, by LiteRT's own ops alone. Beside it are the files of the
tokenizer. Or strings are its input, by ops of TensorFlow Text.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from labse_tf.encoder.encoder import INPUTS, Encoder
from labse_tf.encoder.precision import stored_as
from labse_tf.extras import install_hint
from labse_tf.files.atomic import atomic_directory
from labse_tf.inference.loading import load
from labse_tf.inference.model import LaBSE
from labse_tf.pretrained.tokenizer_files import write_tokenizer
from labse_tf.tokenization.lite import LiteTokenizer
from labse_tf.tokenization.preprocessing import Preprocessor

PRECISIONS = ("float32", "float16", "int8")
MODEL_FILE = "model.tflite"
# A model whose sentences are further from the release's is none of it.
LEAST_COSINES = {"float32": 0.99999, "float16": 0.9999, "int8": 0.98}
_BATCH = 8
_MOST_BYTES = 2**31 - 1  # of a flatbuffer
_INTEGERS = {2: tf.int16, 4: tf.int32}  # by size in bytes


def write_lite(
    source: str | os.PathLike,
    destination: str | os.PathLike,
    *,
    sentences: Sequence[str],
    precision: str = "float32",
    tokenizer: bool = False,
    seq_length: int | None = None,
    batch_size: int | None = None,
) -> np.ndarray:
    """Reads a model, converts it, runs it in LiteRT, and writes it, whole or not at all.

    Args:
        source: whatever `labse_tf.load` reads.
        destination: the directory to write; it must not exist. It gets model.tflite and, unless
            the tokenizer is inside, vocab.txt, tokenizer.json and their configuration.
        sentences: on which the model is compared with the one that was read.
        precision: of the weights: "float32"; "float16", half the space; "int8", a quarter: word
            embeddings in 8 bits with a scale for every 64 numbers, as in a release in int8, and
            kernels in 8 bits with a scale a column, whose inputs are rounded to 8 bits as it runs.
        tokenizer: whether the input is `sentences`, string [batch], in UTF-8. It needs TensorFlow
            Text's ops wherever it runs.
        seq_length: tokens of each sentence, exactly, for accelerators that take static shapes
            alone. None: as many as are given; of strings as many as the longest has, at most the
            model's own `seq_length`.
        batch_size: sentences, exactly. None: as many as are given.

    Returns:
        The cosines of the sentences' embeddings with those of the model that was read, float32.

    Raises:
        FileExistsError: `destination` exists.
        ImportError: LiteRT is not installed (extra `lite`).
        ValueError: an argument is out of its range, the model is too large, its tokenizer cannot
            be put inside, or what was converted does not embed as it should.
        OSError, FileNotFoundError: see `labse_tf.load`; or it cannot be written.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"`precision` (={precision!r}) must be one of {PRECISIONS}.")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"`batch_size` (={batch_size}) must be at least 1.")
    if not sentences:
        raise ValueError("No sentences to compare the models on: give one at least.")
    if os.path.lexists(destination):
        raise FileExistsError(f"{os.fspath(destination)!r} exists. Choose another path.")
    if importlib.util.find_spec("ai_edge_litert") is None:
        raise ImportError(f"LiteRT is not installed: {install_hint('lite')}")
    model = load(source)
    if seq_length is not None:
        model = model.with_parts(preprocessor=model.preprocessor.with_seq_length(seq_length))
    content = lite_model(model, precision, (batch_size, seq_length), tokenizer)
    run = _runner(content, model.preprocessor, seq_length, tokenizer)
    cosines = _cosines(model, run, sentences, batch_size)
    if not cosines.min() >= LEAST_COSINES[precision]:
        raise ValueError(
            f"In {precision} the lowest cosine with the model itself is {cosines.min():.5f}, below "
            f"{LEAST_COSINES[precision]}: nothing is written. Choose another precision."
        )
    with atomic_directory(destination) as unfinished:
        with open(os.path.join(unfinished, MODEL_FILE), "wb") as file:
            file.write(content)
        if not tokenizer:
            write_tokenizer(unfinished, model.preprocessor)
    return cosines


def lite_model(
    model: LaBSE,
    precision: str = "float32",
    shape: tuple[int | None, int | None] = (None, None),
    tokenizer: bool = False,
) -> bytes:
    """The content of a .tflite file; see `write_lite`.

    Args:
        model: with weights in float32; is left as it is.
        precision, tokenizer: see `write_lite`.
        shape: sentences and tokens of a sentence, None where any number is taken.

    Raises:
        ValueError: see `write_lite`.
    """
    _check_size(model.encoder, precision)
    encoder = _stored(model.encoder, precision)
    preprocessor, (batch_size, seq_length) = model.preprocessor, shape

    def embed(packed: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        # Of padded sentences: what is not padded has ops that only CPUs have, and a phone embeds
        # one sentence at a time.
        return {"embeddings": tf.math.l2_normalize(encoder(packed)["default"], axis=1)}

    if tokenizer:
        inside = LiteTokenizer(preprocessor)
        signature = [tf.TensorSpec([batch_size], tf.string, name="sentences")]

        def run(sentences):
            pieces = inside.word_pieces(sentences)
            if seq_length is None:
                return embed(preprocessor.pack_to_longest(pieces))
            return embed(preprocessor.pack([pieces], seq_length))
    else:
        signature = [tf.TensorSpec(shape, tf.int32, name=name) for name in INPUTS]

        def run(input_word_ids, input_mask, input_type_ids):
            return embed(dict(zip(INPUTS, (input_word_ids, input_mask, input_type_ids))))

    root = tf.train.Checkpoint(encoder=encoder)
    root.run = tf.function(run, autograph=False, input_signature=signature)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [root.run.get_concrete_function()], root
    )
    converter.allow_custom_ops = tokenizer  # of TensorFlow Text
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


def _check_size(encoder: Encoder, precision: str) -> None:
    number_bytes = {"float32": 4, "float16": 2, "int8": 1}[precision]
    size = number_bytes * sum(int(np.prod(weight.shape)) for weight in encoder.weights)
    if size > _MOST_BYTES:
        raise ValueError(
            f"In {precision} the model has {size / 1e9:.1f} GB, but a .tflite file at most "
            f"{_MOST_BYTES / 1e9:.1f}. Choose another precision, or prune it (labse prune)."
        )


def _stored(encoder: Encoder, precision: str) -> Encoder:
    if precision == "float32":
        return encoder
    encoder = stored_as(encoder, precision)
    encoder.embeddings.look_up = _look_up
    return encoder


def _look_up(table: tf.Variable, ids: tf.Tensor) -> tf.Tensor:
    """Rows of a table, as integers of the same bits.

    LiteRT gathers no float16, so that the converter would have the table made float32 when it is
    loaded; and of a table of float32, as the scales of int8, it would make 8 bits with one scale.
    """
    if table.dtype.is_integer:
        return tf.gather(table, ids)
    bits = tf.bitcast(table, _INTEGERS[table.dtype.size])
    return tf.bitcast(tf.gather(bits, ids), table.dtype)


def _runner(
    content: bytes, preprocessor: Preprocessor, seq_length: int | None, tokenizer: bool
) -> Callable[[Sequence[str]], np.ndarray]:
    """Embeds sentences by LiteRT: as many as the model takes -> float32 [sentences, dim]."""
    from ai_edge_litert.interpreter import InterpreterWithCustomOps

    registerers = []
    if tokenizer:
        from tensorflow_text import tflite_registrar

        registerers = tflite_registrar.SELECT_TFTEXT_OPS
    interpreter = InterpreterWithCustomOps(model_content=content, custom_op_registerers=registerers)
    signature = interpreter.get_signature_runner()

    def run(sentences: Sequence[str]) -> np.ndarray:
        if tokenizer:
            inputs = {"sentences": np.array([s.encode() for s in sentences], object)}
        elif seq_length is None:
            inputs = preprocessor.pack_to_longest(preprocessor.word_pieces(sentences))
        else:
            inputs = preprocessor(sentences)
        return signature(**{name: np.asarray(value) for name, value in inputs.items()})[
            "embeddings"
        ]

    return run


def _cosines(
    model: LaBSE,
    run: Callable[[Sequence[str]], np.ndarray],
    sentences: Sequence[str],
    batch_size: int | None,
) -> np.ndarray:
    size, rows = batch_size or _BATCH, []
    for start in range(0, len(sentences), size):
        batch = list(sentences[start : start + size])
        filled = batch + [""] * (size - len(batch)) if batch_size else batch
        rows.append(run(filled)[: len(batch)])
    expected = model.encode(sentences, show_progress=False)
    return np.sum(np.concatenate(rows) * expected, axis=1)
