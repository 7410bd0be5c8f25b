"""From a stream of sentences to a stream of embeddings, in windows that bound the memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from labse_tf.files.embeddings import EmbeddingFile
from labse_tf.inference.batching import DEFAULT_BATCH_TOKENS, plan
from labse_tf.tokenization.preprocessing import Preprocessor

WINDOW = 4096  # sentences that are tokenised, sorted and written at a time


class Windows:
    """Tokenises sentences in windows, one ahead of what is being embedded.

    Args:
        preprocessor: of the model.
        embed: gives the embeddings [n, dim] of some rows of a window: called with all word
            pieces of the window (int32 [window, (pieces)]), the rows' numbers (int64 [n]) and the
            width to pad to (int32).
    """

    def __init__(self, preprocessor: Preprocessor, embed: Callable):
        self.run = embed
        self._seq_length = preprocessor.seq_length

        def tokenize(sentences, batch_tokens):
            pieces = preprocessor.word_pieces(sentences)
            lengths = tf.minimum(tf.cast(pieces.row_lengths(), tf.int32) + 2, self._seq_length)
            order = tf.argsort(lengths, direction="DESCENDING", stable=True)
            ends, widths = plan(tf.gather(lengths, order), batch_tokens)
            too_long = pieces.row_lengths() + 2 > self._seq_length
            is_unknown = tf.cast(tf.equal(pieces, preprocessor.unknown_id), tf.int64)
            all_unknown = tf.reduce_sum(is_unknown, axis=1) == pieces.row_lengths()
            all_unknown &= pieces.row_lengths() > 0
            counts = [tf.reduce_sum(tf.cast(rows, tf.int32)) for rows in (too_long, all_unknown)]
            return pieces, tf.cast(order, tf.int64), ends, widths, counts

        self._tokenize = tf.function(
            tokenize,
            autograph=False,
            input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([], tf.int32)],
        )

    def embed(
        self, sentences: Iterator[bytes], batch_tokens: int, done: Callable[[int], None]
    ) -> Iterator[tuple[np.ndarray, int, int]]:
        """Yields of each window in turn the embeddings, how many sentences were cut, and how many
        are nothing but [UNK].

        Args:
            sentences: in UTF-8; the embeddings come in their order.
            batch_tokens: the most tokens that are embedded at a time.
            done: called with the size of each batch.
        """

        def tokenize(window):
            return self._tokenize(tf.constant(window, tf.string), tf.constant(batch_tokens))

        with ThreadPoolExecutor(1) as thread:
            window, error = _next_window(sentences)
            tokens = tokenize(window) if window else None
            while window:
                # Sentences are read here: their iterator may not like other threads.
                following, error = _next_window(sentences) if error is None else ([], error)
                ahead = thread.submit(tokenize, following) if following else None
                yield self._embed_window(len(window), tokens, done)
                window, tokens = following, ahead.result() if ahead else None
        if error is not None:
            raise error

    def _embed_window(self, count: int, tokens, done) -> tuple[np.ndarray, int, int]:
        pieces, order, ends, widths, counts = tokens
        embeddings, start = None, 0
        for end, width in zip(ends.numpy(), widths.numpy(), strict=True):
            rows = order[start:end]
            found = self.run(pieces, rows, width)
            if embeddings is None:
                embeddings = np.empty([count, found.shape[1]], np.float32)
            embeddings[rows.numpy()] = found
            done(len(found))
            start = end
        return embeddings, *map(int, counts)


def _next_window(sentences: Iterator[bytes]) -> tuple[list[bytes], Exception | None]:
    """Sentences up to the window's end, or to an error, which waits until they are embedded."""
    window: list[bytes] = []
    try:
        window.extend(itertools.islice(sentences, WINDOW))
    except Exception as error:
        return window, error
    return window, None


def skip_embedded(
    rows: EmbeddingFile, sentences: Iterator[bytes], windows: Windows, tolerance: float
) -> None:
    """Skips the sentences that have rows, after a check of the first and the last of these.

    Args:
        rows: of an interrupted run, at least one.
        sentences: all of them.
        windows: embeds the first and the last that has a row once more.
        tolerance: how far an embedding may be from its row.

    Raises:
        ValueError: there are fewer sentences than rows, or the rows are not their embeddings.
    """
    passed, first, last = 0, None, None
    for last in itertools.islice(sentences, rows.rows):
        first = last if first is None else first
        passed += 1
    if passed < rows.rows:
        raise ValueError(
            f"{rows.unfinished!r} cannot be resumed: it has {rows.rows:,} rows, but there are only "
            f"{passed:,} sentences."
        )
    again, *_ = next(windows.embed(iter([first, last]), DEFAULT_BATCH_TOKENS, lambda count: None))
    for index, embedding in zip((0, rows.rows - 1), again, strict=True):
        # Not `> tolerance`: a NaN is no embedding either.
        if not np.linalg.norm(rows.read(index).astype(np.float32) - embedding) <= tolerance:
            raise ValueError(
                f"{rows.unfinished!r} cannot be resumed: row {index} is not this model's embedding "
                f"of sentence {index}. Was it another model or precision, or other sentences? "
                "Remove the file to start anew."
            )
