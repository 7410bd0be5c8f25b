"""A small Transformer of the Model Garden that translates both ways between two languages."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import sentencepiece
import tensorflow as tf
import tf_keras
from official.nlp.modeling.models import seq2seq_transformer

from labse_tf.optimizers.schedules import WarmupLinearDecay
from labse_tf.training.checkpoint_directory import (
    list_checkpoints,
    remove_leftovers,
    write_checkpoint,
)
from labse_tf.training.output import say
from training.experiments.translation.corpus import TO_ENGLISH, TO_LANGUAGE, Pair
from training.experiments.translation.settings import TranslationConfig

_PADDING, _END = 0, 1
_WIDTH = 8  # batches are padded to a multiple of it
_CHUNK = 20  # batches that are sorted by length together
_AT_ONCE = 250  # sentences that are translated at a time
_IDS = tf.TensorSpec([None, None], tf.int32)


class Translator:
    """Trains on pairs and translates.

    Args:
        pieces: file of the sentence pieces, see `corpus`.
        config: how.
        seed: of the weights, the dropout and the order.
    """

    def __init__(self, pieces: str, config: TranslationConfig, seed: int):
        tf_keras.utils.set_random_seed(seed)
        self._pieces = sentencepiece.SentencePieceProcessor(model_file=pieces)
        self._config, self._seed = config, seed
        self.model = _new_model(self._pieces.get_piece_size(), config)
        self._optimizer = tf_keras.optimizers.Adam(
            WarmupLinearDecay(config.learning_rate, config.warmup_steps, config.steps),
            beta_2=0.98,
            epsilon=1e-9,
        )

    def train(self, pairs: Sequence[Pair], folder: str) -> None:
        """Trains, from the newest checkpoint of a directory if there is one.

        Raises:
            ValueError: there are no pairs.
            FloatingPointError: the loss is not finite.
        """
        if not pairs:
            raise ValueError("There are no pairs to train on.")
        config = self._config
        batches = Batches(
            [
                (self.ids(text, tag), self.ids(other))
                for source, target in pairs
                for text, tag, other in (
                    (source, TO_ENGLISH, target),
                    (target, TO_LANGUAGE, source),
                )
            ],
            config.batch_size,
            self._seed,
        )
        self.model(dict(zip(("inputs", "targets"), batches(0))))  # builds its variables
        self._optimizer.build(self.model.trainable_variables)
        checkpoint = tf.train.Checkpoint(model=self.model, optimizer=self._optimizer)
        directory = os.path.join(folder, "checkpoints")
        remove_leftovers(directory)
        if before := list_checkpoints(directory):
            checkpoint.read(before[max(before)]).assert_consumed()
        losses = []
        for number in range(int(self._optimizer.iterations), config.steps):
            losses.append(self._step(*batches(number)))
            done = number + 1
            if done % config.report_every == 0 or done == config.steps:
                loss, losses = float(np.mean([float(x) for x in losses])), []
                if not np.isfinite(loss):
                    raise FloatingPointError(f"The loss is {loss} at step {done}.")
                say(f"step {done:,}: loss {loss:.3f}")
            if done % config.checkpoint_every == 0 or done == config.steps:
                write_checkpoint(directory, checkpoint, done, keep=1)

    def translate(self, sentences: Sequence[str], tag: str) -> list[str]:
        """Translations by beam search.

        Args:
            sentences: of one language.
            tag: `TO_ENGLISH` or `TO_LANGUAGE`.
        """
        rows = [self.ids(sentence, tag) for sentence in sentences]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        decode = tf.function(
            lambda ids: self.model({"inputs": ids}, training=False)["outputs"],
            input_signature=[_IDS],
        )
        result = [""] * len(rows)
        for start in range(0, len(order), _AT_ONCE):
            places = order[start : start + _AT_ONCE]
            for place, ids in zip(places, decode(_padded([rows[i] for i in places])).numpy()):
                ends = np.flatnonzero(np.isin(ids, (_END, _PADDING)))
                result[place] = self._pieces.decode(ids[: ends[0] if len(ends) else None].tolist())
        return result

    def ids(self, text: str, tag: str = "") -> list[int]:
        """Piece ids: the tag if there is one, the text's, cut, and the end."""
        first = [self._pieces.piece_to_id(tag)] if tag else []
        room = self._config.max_length - len(first) - 1
        return [*first, *self._pieces.encode(text)[:room], _END]

    @tf.function(input_signature=[_IDS, _IDS])
    def _step(self, sources: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = self.model({"inputs": sources, "targets": targets}, training=True)
            loss = mean_loss(logits, targets)
        weights = self.model.trainable_variables
        self._optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights))
        return loss


class Batches:
    """Batches of examples of like lengths: the one of a step does not depend on those before it.

    Args:
        examples: of source and target ids.
        batch_size: examples of a batch; fewer if there are not so many.
        seed: of the order.
    """

    def __init__(self, examples: list[tuple[list[int], list[int]]], batch_size: int, seed: int):
        self._examples, self._seed = examples, seed
        self._size = min(batch_size, len(examples))
        self._per_epoch = len(examples) // self._size
        self._epoch, self._order = -1, np.empty([0, 0], int)

    def __call__(self, step: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Sources and targets, int32 [batch, width], padded."""
        epoch, number = divmod(step, self._per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._shuffled(epoch)
        batch = [self._examples[i] for i in self._order[number]]
        return _padded([source for source, _ in batch]), _padded([target for _, target in batch])

    def _shuffled(self, epoch: int) -> np.ndarray:
        """[batches, batch]: sorted by length in chunks, and then the batches shuffled."""
        rng = np.random.default_rng([self._seed, epoch])
        order = rng.permutation(len(self._examples))[: self._per_epoch * self._size]
        lengths = np.array([sum(map(len, self._examples[i])) for i in order])
        chunk = _CHUNK * self._size
        sort = [
            start + np.argsort(lengths[start : start + chunk], kind="stable")
            for start in range(0, len(order), chunk)
        ]
        batches = order[np.concatenate(sort)].reshape(self._per_epoch, self._size)
        return batches[rng.permutation(self._per_epoch)]


def mean_loss(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Mean cross entropy of the target pieces, in nats.

    Args:
        logits: float32 [batch, width, pieces].
        targets: int32 [batch, width]; 0 is padding.
    """
    real = tf.cast(targets != _PADDING, tf.float32)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
    return tf.reduce_sum(real * losses) / tf.reduce_sum(real)


def _padded(rows: list[list[int]]) -> tf.Tensor:
    width = -(-max(map(len, rows)) // _WIDTH) * _WIDTH
    ids = np.full([len(rows), width], _PADDING, np.int32)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
    return tf.constant(ids)


def _new_model(pieces: int, config: TranslationConfig) -> tf_keras.Model:
    layers = {
        "num_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "intermediate_size": config.intermediate_size,
        "dropout_rate": config.dropout,
        "attention_dropout_rate": config.dropout,
        "intermediate_dropout": config.dropout,
    }
    return seq2seq_transformer.Seq2SeqTransformer(
        vocab_size=pieces,
        embedding_width=config.hidden_size,
        dropout_rate=config.dropout,
        decode_max_length=config.max_length,
        beam_size=config.beam_size,
        alpha=0.6,
        eos_id=_END,
        encoder_layer=seq2seq_transformer.TransformerEncoder(**layers),
        decoder_layer=seq2seq_transformer.TransformerDecoder(**layers),
    )
