"""learn_vocabulary: translation pairs -> a cased WordPiece vocabulary."""

from __future__ import annotations

import collections
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from labse_tf.extras import install_hint
from labse_tf.files.atomic import atomic_file
from labse_tf.files.reservoir import DistinctReservoir, Reservoir
from labse_tf.tokenization.choices import GOOGLE, TOKENIZATIONS
from labse_tf.tokenization.vocabulary_files import END, MASK, PADDING, START, UNKNOWN
from labse_tf.tokenization.words import split_words

RESERVED = (PADDING, UNKNOWN, START, END, MASK)
DEFAULT_EXPONENT = 0.3
_CONTINUATION = "##"
_RARE = 3  # a character of fewer occurrences is not worth a row; it becomes [UNK]
_RARE_PIECE = 2  # nor is a piece
# The trainer takes text, 1.5 million words a second, and not counts: larger ones are scaled down.
_MOST_WORDS = 30_000_000
_BATCH = 8192


def learn_vocabulary(
    languages: Iterable[Iterable[tuple[str, str]]],
    vocab_size: int,
    *,
    exponent: float = DEFAULT_EXPONENT,
    lower_case: bool = False,
    max_word_bytes: int | None = None,
    tokenization: str = GOOGLE,
    max_sentences: int = 1_000_000,
    seed: int = 0,
) -> list[str]:
    """Learn word pieces with the WordPiece trainer of `tokenizers`, with smoothed languages.

    The words of each language's sources are counted, and the words of the distinct targets of all
    languages together. A language of n sentences counts as if n**exponent of them had been drawn,
    in proportion (arXiv 2007.01852, section 3.1: 0.3): its words' counts are scaled, which is
    sampling without its noise. The trainer then merges the two neighboring pieces that are most
    frequent, again and again.

    Memory holds at most `max_sentences` sources and `max_sentences` targets. Above that number,
    words are counted in a uniform random sample, n is still the number of all sentences of the
    language, and the number of distinct targets is estimated.

    The same pairs, in the same order, and the same seed give the same pieces.

    Args:
        languages: of each language its pairs (source, target), as
            `labse_tf.data.pair_files.read_columns` gives them; read once, one after another.
        vocab_size: most pieces; there are fewer if nothing is left to merge.
        exponent: 1 leaves languages in their proportions, 0 makes them equal.
        lower_case: whether to fold case and strip accents; LaBSE's vocabulary is cased.
        max_word_bytes: longer words are left out, as they are [UNK] to a Preprocessor of the same
            `max_word_bytes`; None: none is.
        tokenization: "google" or "hugging-face", that of the Preprocessor which will use them.
        max_sentences: Most sentences of a language whose words are counted, drawn at random.
        seed: Seed of the random sample of sentences.

    Returns:
        The pieces: [PAD], [UNK], [CLS], [SEP], [MASK]; the characters, as beginnings of a word and
        then as continuations, each by code point; the merged pieces, most frequent first.

    Raises:
        ImportError: `tokenizers` is not installed (the extra `vocabulary`).
        ValueError: there are no pairs, no such tokenization, or `vocab_size` does not hold the
            reserved tokens and the characters.

    Example:
        >>> files = ["deu-eng.tsv.gz", "jpn-eng.tsv.gz"]
        >>> pieces = learn_vocabulary([read_columns(file) for file in files], 16_000)
        >>> pieces[:5]
        ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
    """
    try:
        import tokenizers  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"Learning a vocabulary needs `tokenizers`: {install_hint('vocabulary')}."
        ) from error
    if not 0 <= exponent:
        raise ValueError(f"`exponent` (={exponent}) must be at least 0.")
    if tokenization not in TOKENIZATIONS:
        raise ValueError(f"`tokenization` (={tokenization!r}) must be one of {TOKENIZATIONS}.")
    if max_word_bytes is not None and tokenization != GOOGLE:
        raise ValueError(
            f"`max_word_bytes` (={max_word_bytes}) is a limit of the tokenization {GOOGLE!r}, but "
            f"`tokenization` is {tokenization!r}."
        )
    targets = DistinctReservoir(max_sentences, seed)
    words, sizes, counted = [], [], []
    for pairs in languages:
        sources: Reservoir[str] = Reservoir(max_sentences, seed)
        pairs = iter(pairs)
        while block := list(itertools.islice(pairs, _BATCH)):
            sources.extend([source for source, _ in block])
            targets.extend(target for _, target in block)
        if not sources.count:
            raise ValueError(f"Language {len(sizes)} (from 0) has no pairs to learn from.")
        words.append(_count_words(sources.items, tokenization, lower_case))
        sizes.append(sources.count)
        counted.append(len(sources.items))
    if not sizes:
        raise ValueError("No languages to learn a vocabulary from: expected at least one.")
    words.append(_count_words(sorted(targets.items), tokenization, lower_case))
    sizes.append(targets.count)
    counted.append(len(targets.items))

    if max_word_bytes is not None:
        words = [
            collections.Counter({w: n for w, n in of.items() if len(w.encode()) <= max_word_bytes})
            for of in words
        ]
    counts = _without_rare_characters(smoothed_counts(words, sizes, counted, exponent))
    # A word of one character (punctuation, CJK) is a piece as it is, and nothing to learn from.
    longer = {word: count for word, count in counts.items() if len(word) > 1}
    inside = sorted({character for word in longer for character in word})
    characters = sorted({*inside, *(word for word in counts if len(word) == 1)})
    known = [*RESERVED, *characters, *(_CONTINUATION + character for character in inside)]
    if vocab_size < len(known):
        raise ValueError(
            f"`vocab_size` (={vocab_size}) must be at least {len(known)} for this corpus: reserved "
            f"tokens, {len(characters)} characters, and {len(inside)} as continuations."
        )
    return _merge(longer, known, vocab_size)


def _merge(counts: dict[str, int], known: list[str], vocab_size: int) -> list[str]:
    """The known pieces, and those that the trainer makes of the words, in the order of merging."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.CharDelimiterSplit(" ")
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=_RARE_PIECE,
        # Continuations too: the trainer would number them in the order of a hash table, by which it
        # then decides between equally frequent merges, in every process another way.
        special_tokens=known,
        continuing_subword_prefix=_CONTINUATION,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_repeated(counts), trainer)
    ids = tokenizer.get_vocab()
    return sorted(ids, key=ids.get)


def _repeated(counts: dict[str, int]) -> Iterator[str]:
    """Texts in which each word stands as often as it counts, or in proportion if these are many."""
    scale = min(1.0, _MOST_WORDS / max(1, sum(counts.values())))
    for word, count in counts.items():
        left = max(1, round(scale * count))
        while left > 0:
            yield " ".join([word] * min(left, _BATCH))
            left -= _BATCH


def smoothed_counts(
    words: Sequence[collections.Counter[str]],
    sizes: Sequence[int],
    counted: Sequence[int],
    exponent: float,
) -> collections.Counter[str]:
    """Add up the languages' word counts, each scaled to n**exponent of its n sentences.

    The total is preserved: the result has about as many words as the languages' counts together.

    Args:
        words: Word counts of each language.
        sizes: Number of sentences of each language.
        counted: Number of sentences of each language in which `words` were counted.
        exponent: 1 leaves languages in their proportions, 0 makes them equal.
    """
    shares = np.array(sizes, np.float64) ** exponent
    shares *= sum(counted) / shares.sum()
    total: collections.Counter[str] = collections.Counter()
    for counter, sentences, share in zip(words, counted, shares, strict=True):
        for word, count in counter.items():
            total[word] += count * share / sentences
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


def _count_words(
    sentences: list[str], tokenization: str, lower_case: bool
) -> collections.Counter[str]:
    """Words as the tokenizer splits them, so that the pieces are those it will look up."""
    counts: collections.Counter[bytes] = collections.Counter()
    for start in range(0, len(sentences), _BATCH):
        batch = tf.constant(sentences[start : start + _BATCH])
        split = split_words(batch, tokenization, lower_case)
        counts.update(split.flat_values.numpy().tolist())
    return collections.Counter({word.decode("utf-8"): n for word, n in counts.items()})
