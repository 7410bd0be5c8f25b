"""Pruning: a LaBSE with only those word pieces that its user's text needs.

82% of LaBSE's 471 million weights are the embeddings of its 501,153 word pieces.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import unicodedata
from collections.abc import Collection, Iterable, Iterator

import numpy as np
import tensorflow as tf

from labse_tf.encoder.encoder import Encoder
from labse_tf.encoder.weights import named_weights, unfilled_variables
from labse_tf.tokenization.preprocessing import Preprocessor
from labse_tf.tokenization.scripts import scripts_in

_BATCH = 4096  # sentences tokenised at a time


@dataclasses.dataclass
class Usage:
    """How a corpus uses a vocabulary.

    Attributes:
        counts: int64 [vocab_size], how often each word piece occurs.
        characters: of the text, and of its case-folded and Unicode-normalised forms.
        sentences: how many the corpus has.
    """

    counts: np.ndarray
    characters: set[str]
    sentences: int


def count_usage(preprocessor: Preprocessor, sentences: Iterable[str]) -> Usage:
    """Counts the word pieces of a corpus, which may be larger than memory.

    Raises:
        ValueError: there are no sentences.
    """
    usage = Usage(np.zeros(preprocessor.vocab_size, np.int64), set(), 0)
    seen: collections.Counter[str] = collections.Counter()
    for batch in _batches(sentences):
        pieces = preprocessor.word_pieces(tf.constant(batch)).flat_values.numpy()
        usage.counts += np.bincount(pieces, minlength=preprocessor.vocab_size)
        usage.sentences += len(batch)
        seen.update("".join(batch))
    if not usage.sentences:
        raise ValueError("The corpus holds no sentences.")
    # The tokenizer may fold case and strip accents, in any Unicode normal form.
    for character in seen:
        for form in (character, character.lower()):
            usage.characters.update(form)
            for normal in ("NFC", "NFD", "NFKC"):
                usage.characters.update(unicodedata.normalize(normal, form))
    return usage


def prune(
    preprocessor: Preprocessor,
    encoder: Encoder,
    usage: Usage,
    *,
    min_count: int = 1,
    keep: Collection[str] = (),
    scripts: Collection[str] = (),
) -> tuple[Preprocessor, Encoder]:
    """Return a preprocessor and an encoder with fewer tokens, in the encoder's dtypes.

    Retained, in their order, are the special tokens, the tokens that the corpus uses, its single
    characters (at the start and inside of a word, so that an unseen word is spelled instead of
    unknown), and those of `keep` and `scripts`. Text of retained tokens keeps its tokens under new
    ids, and exactly its embedding: WordPiece takes the longest token that matches, and
    SentencePiece the most probable segmentation, of which only others were removed.

    Args:
        preprocessor: of the encoder.
        encoder: is not changed; the new encoder shares the memory of all weights but the word
            embeddings with it, until either is trained.
        usage: of the corpus, by `count_usage` with this preprocessor.
        min_count: how often a piece must occur; above 1 some tokens change (`changed_tokens`).
        keep: pieces to keep, whether they occur or not.
        scripts: pieces whose letters are all of these scripts are kept; see
            `labse_tf.tokenization.scripts`.

    Raises:
        ValueError: `min_count` is below 1, or a piece of `keep` is not in the vocabulary.
    """
    if min_count < 1:
        raise ValueError(f"`min_count` (={min_count}) must be at least 1.")
    tokens = preprocessor.tokens
    if unknown := sorted(set(keep) - set(tokens)):
        raise ValueError(f"Not in the vocabulary, so not to be kept: {unknown[:10]}.")
    required = preprocessor.required_ids
    kept_tokens = set(keep)
    for character in usage.characters:
        kept_tokens.update(preprocessor.character_tokens(character))
    wanted = set(scripts)
    kept = np.array(
        [
            i
            for i, token in enumerate(tokens)
            if usage.counts[i] >= min_count
            or token in kept_tokens
            or i in required
            or (wanted and (found := scripts_in(token)) and found <= wanted)
        ]
    )
    config = dataclasses.replace(encoder.config, vocab_size=len(kept))
    with unfilled_variables():
        pruned = Encoder(
            config,
            encoder.embeddings.word.dtype.name,
            dtype=encoder.dtype_policy.name,
            name=encoder.name,
            trainable=encoder.trainable,
        )
    weights = named_weights(encoder)
    for name, target in named_weights(pruned).items():
        source = weights[name]
        if source is encoder.embeddings.word or source is encoder.embeddings.word_scale:
            # Its value: TensorFlow copies a variable that was gathered from at every read.
            target.assign(tf.gather(source.value(), kept))
        else:
            target.assign(source.value())
    return preprocessor.with_token_ids(kept.tolist()), pruned


def changed_tokens(
    before: Preprocessor, after: Preprocessor, sentences: Iterable[str]
) -> tuple[int, int]:
    """The number of tokens of a corpus, and of those in words that are now split differently.

    Args:
        before: the preprocessor of the whole vocabulary.
        after: that of the pruned one.
        sentences: the corpus.
    """
    ids = {token: number for number, token in enumerate(before.tokens)}
    old_ids = np.array([ids[token] for token in after.tokens], np.int32)
    total = changed = 0
    for batch in _batches(sentences):
        # Rows are words; or, for SentencePiece, which has none, sentences.
        old, new = (p.tokenize(tf.constant(batch)) for p in (before, after))
        old, new = (x.merge_dims(0, 1) if x.shape.rank > 2 else x for x in (old, new))
        new = new.with_values(tf.gather(old_ids, new.values))
        width = int(max(old.bounding_shape()[1], new.bounding_shape()[1]))
        rows = [x.to_tensor(default_value=-1, shape=[None, width]).numpy() for x in (old, new)]
        lengths = old.row_lengths().numpy()
        total += int(lengths.sum())
        changed += int(lengths[(rows[0] != rows[1]).any(axis=1)].sum())
    return total, changed


def _batches(sentences: Iterable[str]) -> Iterator[list[str]]:
    sentences = iter(sentences)
    while batch := list(itertools.islice(sentences, _BATCH)):
        yield batch
