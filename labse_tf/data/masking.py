"""Masking: which tokens of packed sequences a model has to predict, and what it sees instead."""

from __future__ import annotations

import math
import re

import tensorflow as tf
import tensorflow_text as text

from labse_tf.tokenization.preprocessing import Preprocessor
from labse_tf.tokenization.vocabulary_files import MASK

DEFAULT_MASK_RATE = 0.15
# Of the tokens to predict, the shares that are replaced by [MASK] and by a random word piece.
MASK_TOKEN_RATE, RANDOM_TOKEN_RATE = 0.8, 0.1
_UNUSED = re.compile(r"\[unused\d+\]")


class Masking:
    """Masks packed token ids as BERT does (arXiv 1810.04805, section 3.1 and appendix A.1).

    Of a sequence of n word pieces, `mask_rate` * n, rounded, but at least one and at most
    `max_predictions`, are drawn to be predicted; of these 80% become [MASK], 10% a random word
    piece, and 10% stay. Both segments of a translation pair are masked, as for the paper's
    translation language modelling (arXiv 2007.01852, section 2.3).

    [CLS], [SEP], [PAD], [MASK] and [UNK] are never drawn: there is nothing to learn from the first
    four, and a model that has learnt to predict [UNK] has learnt to know nothing. They do not count
    as word pieces, and neither they nor an [unused1] are ever a random replacement.

    Everything random is a function of the seed that a call gets.

    Args:
        preprocessor: whose ids are masked; its vocabulary needs [MASK].
        mask_rate: share of the word pieces to predict.
        max_predictions: most of a sequence. None: what
            `mask_rate` makes of `preprocessor.seq_length`.
        whole_words: whether all pieces of a word are drawn together. In random order, each word
            that still fits is; so long words are drawn a little less often, as with BERT.

    Raises:
        ValueError: the vocabulary lacks [MASK], or an argument is out of its range.

    Example:
        >>> masking = Masking(preprocessor)
        >>> masked = masking(preprocessor(tf.constant(["Hello"])), seed=[1, 2])
        >>> masked["masked_lm_positions"].shape
        TensorShape([1, 19])
    """

    def __init__(
        self,
        preprocessor: Preprocessor,
        mask_rate: float = DEFAULT_MASK_RATE,
        max_predictions: int | None = None,
        whole_words: bool = False,
    ):
        if preprocessor.mask_id is None:
            raise ValueError(
                f"The vocabulary lacks {MASK}, which masked language modelling "
                "needs. Make one with `python -m training.vocabulary`."
            )
        if not 0 < mask_rate < 1:
            raise ValueError(f"`mask_rate` (={mask_rate}) must be above 0 and below 1.")
        if max_predictions is None:
            max_predictions = max(1, round(mask_rate * preprocessor.seq_length))
        if max_predictions < 1:
            raise ValueError(f"`max_predictions` (={max_predictions}) must be at least 1.")
        self.mask_rate, self.max_predictions = mask_rate, max_predictions
        self.whole_words = whole_words
        self._mask_id = preprocessor.mask_id
        self._vocab_size = preprocessor.vocab_size
        tokens = preprocessor.tokens
        self._special = preprocessor.special_ids
        self._no_replacement = sorted(
            {*self._special, *(i for i, token in enumerate(tokens) if _UNUSED.fullmatch(token))}
        )
        if len(self._no_replacement) == len(tokens):
            raise ValueError("The vocabulary has no word pieces.")
        self._continues = preprocessor.continues_word

    def __call__(self, packed: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Masks a batch; in a graph or out of it.

        Args:
            packed: {input_word_ids, input_mask, input_type_ids}, int32 [batch, width].
            seed: two integers; the same ones give the same masks.

        Returns:
            The same three, masked, and of the places to predict, [batch, max_predictions] each,
            from left to right: `masked_lm_positions` int32, where in the sequence; `masked_lm_ids`
            int32, what stood there; `masked_lm_weights` float32, 1, or 0 where there is none
            (position and id are 0 then).
        """
        dense = packed["input_word_ids"]
        lengths = tf.reduce_sum(packed["input_mask"], axis=1)
        ids = tf.RaggedTensor.from_tensor(dense, tf.cast(lengths, tf.int64))
        selector = _Selector(self.max_predictions, self.mask_rate, self._special, _fold(seed, 0))
        chooser = _Chooser(self._vocab_size, self._mask_id, self._no_replacement, _fold(seed, 1))
        masked, positions, labels = text.mask_language_model(
            self._words(ids) if self.whole_words else ids, selector, chooser, axis=1
        )
        padding = dense[:, tf.shape(masked.to_tensor())[1] :]
        masked = tf.concat([masked.to_tensor(), padding], axis=1)
        # What is behind a row's end in the ragged tensor came back as 0, which may be any token.
        masked = tf.where(packed["input_mask"] > 0, masked, dense)

        def slots(x: tf.RaggedTensor) -> tf.Tensor:
            return tf.cast(x.to_tensor(shape=[None, self.max_predictions]), tf.int32)

        predictions = dict(
            masked_lm_positions=slots(positions),
            masked_lm_ids=slots(labels),
            masked_lm_weights=tf.cast(slots(tf.ones_like(labels)), tf.float32),
        )
        batch = dense.shape[0]
        return {
            **packed,
            "input_word_ids": tf.ensure_shape(masked, dense.shape),
            **{
                name: tf.ensure_shape(x, [batch, self.max_predictions])
                for name, x in predictions.items()
            },
        }

    def _words(self, ids: tf.RaggedTensor) -> tf.RaggedTensor:
        """[batch, (tokens)] -> [batch, (words), (pieces)]; a special token is a word of its own."""
        tokens = ids.flat_values
        special = tf.reduce_any(tokens[:, tf.newaxis] == self._special, axis=1)
        # A row may begin in the middle of a word, behind its [CLS].
        behind_special = tf.concat([[True], special[:-1]], axis=0)
        begins = behind_special | ~tf.gather(tf.constant(self._continues), tokens)
        starts = tf.where(begins)[:, 0]
        words_before = tf.concat([[0], tf.cumsum(tf.cast(begins, tf.int64))], axis=0)
        return tf.RaggedTensor.from_nested_row_splits(
            tokens,
            [
                tf.gather(words_before, ids.row_splits),
                tf.concat([starts, [tf.size(tokens, tf.int64)]], axis=0),
            ],
        )


class _Selector(text.RandomItemSelector):
    """Draws items at random within a budget of word pieces; the parent shuffles without a seed."""

    def __init__(self, max_pieces: int, rate: float, unselectable_ids: list[int], seed: tf.Tensor):
        super().__init__(max_pieces, rate, unselectable_ids)
        self._seed = seed

    def get_selection_mask(self, input_ids: tf.RaggedTensor, axis: int) -> tf.RaggedTensor:
        """bool [batch, (items)]; an item is a token, or a word if the ids are ragged twice."""
        selectable = self.get_selectable(input_ids, axis)
        sizes = selectable.with_values(tf.ones_like(selectable.values, tf.int32))
        if input_ids.ragged_rank > 1:
            sizes = tf.cast(input_ids.row_lengths(axis=2), tf.int32)
        sizes = tf.where(selectable.to_tensor(), sizes.to_tensor(), 0)
        pieces = tf.reduce_sum(sizes, axis=1)
        budget = tf.cast(tf.cast(pieces, tf.float64) * self.selection_rate + 0.5, tf.int32)
        budget = tf.clip_by_value(budget, tf.minimum(pieces, 1), self.max_selections_per_batch)

        draw = tf.random.stateless_uniform(tf.shape(sizes), self._seed, alg="philox")
        order = tf.argsort(draw, axis=1, stable=True)
        taken = _take_what_fits(tf.gather(sizes, order, batch_dims=1), budget)
        taken = tf.gather(taken, tf.argsort(order, axis=1), batch_dims=1)
        return tf.RaggedTensor.from_tensor(taken, selectable.row_lengths())


def _take_what_fits(sizes: tf.Tensor, budget: tf.Tensor) -> tf.Tensor:
    """Takes items from left to right, each if it fits into what is left of its row's budget.

    Args:
        sizes: int32 [batch, items]; those of size 0 are not taken.
        budget: int32 [batch].

    Returns:
        bool [batch, items].
    """

    def take(taken, left, _):
        fits = ~taken & (sizes > 0) & (sizes <= left[:, tf.newaxis])
        # The first one that does not fit beside those before it ends a round, and then is too big.
        filled = tf.cumsum(tf.where(fits, sizes, 0), axis=1)
        new = fits & (filled <= left[:, tf.newaxis])
        left -= tf.reduce_sum(tf.where(new, sizes, 0), axis=1)
        return taken | new, left, tf.reduce_any(new)

    nothing = tf.zeros_like(sizes, tf.bool)
    taken, _, _ = tf.while_loop(
        lambda _taken, _left, more: more, take, (nothing, budget, tf.constant(True))
    )
    return taken


class _Chooser(text.MaskValuesChooser):
    """[MASK], a random word piece or the token itself; the parent draws without a seed."""

    def __init__(self, vocab_size: int, mask_id: int, no_replacement: list[int], seed: tf.Tensor):
        super().__init__(vocab_size, mask_id, MASK_TOKEN_RATE, RANDOM_TOKEN_RATE)
        self._no_replacement = no_replacement
        self._seed = seed

    def get_mask_values(self, masked_lm_ids: tf.RaggedTensor) -> tf.RaggedTensor:
        """As masked_lm_ids, int32 [batch, (predictions)]: what stands in their places."""
        ids = masked_lm_ids.flat_values
        draw = tf.random.stateless_uniform(tf.shape(ids), _fold(self._seed, 0), alg="philox")
        piece = tf.random.stateless_uniform(
            tf.shape(ids),
            _fold(self._seed, 1),
            maxval=self.vocab_size - len(self._no_replacement),
            dtype=tf.int32,
            alg="philox",
        )
        # The piece-th id that may be a replacement: one more for each that may not, up to it.
        gaps = [special - before for before, special in enumerate(self._no_replacement)]
        piece += tf.searchsorted(tf.constant(gaps), piece, side="right")
        random_below = math.fsum((MASK_TOKEN_RATE, self.random_token_rate))
        values = tf.where(draw < random_below, tf.cast(piece, ids.dtype), ids)
        mask = tf.constant(self.mask_token, ids.dtype)
        return masked_lm_ids.with_flat_values(tf.where(draw < MASK_TOKEN_RATE, mask, values))


def _fold(seed: tf.Tensor, purpose: int) -> tf.Tensor:
    return tf.random.experimental.stateless_fold_in(tf.cast(seed, tf.int64), purpose)
