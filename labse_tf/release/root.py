"""What a release consists of: the objects and functions that its SavedModel holds."""

from __future__ import annotations

import typing
from collections.abc import Callable

import tensorflow as tf
import tf_keras

from labse_tf.encoder.encoder import INPUTS, Encoder
from labse_tf.encoder.masked_language_head import MaskedLanguageHead
from labse_tf.tokenization.preprocessing import Preprocessor


class AssetFiles(typing.NamedTuple):
    """Files that a SavedModel gets a copy of, under their own names."""

    vocabulary: str
    config: str


def weights_by_name(layer: tf_keras.layers.Layer) -> tf.train.Checkpoint:
    """How the encoder's weights stand in a release, whatever its classes are; and a head's."""
    weights = {w.name.removesuffix(":0"): w for w in layer.weights}
    return tf.train.Checkpoint(weights=weights)


def split_roots(
    preprocessor: Preprocessor,
    encoder: Encoder,
    files: AssetFiles,
    head: MaskedLanguageHead | None = None,
) -> dict[str, tf.train.Checkpoint]:
    """The objects of two SavedModels, as google/LaBSE/2 and its preprocessor are.

    With a head the encoder has `.mlm`, see `release_root`.
    """
    ids = {name: tf.TensorSpec([None, None], tf.int32, name=name) for name in INPUTS}

    def call(inputs, training: bool = False):
        if isinstance(inputs, dict):
            return encoder(inputs, training=training)
        # google/LaBSE/1: a list of ids, mask and types, and a pair of outputs.
        outputs = encoder(dict(zip(INPUTS, inputs, strict=True)), training=training)
        return outputs["pooled_output"], outputs["sequence_output"]

    root = tf.train.Checkpoint(encoder=weights_by_name(encoder), **_assets(preprocessor, files))
    root.__call__ = _traced(call, ids, [ids[name] for name in INPUTS])
    _for_keras_layer(root, encoder)
    if head is not None:
        root.mlm = _mlm_api(encoder, head)
    api = _preprocessor_api(preprocessor)
    api.vocab_file = tf.saved_model.Asset(files.vocabulary)
    return {"encoder": root, "preprocessor": api}


def release_root(
    preprocessor: Preprocessor,
    encoder: Encoder,
    files: AssetFiles,
    head: MaskedLanguageHead | None = None,
):
    """The object that is saved, and its signatures.

    With a head, which is in float32, the encoder has `.mlm` as TF-Hub's common SavedModel APIs for
    text describe it. It takes the encoder's inputs and `masked_lm_positions`, int32 [batch,
    places]: the places in each sentence, [CLS] being 0, whose word pieces are asked for. It returns
    the encoder's outputs and `mlm_logits`, float32 [batch, places, vocab_size].
    """
    names = tf.TensorSpec([None], tf.string, name="sentences")
    ids = {name: tf.TensorSpec([None, None], tf.int32, name=name) for name in INPUTS}

    def embed(packed: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        pooled = encoder(packed, training=training, pooled_only=True)["default"]
        return tf.math.l2_normalize(pooled, axis=1)

    def embed_sentences(sentences: tf.Tensor, training: bool = False) -> tf.Tensor:
        # What padding there is costs next to nothing.
        pieces = preprocessor.word_pieces(preprocessor.with_default_prompt(sentences))
        return embed(preprocessor.pack_to_longest(pieces), training)

    encoder_api = weights_by_name(encoder)
    encoder_api.__call__ = _traced(
        lambda inputs, training=False: encoder(inputs, training=training), ids
    )
    if head is not None:
        encoder_api.mlm = _mlm_api(encoder, head)
    root = tf.train.Checkpoint(
        encoder=encoder_api,
        preprocessor=_preprocessor_api(preprocessor),
        **_assets(preprocessor, files),
    )
    root.__call__ = _traced(embed_sentences, names)
    for api in (root, encoder_api):
        _for_keras_layer(api, encoder)

    @tf.function(autograph=False, input_signature=[names])
    def serve_sentences(sentences):
        return {"embeddings": embed_sentences(sentences)}

    @tf.function(autograph=False, input_signature=[ids[name] for name in INPUTS])
    def serve_token_ids(input_word_ids, input_mask, input_type_ids):
        packed = dict(zip(INPUTS, (input_word_ids, input_mask, input_type_ids), strict=True))
        return {"embeddings": embed(packed)}

    return root, {"serving_default": serve_sentences, "token_ids": serve_token_ids}


def _assets(preprocessor: Preprocessor, files: AssetFiles) -> dict[str, object]:
    """What a reader asks for beside the functions, under TF-Hub's names."""
    return dict(
        vocab_file=tf.saved_model.Asset(files.vocabulary),
        do_lower_case=tf.Variable(preprocessor.lower_case, trainable=False),
        config_file=tf.saved_model.Asset(files.config),
    )


def _mlm_api(encoder: Encoder, head: MaskedLanguageHead) -> tf.train.Checkpoint:
    names = (*INPUTS, "masked_lm_positions")
    inputs = {name: tf.TensorSpec([None, None], tf.int32, name=name) for name in names}

    def predict(inputs: dict[str, tf.Tensor], training: bool = False) -> dict[str, tf.Tensor]:
        outputs = encoder({name: inputs[name] for name in INPUTS}, training=training)
        positions = inputs["masked_lm_positions"]
        tokens = tf.gather(outputs["sequence_output"], positions, axis=1, batch_dims=1)
        hidden = head(tf.reshape(tokens, [-1, encoder.config.hidden_size]))
        embeddings = encoder.embeddings
        words = tf.cast(embeddings.word, tf.float32)
        if embeddings.word_scale is not None:
            words = embeddings.words(tf.range(encoder.config.vocab_size))
        logits = tf.matmul(hidden, words, transpose_b=True)
        logits = tf.nn.bias_add(logits, head.bias)
        shape = tf.concat([tf.shape(positions), [encoder.config.vocab_size]], axis=0)
        return {**outputs, "mlm_logits": tf.reshape(logits, shape)}

    api = tf.train.Checkpoint(head=weights_by_name(head))
    api.__call__ = _traced(predict, inputs)
    _for_keras_layer(api, encoder, head)
    return api


def _for_keras_layer(api: tf.train.Checkpoint, *layers: tf_keras.layers.Layer) -> None:
    """What hub.KerasLayer(trainable=True) looks for.

    Of word embeddings in int8 it finds nothing to train, and says so: training the few other
    weights alone would pass for fine-tuning.
    """
    api.variables = [w for layer in layers for w in layer.weights]
    is_int8 = any(w.dtype.is_integer for w in api.variables)
    trained = [] if is_int8 else [w for layer in layers for w in layer.trainable_weights]
    api.trainable_variables = trained
    api.regularization_losses = []


def _traced(function: Callable, *forms) -> tf.types.experimental.PolymorphicFunction:
    """A function that can be called with each form of inputs, with training False and True."""
    function = tf.function(function, autograph=False)
    for inputs in forms:
        for training in (False, True):
            function.get_concrete_function(inputs, training=training)
    return function


def _preprocessor_api(preprocessor: Preprocessor) -> tf.train.Checkpoint:
    """TF-Hub's preprocessor API: __call__, tokenize, get_special_tokens_dict, bert_pack_inputs."""
    sentences = tf.TensorSpec([None], tf.string)
    words = tf.RaggedTensorSpec([None, None, None], tf.int32, ragged_rank=2)
    pieces = tf.RaggedTensorSpec([None, None], tf.int32, ragged_rank=1)

    tokenize = tf.train.Checkpoint()
    tokenize.__call__ = tf.function(
        preprocessor.tokenize, autograph=False, input_signature=[sentences]
    )
    tokenize.get_special_tokens_dict = tf.function(
        lambda: {k: tf.constant(v, tf.int32) for k, v in preprocessor.special_tokens.items()},
        input_signature=[],
    )
    pack = tf.train.Checkpoint()
    pack.__call__ = tf.function(
        lambda inputs, seq_length: preprocessor.bert_pack_inputs(inputs, seq_length)
    )
    for segment in (words, pieces) if preprocessor.has_words else (pieces,):
        for count in (1, 2):
            pack.__call__.get_concrete_function(
                [segment] * count, seq_length=tf.TensorSpec([], tf.int32)
            )
    api = tf.train.Checkpoint(
        tokenize=tokenize,
        bert_pack_inputs=pack,
        resources=list(preprocessor.resources),
    )
    api.__call__ = tf.function(preprocessor.__call__, autograph=False, input_signature=[sentences])
    return api
