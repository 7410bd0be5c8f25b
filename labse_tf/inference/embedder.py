"""Embedder: sentences in, unit vectors out, whatever runs the encoder."""

from __future__ import annotations

import abc
import os
import sys
import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from labse_tf.files.embeddings import OUTPUT_DTYPES, EmbeddingFile, EmbeddingRows
from labse_tf.files.lines import count_lines
from labse_tf.files.sentences import in_utf8
from labse_tf.inference.batching import DEFAULT_BATCH_TOKENS
from labse_tf.inference.tokens import LONG
from labse_tf.inference.windows import Windows, skip_embedded
from labse_tf.processes import check_process
from labse_tf.progress_bars import is_watched, progress_bar
from labse_tf.tokenization.prompts import choose_prompt

if TYPE_CHECKING:
    from labse_tf.openvino.encoder import OpenVINO

# The distance that an embedding may have from its row in an interrupted run's file, which was
# rounded otherwise: to float16, and in another batch. Unrelated sentences are at about 1.
_RESUME_TOLERANCE = {"float32": 2e-3, "bfloat16": 0.05, "float16": 0.01, "int8": 0.1}


class SentenceWarning(UserWarning):
    """A number of sentences whose embeddings may not be what the user expects.

    Args:
        count: Number of these sentences.
        total: Number of all sentences.
        reason: What is the matter with them.
    """

    def __init__(self, count: int, total: int, reason: str):
        super().__init__(f"{count:,} of {total:,} sentences {reason}")
        self.count, self.reason = count, reason


class Embedder(abc.ABC):
    """Base class of the models that `labse_tf.load` returns, on every backend.

    Functions that only embed take an `Embedder`. Training needs the subclass
    `labse_tf.LaBSE` with the TensorFlow backend.

    Attributes:
        dim: Number of dimensions of an embedding.
        seq_length: Maximum number of tokens of a sentence, [CLS] and [SEP] included.
        compute_dtype: Precision of `encode` by default.
        precisions: Precisions that `encode` accepts.
        backend: What runs the encoder instead of TensorFlow, or None.
    """

    dim: int
    seq_length: int
    compute_dtype: str
    precisions: tuple[str, ...]
    backend: OpenVINO | None

    def __init__(self):
        check_process()
        self._windows: dict[str, Windows] = {}

    def encode(
        self,
        sentences: Iterable[str] | os.PathLike,
        *,
        batch_tokens: int = DEFAULT_BATCH_TOKENS,
        precision: str | None = None,
        show_progress: bool | None = None,
        total: int | None = None,
        output: str | os.PathLike | None = None,
        output_dtype: str = "float32",
        resume: bool = False,
        deduplicate: bool = True,
        long: str = "cut",
        prompt: str | None = None,
        prompt_name: str | None = None,
    ) -> np.ndarray:
        """Embeds sentences, in batches of like length, and equal ones once.

        A row does not depend on what else is in its batch, but for rounding: by 1e-5 at most in
        float32, and in bfloat16 with a cosine of 0.9999 at least.

        Args:
            sentences: strings, from a list, a generator or whatever can be iterated over; or a
                pathlib.Path of a text, plain or `.gz`, with a sentence a line. They are read as
                they are needed, in windows of 4,096 (of long ones fewer: 8 MB). An empty one is
                legal. A warning says how many are nothing but [UNK].
            batch_tokens: the most tokens of a batch, padding included: bounds the memory.
            precision: "float32", or "bfloat16" for matmuls and activations in bfloat16, twice as
                fast where the CPU has instructions for it; or "float16", for GPUs without bfloat16,
                not with OpenVINO; or "int8", with OpenVINO alone: kernels and what they are
                multiplied by in 8 bits, all else in bfloat16. None: as the model was loaded. One
                loaded in float32 casts its kernels for every batch: if you embed one sentence at a
                time, `labse_tf.load(path, precision="bfloat16")`.
            show_progress: whether to draw a progress bar; None: on a terminal (stderr), and in a
                notebook.
            total: how many sentences there are, for the progress bar, if `sentences` cannot say.
            output: a .npy file to stream the embeddings to, so that neither they nor the sentences
                need to fit in memory. Until it is whole, its rows are in `OUTPUT.unfinished`,
                itself a .npy file, which an interrupt or a full disk leaves behind.
            output_dtype: "float32", or "float16" for half the space.
            resume: Whether to continue after the rows in `OUTPUT.unfinished`, if there are any.
                Give the same sentences from the start: sentences with rows are skipped. Another
                model, precision, backend, `output_dtype` or `long`, or a changed sentence, is a
                ResumeError; `OUTPUT.unfinished.jsonl` stores what is compared.
            deduplicate: whether a sentence that occurred before, the same byte for byte, gets the
                row that is there already. All equal sentences of a window are found, and of those
                before it the last two million or so, by 50 MB of hashes. False embeds each anew:
                its row may be another one by rounding, as said above, and by nothing else.
            long: "cut" cuts sentences longer than the preprocessor's `seq_length` tokens to it, and
                a warning says how many were. "mean" embeds the whole of them: in parts of
                `seq_length` - 2 word pieces with [CLS] and [SEP] around each, the last part of what
                is left; their unit rows are averaged, weighted by the number of word pieces, and
                the mean brought to unit length. Sentences that are short enough have the same
                embeddings either way.
            prompt: Text to put before each sentence, such as "query: "; "" for none.
            prompt_name: Name of one of the model's own prompts, instead of the text. With neither,
                the model's default prompt is used, if it has one.

        Returns:
            [number of sentences, dim] of `output_dtype`, rows of unit length, in the order of
            `sentences`; with `output`, a read-only memory map of it.

        Raises:
            BlockingIOError: another process writes to `output`.
            FileExistsError: `output` exists; or `OUTPUT.unfinished` does, and `resume` is False.
            MemoryError: a batch did not fit in memory.
            OSError: the output cannot be written, or `sentences` read.
            RuntimeError: the process was forked from one that had a model.
            TypeError: `sentences` is a string, or one of them is not (the message has its index).
            ValueError: a sentence holds a lone surrogate, which has no UTF-8 form; an argument is
                none of the above; or, as its subclass ResumeError, the rows to resume are not this
                model's of these sentences.
        """
        check_process()
        if batch_tokens < 1:
            raise ValueError(f"`batch_tokens` (={batch_tokens}) must be at least 1.")
        if output_dtype not in OUTPUT_DTYPES:
            raise ValueError(f"`output_dtype` (={output_dtype!r}) must be one of {OUTPUT_DTYPES}.")
        if resume and output is None:
            raise ValueError("`resume` needs the `output` that an earlier run has begun.")
        if long not in LONG:
            raise ValueError(f"`long` (={long!r}) must be one of {LONG}.")
        if precision is None:
            precision = self.compute_dtype
            if precision not in self.precisions:
                raise ValueError(
                    f"The encoder's policy is to compute in {precision}, in which nothing is "
                    f"embedded: give `precision`, one of {self.precisions}."
                )
        prompt = choose_prompt(*self._prompts(), prompt, prompt_name)
        windows = self._in(precision)
        if show_progress is None:
            show_progress = is_watched(sys.stderr)
        if show_progress and total is None and isinstance(sentences, os.PathLike):
            total = count_lines(sentences) if os.path.isfile(sentences) else None  # or a pipe
        sentences, length = in_utf8(sentences)
        if prompt:
            before = prompt.encode("utf-8")
            sentences = (before + sentence for sentence in sentences)
        total = length if total is None else total
        cut = unknown = count = 0
        with progress_bar(show=show_progress, total=total, unit=" sentences") as bar:
            if output is None:
                rows = EmbeddingRows(length or 0, self.dim, output_dtype)
            else:
                settings = self._settings(precision, long)
                settings |= {"prompt": prompt} if prompt else {}
                rows = EmbeddingFile(
                    output, self.dim, output_dtype, resume=resume, settings=settings
                )
            try:
                sentences = rows.watch(sentences)
                if rows.rows:
                    skip_embedded(rows, sentences, windows, _RESUME_TOLERANCE[precision], long)
                    bar.update(rows.rows)
                result = rows if deduplicate else None
                found = windows.embed(sentences, batch_tokens, bar.update, long, result)
                for embeddings, *counts in found:
                    rows.append(embeddings)
                    cut, unknown = cut + counts[0], unknown + counts[1]
                    count += len(embeddings)
                whole = rows.finish()
            finally:
                rows.close()
        if cut:
            reason = f"are longer than `seq_length` (={self.seq_length}) tokens and were cut."
            warnings.warn(SentenceWarning(cut, count, reason), stacklevel=2)
        if unknown:
            reason = (
                "are nothing but [UNK]: none of their words is in the vocabulary, and those of as "
                "many words have the same embedding."
            )
            warnings.warn(SentenceWarning(unknown, count, reason), stacklevel=2)
        return whole

    def similarity(
        self, a: Iterable[str] | np.ndarray, b: Iterable[str] | np.ndarray
    ) -> np.ndarray:
        """Return the cosines of each item of `a` with each of `b`, float32 [len(a), len(b)].

        Args:
            a, b: Sentences, which are embedded; or embeddings, an array [n, dim] of floats whose
                rows may have any length.

        Raises:
            TypeError: If an item is neither a sentence nor a row of floats.
            ValueError: If embeddings are not [n, dim].

        Example:
            >>> embeddings = model.encode(["Hello", "Hallo"])
            >>> model.similarity(embeddings, embeddings).shape
            (2, 2)
        """
        return self._unit_rows(a, "a") @ self._unit_rows(b, "b").T

    def _unit_rows(self, given: Iterable[str] | np.ndarray, name: str) -> np.ndarray:
        rows = _as_floats(given)
        if rows is None:
            return self.encode(given)
        if rows.ndim != 2 or rows.shape[1] != self.dim:
            raise ValueError(
                f"`{name}` is an array of the shape {list(rows.shape)}, but embeddings of this "
                f"model are [n, {self.dim}]."
            )
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        return rows / np.maximum(norms, 1e-12)

    @abc.abstractmethod
    def _prompts(self) -> tuple[Mapping[str, str], str | None]:
        """Return the model's prompts by name, and the name of the default one."""

    @abc.abstractmethod
    def fingerprint(self) -> str:
        """Return "sha256:" and a digest that identifies the model, the same on every backend.

        It covers the configuration, the vocabulary, the tokenization, the weights in the dtype in
        which they are held, and the kernels that `labse quantize` prepared.
        """

    def __getstate__(self):
        raise TypeError(
            "A LaBSE cannot be pickled or copied: it has graphs that run in this process. Save it "
            "(`model.save(path)`), and labse_tf.load the path in the other process."
        )

    def _settings(self, precision: str, long: str) -> dict[str, str]:
        """Return what a run that is resumed must have in common with the interrupted one."""
        return {
            "model": self.fingerprint(),
            "precision": precision,
            "backend": "tensorflow" if self.backend is None else "openvino",
            "long": long,
        }

    def _in(self, precision: str) -> Windows:
        """What embeds in a precision, made when it is first asked for."""
        if precision not in self.precisions:
            hint = (
                ' For int8, load the model with backend="openvino".' if precision == "int8" else ""
            )
            raise ValueError(
                f"`precision` (={precision!r}) must be one of {self.precisions}.{hint}"
            )
        if precision not in self._windows:
            self._windows[precision] = self._made(precision)
        return self._windows[precision]

    @abc.abstractmethod
    def _made(self, precision: str) -> Windows:
        """Return what embeds in a precision."""


def _as_floats(given: Iterable[str] | np.ndarray) -> np.ndarray | None:
    """Return embeddings in float32; None if they are something else, such as sentences."""
    if isinstance(given, (list, tuple)):  # of rows
        if not given or not all(hasattr(row, "__array__") for row in given):
            return None
    elif not hasattr(given, "__array__"):
        return None
    array = np.asarray(given)
    # bfloat16 of TensorFlow's tensors is a dtype of its own.
    is_float = array.dtype.kind == "f" or array.dtype.name == "bfloat16"
    return array.astype(np.float32) if is_float else None
