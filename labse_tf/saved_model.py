"""The release format: one SavedModel directory that Hub, Keras, Serving and labse_tf load.

model = hub.load(DIR)                     # needs `import tensorflow_text`, never labse_tf
model(["Hello"])                          # float32 [1, dim], rows of unit length
model.preprocessor(["Hello"])             # TF-Hub's preprocessor API
model.encoder(model.preprocessor(["Hello"]))["default"]     # TF-Hub's encoder API
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable

import tensorflow as tf

from labse_tf.config import EncoderConfig
from labse_tf.encoder import INPUTS, Encoder
from labse_tf.preprocessing import Preprocessor
from labse_tf.unfinished import renamed_when_done
from labse_tf.weights import stored_as, unfilled_encoder

CONFIG_FILE = "labse.json"
VOCABULARY_FILE = "vocab.txt"
FORMAT = 1
WEIGHTS_DTYPES = ("float32", "float16", "bfloat16")


def write_release(
    path: str | os.PathLike,
    preprocessor: Preprocessor,
    encoder: Encoder,
    *,
    overwrite: bool = False,
    weights_dtype: str = "float32",
) -> None:
    """Writes a release, whole or not at all.

    It is written beside `path` and then renamed, so that neither a full disk nor an interrupt
    leaves half a directory, and a server that watches `path` never sees one.

    Args:
        path: the directory to write.
        preprocessor: makes the token ids.
        encoder: embeds them.
        overwrite: whether a release that stands at `path` is replaced.
        weights_dtype: "float16" or "bfloat16" store the word embeddings and the kernels in half
            the space. What is loaded computes in float32 all the same; `labse_tf.load` makes
            float32 weights of them, while `hub.load` keeps them as they are stored.

    Raises:
        FileExistsError: `path` exists and `overwrite` is False.
        OSError: it could not be written, as on a full disk.
        ValueError: `path` exists, `overwrite` is True, but it is no release; or `weights_dtype`
            is none of these.
    """
    path = os.path.abspath(path)
    if weights_dtype not in WEIGHTS_DTYPES:
        raise ValueError(f"`weights_dtype` (={weights_dtype!r}) must be one of {WEIGHTS_DTYPES}.")
    if os.path.lexists(path):
        if not overwrite:
            raise FileExistsError(f"{path!r} exists. Choose another path, or overwrite it.")
        if not is_release(path):
            raise ValueError(f"{path!r} is no release of labse_tf, so it is not overwritten.")
    with renamed_when_done(path) as unfinished, tempfile.TemporaryDirectory() as assets:
        # Assets keep their file names, so the vocabulary and its reader are made anew under one.
        vocab_file = os.path.join(assets, VOCABULARY_FILE)
        shutil.copyfile(preprocessor.vocab_file, vocab_file)
        config_file = os.path.join(assets, CONFIG_FILE)
        with open(config_file, "w", encoding="utf-8") as file:
            json.dump(
                {
                    "format": FORMAT,
                    "encoder": json.loads(encoder.config.to_json()),
                    "seq_length": preprocessor.seq_length,
                    "lower_case": preprocessor.lower_case,
                    "weights_dtype": weights_dtype,
                },
                file,
                indent=2,
            )
        exported = Preprocessor(vocab_file, preprocessor.seq_length, preprocessor.lower_case)
        if weights_dtype != "float32":
            encoder = stored_as(encoder, weights_dtype)
        root, signatures = _root(exported.reading_the_file(), encoder, config_file)
        try:
            tf.saved_model.save(root, unfinished, signatures)
        except tf.errors.OpError as error:
            raise OSError(f"{path!r} could not be written: {error.message}") from error


def read_release(path: str | os.PathLike) -> tuple[Preprocessor, Encoder]:
    """Reads a release back into a preprocessor and a trainable encoder.

    The weights are read from the variables file alone; no graph is loaded.

    Raises:
        FileNotFoundError: there is no such directory.
        ValueError: it is not a release, is of a newer format, or its weights are not those that
            its configuration describes.
    """
    path = os.fspath(path)
    if not os.path.isdir(path):
        raise FileNotFoundError(f"There is no directory {path!r}.")
    if not is_release(path):
        raise ValueError(
            f"{path!r} is not a release of labse_tf: it lacks saved_model.pb or "
            f"assets/{CONFIG_FILE}. It holds: {sorted(os.listdir(path))[:10]}."
        )
    config_file = os.path.join(path, "assets", CONFIG_FILE)
    with open(config_file, encoding="utf-8") as file:
        try:
            release = json.load(file)
            encoder_config, form = release["encoder"], release["format"]
            seq_length, lower_case = release["seq_length"], release["lower_case"]
            weights_dtype = release.get("weights_dtype", "float32")
        except (json.JSONDecodeError, TypeError, KeyError) as error:
            raise ValueError(
                f"{config_file}: not the configuration of a release: {error}"
            ) from error
    if form != FORMAT:
        raise ValueError(
            f"{config_file}: format {form!r}, but this version of labse_tf reads format {FORMAT}."
        )
    if weights_dtype not in WEIGHTS_DTYPES:
        raise ValueError(
            f"{config_file}: `weights_dtype` is {weights_dtype!r}, not one of {WEIGHTS_DTYPES}."
        )
    config = EncoderConfig.from_json(json.dumps(encoder_config))
    preprocessor = Preprocessor(
        os.path.join(path, "assets", VOCABULARY_FILE), seq_length, lower_case
    )
    encoder = unfilled_encoder(config, weights_dtype)
    read_weights(os.path.join(path, "variables", "variables"), encoder=_encoder_weights(encoder))
    return preprocessor, stored_as(encoder, "float32")


def read_weights(checkpoint: str, **trackables) -> None:
    """Restores every variable of the trackables from a checkpoint that may hold more.

    Raises:
        ValueError: the checkpoint cannot be read, lacks a variable, or has one of another shape.
    """
    try:
        status = tf.train.Checkpoint(**trackables).read(checkpoint)
        status.expect_partial().assert_existing_objects_matched()
    except (AssertionError, IndexError, ValueError, tf.errors.OpError) as error:
        raise ValueError(f"Cannot read the weights from {checkpoint!r}: {error}") from error


def size_on_disk(path: str | os.PathLike) -> int:
    """Bytes of a file, or of all files in a directory."""
    if os.path.isfile(path):
        return os.path.getsize(path)
    return sum(
        os.path.getsize(os.path.join(folder, name))
        for folder, _, names in os.walk(path)
        for name in names
    )


def is_release(path: str) -> bool:
    """Whether `path` is the directory of a release."""
    parts = ("saved_model.pb", os.path.join("assets", CONFIG_FILE))
    return all(os.path.isfile(os.path.join(path, part)) for part in parts)


def _encoder_weights(encoder: Encoder) -> tf.train.Checkpoint:
    """The encoder's weights by name: how they stand in a release, whatever its classes are."""
    weights = {w.name.removesuffix(":0"): w for w in encoder.weights}
    return tf.train.Checkpoint(weights=weights)


def _root(preprocessor: Preprocessor, encoder: Encoder, config_file: str):
    """The object that is saved, and its signatures."""
    names = tf.TensorSpec([None], tf.string, name="sentences")
    ids = {name: tf.TensorSpec([None, None], tf.int32, name=name) for name in INPUTS}

    def embed(packed: dict[str, tf.Tensor], training: bool) -> tf.Tensor:
        return tf.math.l2_normalize(encoder(packed, training=training)["default"], axis=1)

    def embed_sentences(sentences: tf.Tensor, training: bool = False) -> tf.Tensor:
        pieces = preprocessor.word_pieces(sentences)
        # As wide as the longest sentence, in multiples of 8, not as wide as seq_length.
        longest = tf.cast(tf.reduce_max(tf.concat([[0], pieces.row_lengths()], 0)), tf.int32) + 2
        width = tf.minimum((longest + 7) // 8 * 8, preprocessor.seq_length)
        return embed(preprocessor.pack([pieces], width), training)

    encoder_api = _encoder_weights(encoder)
    encoder_api.__call__ = _traced(
        lambda inputs, training=False: encoder(inputs, training=training), ids
    )
    root = tf.train.Checkpoint(
        encoder=encoder_api,
        preprocessor=_preprocessor_api(preprocessor),
        vocab_file=tf.saved_model.Asset(preprocessor.vocab_file),
        do_lower_case=tf.Variable(preprocessor.lower_case, trainable=False),
        config_file=tf.saved_model.Asset(config_file),
    )
    root.__call__ = _traced(embed_sentences, names)
    for api in (root, encoder_api):  # what hub.KerasLayer(trainable=True) looks for
        api.variables = list(encoder.weights)
        api.trainable_variables = list(encoder.trainable_weights)
        api.regularization_losses = []

    @tf.function(input_signature=[names])
    def serve_sentences(sentences):
        return {"embeddings": embed_sentences(sentences)}

    @tf.function(input_signature=[ids[name] for name in INPUTS])
    def serve_token_ids(input_word_ids, input_mask, input_type_ids):
        packed = dict(zip(INPUTS, (input_word_ids, input_mask, input_type_ids), strict=True))
        return {"embeddings": embed(packed, training=False)}

    return root, {"serving_default": serve_sentences, "token_ids": serve_token_ids}


def _traced(function: Callable, inputs) -> tf.types.experimental.PolymorphicFunction:
    function = tf.function(function)
    for training in (False, True):
        function.get_concrete_function(inputs, training=training)
    return function


def _preprocessor_api(preprocessor: Preprocessor) -> tf.train.Checkpoint:
    """TF-Hub's preprocessor API: __call__, tokenize, get_special_tokens_dict, bert_pack_inputs."""
    sentences = tf.TensorSpec([None], tf.string)
    words = tf.RaggedTensorSpec([None, None, None], tf.int32, ragged_rank=2)
    pieces = tf.RaggedTensorSpec([None, None], tf.int32, ragged_rank=1)

    tokenize = tf.train.Checkpoint()
    tokenize.__call__ = tf.function(preprocessor.tokenize, input_signature=[sentences])
    tokenize.get_special_tokens_dict = tf.function(
        lambda: {k: tf.constant(v, tf.int32) for k, v in preprocessor.special_tokens.items()},
        input_signature=[],
    )
    pack = tf.train.Checkpoint()
    pack.__call__ = tf.function(
        lambda inputs, seq_length: preprocessor.bert_pack_inputs(inputs, seq_length)
    )
    for segment in (words, pieces):
        for count in (1, 2):
            pack.__call__.get_concrete_function(
                [segment] * count, seq_length=tf.TensorSpec([], tf.int32)
            )
    api = tf.train.Checkpoint(
        tokenize=tokenize,
        bert_pack_inputs=pack,
        table=preprocessor.table,
        table_initializer=preprocessor.table_initializer,
    )
    api.__call__ = tf.function(preprocessor.__call__, input_signature=[sentences])
    return api
