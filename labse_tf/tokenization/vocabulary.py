"""learn_vocabulary: translation pairs -> a cased WordPiece vocabulary."""

from __future__ import annotations

import collections
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_text as text
from tensorflow_text.tools.wordpiece_vocab import wordpiece_tokenizer_learner_lib as learner

from labse_tf.data.pair_files import read_columns
from labse_tf.files.atomic import atomic_file
from labse_tf.tokenization.preprocessing import END, MASK, PADDING, START, UNKNOWN

RESERVED = (PADDING, UNKNOWN, START, END, MASK)
DEFAULT_EXPONENT = 0.3
DEFAULT_MAX_WORDS = 100_000
_RARE = 3  # a character of fewer occurrences is not worth a row; it becomes [UNK]
_BATCH = 8192


def learn_vocabulary(
    files: Sequence[str | os.PathLike],
    vocab_size: int,
    *,
    exponent: float = DEFAULT_EXPONENT,
    lower_case: bool = False,
    max_sentences: int = 1_000_000,
    max_words: int = DEFAULT_MAX_WORDS,
    seed: int = 0,
) -> list[str]:
    """Learns word pieces with TensorFlow Text's own learner, rare languages helped.

    The source side of each file is a language, and the targets of all files together, each
    sentence once, are one more. A language of n sentences counts as if n**exponent of them had
    been drawn, in proportion (arXiv 2007.01852, section 3.1: 0.3): its words' counts are scaled,
    which is sampling without its noise.

    Args:
        files: translation pairs, see `labse_tf.data.pair_files`; one a language.
        vocab_size: most pieces; there may be up to 5% fewer.
        exponent: 1 leaves languages in their proportions, 0 makes them equal.
        lower_case: whether to fold case and strip accents; LaBSE's vocabulary is cased.
        max_sentences: of a language, taken at random if there are more.
        max_words: distinct words to learn from, the most frequent; the learner is pure Python and
            needs about a second a thousand.
        seed: of the choice of sentences.

    Returns:
        The pieces: [PAD], [UNK], [CLS], [SEP], [MASK], characters, then the rest by falling count.

    Raises:
        FileNotFoundError, ValueError: a file cannot be read as pairs (file and line), or
            `vocab_size` does not hold the reserved tokens and the characters.
    """
    if not 0 <= exponent:
        raise ValueError(f"`exponent` (={exponent}) must be at least 0.")
    if not files:
        raise ValueError("No files to learn a vocabulary from.")
    targets: set[str] = set()
    words, sizes = [], []
    rng = np.random.default_rng(seed)
    splitter = _word_splitter(lower_case)
    for file in files:
        sources = []
        for source, target in read_columns(file):
            sources.append(source)
            targets.add(target)
        words.append(_count_words(_at_most(sources, max_sentences, rng), splitter))
        sizes.append(len(sources))
    words.append(_count_words(_at_most(sorted(targets), max_sentences, rng), splitter))
    sizes.append(len(targets))

    counts = _without_rare_characters(smoothed_counts(words, sizes, exponent))
    # A word of one character (punctuation, CJK) is a piece as it is, and nothing to learn from.
    alone = sorted(word for word in counts if len(word) == 1)
    longer = collections.Counter({w: n for w, n in counts.items() if len(w) > 1})
    longer = dict(longer.most_common(max_words))
    inside = {character for word in longer for character in word}
    smallest = len(RESERVED) + len(set(alone) | inside) + len(inside)
    if vocab_size < smallest:
        raise ValueError(
            f"`vocab_size` (={vocab_size}) must be at least {smallest} for this corpus: reserved "
            f"tokens, {len(set(alone) | inside)} characters, and {len(inside)} as continuations."
        )
    return learner.learn(
        longer.items(),
        vocab_size=vocab_size,
        reserved_tokens=[*RESERVED, *alone],
        # Pieces of a count of t and more share the corpus, so t is at most the corpus' characters
        # by the pieces to find. The learner tries thresholds by bisection; this saves it many.
        upper_thresh=1 + sum(len(w) * n for w, n in longer.items()) // vocab_size,
        lower_thresh=2,
        num_iterations=3,
        max_input_tokens=-1,
        max_token_length=30,
        max_unique_chars=len(inside),
        slack_ratio=0.05,
        include_joiner_token=True,
        joiner="##",
    )


def smoothed_counts(
    words: Sequence[collections.Counter[str]], sizes: Sequence[int], exponent: float
) -> collections.Counter[str]:
    """Adds up the languages' word counts, each scaled to n**exponent of its n sentences.

    The total stays as it was: a count is of about as many words as there were.
    """
    shares = np.array(sizes, np.float64) ** exponent
    shares *= sum(sizes) / shares.sum()
    total: collections.Counter[str] = collections.Counter()
    for counter, size, share in zip(words, sizes, shares, strict=True):
        for word, count in counter.items():
            total[word] += count * share / size
    return collections.Counter({word: max(1, round(count)) for word, count in total.items()})


def _without_rare_characters(counts: collections.Counter[str]) -> collections.Counter[str]:
    characters: collections.Counter[str] = collections.Counter()
    for word, count in counts.items():
        for character in word:
            characters[character] += count
    rare = {character for character, count in characters.items() if count < _RARE}
    return collections.Counter({w: n for w, n in counts.items() if rare.isdisjoint(w)})


def write_vocabulary(
    tokens: Sequence[str], path: str | os.PathLike, *, overwrite: bool = False
) -> None:
    """Writes one token a line, whole or not at all.

    Raises:
        FileExistsError: `path` exists and `overwrite` is False.
    """
    path = os.fspath(path)
    if os.path.exists(path) and not overwrite:
        raise FileExistsError(f"{path!r} exists. Choose another path, or overwrite it.")
    with atomic_file(path) as file:
        file.writelines(f"{token}\n" for token in tokens)


def _at_most(sentences: list[str], most: int, rng: np.random.Generator) -> list[str]:
    if len(sentences) <= most:
        return sentences
    return [sentences[i] for i in rng.choice(len(sentences), most, replace=False)]


def _word_splitter(lower_case: bool) -> text.BertTokenizer:
    """A BertTokenizer that knows no piece and has no [UNK], and so returns whole words."""
    no_words = tf.lookup.KeyValueTensorInitializer([" "], [0], tf.string, tf.int64)
    table = tf.lookup.StaticHashTable(no_words, default_value=-1)
    return text.BertTokenizer(
        table, lower_case=lower_case, token_out_type=tf.string, unknown_token=None
    )


def _count_words(sentences: list[str], splitter: text.BertTokenizer) -> collections.Counter[str]:
    """Words as `BertTokenizer` splits them, so that the pieces are those it will look up."""
    counts: collections.Counter[bytes] = collections.Counter()
    for start in range(0, len(sentences), _BATCH):
        split = splitter.tokenize(tf.constant(sentences[start : start + _BATCH]))
        counts.update(split.flat_values.numpy().tolist())
    return collections.Counter({word.decode("utf-8"): n for word, n in counts.items()})
