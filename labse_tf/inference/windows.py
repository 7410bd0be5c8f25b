"""From a stream of sentences to a stream of embeddings, in windows that bound the memory."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from labse_tf.files.embeddings import EmbeddingFile, EmbeddingRows
from labse_tf.files.journals import ResumeError
from labse_tf.inference.batching import DEFAULT_BATCH_TOKENS
from labse_tf.inference.duplicates import Duplicates, Window, undivided
from labse_tf.inference.tokens import Tokens, WordPieces

# What is tokenised, sorted and written at a time: so many sentences, or, if they are long texts, so
# many bytes of them.
WINDOW = 4096
WINDOW_BYTES = 2**23


class Windows:
    """Tokenises sentences in windows, one ahead of what is being embedded.

    Args:
        word_pieces: splits them.
        run: embeds: from ids and mask, int32 [n, width], to unit rows [n, dim].
        dim: length of an embedding.
    """

    def __init__(
        self,
        word_pieces: WordPieces,
        run: Callable[[np.ndarray, np.ndarray], np.ndarray],
        dim: int,
    ):
        self.run, self._word_pieces, self._dim = run, word_pieces, dim

    def embed(
        self,
        sentences: Iterator[bytes],
        batch_tokens: int,
        done: Callable[[int], None],
        long: str = "cut",
        result: EmbeddingRows | EmbeddingFile | None = None,
    ) -> Iterator[tuple[np.ndarray, int, int]]:
        """Yields of each window in turn the embeddings, how many sentences were cut, and how many
        are nothing but [UNK].

        Args:
            sentences: in UTF-8; the embeddings come in their order.
            batch_tokens: the most tokens that are embedded at a time.
            done: called with the number of sentences that each batch finishes.
            long: what becomes of sentences that are too long, one of `LONG`.
            result: has what was yielded before the next is asked for, and nothing else behind the
                rows that it has now. Equal sentences are embedded once then; without it, each.
        """
        duplicates = None if result is None else Duplicates(result.rows)

        def prepare(found: list[bytes]) -> tuple[Window, Tokens]:
            window = duplicates.window(found) if duplicates else undivided(found)
            tokens = Tokens(self._word_pieces, window.new, long)
            if duplicates:
                duplicates.embedded(window, tokens.marks)
            return window, tokens

        with contextlib.ExitStack() as stack:
            thread = None  # a service's single sentences need none
            found, error = _next_window(sentences)
            prepared = prepare(found) if found else None
            while prepared:
                # Sentences are read here: their iterator may not like other threads.
                found, error = _next_window(sentences) if error is None else ([], error)
                if found and thread is None:
                    thread = stack.enter_context(ThreadPoolExecutor(1))
                ahead = thread.submit(prepare, found) if found else None
                yield self._embed_window(*prepared, batch_tokens, done, result)
                prepared = ahead.result() if ahead else None
        if error is not None:
            raise error

    def _embed_window(self, window: Window, tokens: Tokens, batch_tokens: int, done, result):
        new = window.rows < 0
        embeddings = np.empty([len(new), self._dim], np.float32)
        for index in np.flatnonzero(~new):
            embeddings[index] = result.read(window.rows[index])
        times = np.bincount(window.places, minlength=len(new))
        done(int(times[~new].sum()))
        embeddings[new] = self._embed_parts(tokens, batch_tokens, times[new], done)
        window.marks[new] = tokens.marks
        return embeddings[window.places], *map(int, window.marks[window.places].sum(axis=0))

    def _embed_parts(
        self, tokens: Tokens, batch_tokens: int, times: np.ndarray, done
    ) -> np.ndarray:
        """The embeddings of sentences, each the mean of its parts', weighted by their pieces.

        Their unit rows are averaged, not what the encoder gives: embeddings are trained and
        compared by their directions, and the length that a part's has by chance is no weight. So
        only one row a sentence is kept, however many parts there are.
        """
        embeddings = np.zeros([len(times), self._dim], np.float32)
        of, shares = tokens.sentences, tokens.shares
        last = np.append(of[1:] != of[:-1], True)  # a sentence is done with the last of its parts
        is_split = len(of) > len(times)
        for parts, ids, mask in tokens.batches(batch_tokens):
            found = self.run(ids, mask)
            if is_split:
                np.add.at(embeddings, of[parts], found * shares[parts, np.newaxis])
            else:
                embeddings[of[parts]] = found
            done(int(times[of[parts]][last[parts]].sum()))
        if is_split:
            means = np.bincount(of, minlength=len(times)) > 1  # others stay as the encoder has them
            norms = np.linalg.norm(embeddings[means], axis=1, keepdims=True)
            embeddings[means] /= np.maximum(norms, 1e-12)
        return embeddings


def _next_window(sentences: Iterator[bytes]) -> tuple[list[bytes], Exception | None]:
    """Sentences up to the window's end, or to an error, which waits until they are embedded."""
    window: list[bytes] = []
    size = 0
    try:
        for sentence in itertools.islice(sentences, WINDOW):
            window.append(sentence)
            size += len(sentence)
            if size >= WINDOW_BYTES:
                break
    except Exception as error:
        return window, error
    return window, None


def skip_embedded(
    rows: EmbeddingFile,
    sentences: Iterator[bytes],
    windows: Windows,
    tolerance: float,
    long: str,
) -> None:
    """Skip the sentences that have rows, and embed the first and the last of them as a check.

    Args:
        rows: Rows of an interrupted run, at least one.
        sentences: All sentences, from `rows.watch`.
        windows: Embeds the two sentences.
        tolerance: Maximum distance between an embedding and its row.
        long: How long sentences are embedded, one of `LONG`.

    Raises:
        ResumeError: If the sentences are not the same as before, or the rows are not their
            embeddings.
    """
    ends = iter(rows.skip(sentences))
    again, *_ = next(windows.embed(ends, DEFAULT_BATCH_TOKENS, lambda count: None, long))
    for index, embedding in zip((0, rows.rows - 1), again, strict=True):
        # Not `> tolerance`: a NaN is no embedding either.
        if not np.linalg.norm(rows.read(index).astype(np.float32) - embedding) <= tolerance:
            raise ResumeError(
                f"{rows.unfinished!r} cannot be resumed: row {index} is not this model's embedding "
                f"of sentence {index}. Was it another model or precision, or other sentences? "
                "Remove it to start from scratch."
            )
