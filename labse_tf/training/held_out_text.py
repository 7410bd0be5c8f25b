"""Masked accuracy and perplexity on held-out text, language by language."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

from labse_tf.data.masking import Masking
from labse_tf.data.monolingual import SOURCES, TARGETS, TEXT, read_side
from labse_tf.data.pair_files import is_pairs
from labse_tf.tokenization.preprocessing import Preprocessor
from labse_tf.training.checkpoints import TrainingState
from labse_tf.training.config import PretrainingConfig
from labse_tf.training.held_out import HeldOut
from labse_tf.training.preemption import Preemption
from labse_tf.training.pretrainer import Pretrainer
from labse_tf.training.stages import Stage

ACCURACY, PERPLEXITY, MEAN = "masked_accuracy", "perplexity", "mean"
DEFAULT_ROWS = 200
_BATCH = 32


class MaskedEvaluation:
    """How well masked word pieces of held-out text are predicted: a callable that returns figures.

    Sentences are concatenated to rows as for training, in the order of the files, and masked alike
    at every call. Perplexity is e to the mean loss.

    Args:
        files: texts, or translation pairs, of which both sides are used. The language is the first
            part of a text's name (`deu.heldout.txt`); the name of pairs has two
            (`deu-eng.tsv.gz`). Texts of one language count as one.
        preprocessor: of the model.
        masking: as in training.
        rows: most rows of a language; a row of 128 tokens has about 19 masked positions.
        seed: of the masks.

    Raises:
        FileNotFoundError, ValueError: See `labse_tf.data.masked_text.read_masked`.
        ValueError: If a language has no text, or none that the vocabulary knows.

    Example:
        >>> MaskedEvaluation(["deu-eng.tsv"], preprocessor, Masking(preprocessor))(pretrainer)
        {'deu/masked_accuracy': 0.41, 'deu/perplexity': 27.3, 'eng/masked_accuracy': 0.48, ...}
    """

    def __init__(
        self,
        files: Sequence[str | os.PathLike],
        preprocessor: Preprocessor,
        masking: Masking,
        rows: int = DEFAULT_ROWS,
        seed: int = 0,
    ):
        if not files:
            raise ValueError("No held-out files were given: expected at least one.")
        texts: dict[str, list[tuple[str, str]]] = {}
        for path in map(os.fspath, files):
            for kind in (SOURCES, TARGETS) if is_pairs(path) else (TEXT,):
                texts.setdefault(_language(path, kind), []).append((path, kind))
        self._traced: tuple[Pretrainer, Callable] | None = None
        self._batches = {}
        for language, sides in sorted(texts.items()):
            # From all files in equal parts, up to that many rows.
            sentences = _in_turn([read_side(*side) for side in sides])
            packed = _rows(language, sentences, preprocessor, rows)
            self._batches[language] = [
                masking({name: x[start : start + _BATCH] for name, x in packed.items()}, [seed, i])
                for i, start in enumerate(range(0, packed["input_mask"].shape[0], _BATCH))
            ]

        unknown = [
            language
            for language, batches in self._batches.items()
            if not any(tf.reduce_any(batch["masked_lm_weights"] > 0) for batch in batches)
        ]
        if unknown:
            raise ValueError(
                "There is nothing to predict in the held-out files of these languages, since all "
                f"their tokens are [UNK]: {', '.join(unknown)}. Leave the files out, or learn a "
                "vocabulary from text of these languages (training.vocabulary)."
            )

    def __call__(self, pretrainer: Pretrainer) -> dict[str, float]:
        """`LANGUAGE/masked_accuracy` and `LANGUAGE/perplexity`, and `mean/...` over languages."""
        if self._traced is None or self._traced[0] is not pretrainer:
            self._traced = pretrainer, tf.function(pretrainer.sums, reduce_retracing=True)
        _, sums = self._traced
        figures, losses = {}, []
        for language, batches in self._batches.items():
            totals = [sum(map(float, x)) for x in zip(*map(sums, batches), strict=True)]
            loss, correct, count = totals
            losses.append(loss / count)
            figures[f"{language}/{ACCURACY}"] = correct / count
            figures[f"{language}/{PERPLEXITY}"] = math.exp(min(700.0, loss / count))
        accuracies = [value for name, value in figures.items() if name.endswith(ACCURACY)]
        figures[f"{MEAN}/{ACCURACY}"] = sum(accuracies) / len(accuracies)
        figures[f"{MEAN}/{PERPLEXITY}"] = math.exp(min(700.0, sum(losses) / len(losses)))
        return figures


def table(figures: dict[str, float]) -> str:
    """The figures of a `MaskedEvaluation`, a line a language."""
    lines = [f"{'':12}{'masked accuracy':>16}{'perplexity':>12}"]
    for name in (name for name in figures if name.endswith(ACCURACY)):
        language = name.rsplit("/", 1)[0]
        perplexity = figures[f"{language}/{PERPLEXITY}"]
        lines.append(f"{language:12}{figures[name]:16.1%}{perplexity:12,.1f}")
    return "\n".join(lines)


class HeldOutText(HeldOut):
    """Measures masked accuracy and perplexity while a model is pre-trained.

    Args:
        evaluation: The measurement.
        state, config, stage, preemption: See `HeldOut`.
    """

    def __init__(
        self,
        evaluation: MaskedEvaluation,
        state: TrainingState,
        config: PretrainingConfig,
        stage: Stage,
        preemption: Preemption,
    ):
        super().__init__(state, config, stage, preemption)
        self._evaluation = evaluation

    def measure(self) -> dict[str, float]:
        return self._evaluation(self.model)

    def record(self, measured: dict[str, float]) -> None:
        accuracy, perplexity = (measured[f"{MEAN}/{name}"] for name in (ACCURACY, PERPLEXITY))
        self.report(
            {f"held_out/{name}": x for name, x in measured.items()},
            f"held-out masked accuracy: {accuracy:.2%} - perplexity: {perplexity:,.1f}",
        )
        if self._step == self._last:
            self._state.output.say(table(measured))


def _language(path: str, kind: str) -> str:
    name = os.path.basename(path).split(".")[0]
    if kind == TEXT:
        return name
    languages = name.split("-")
    return languages[kind == TARGETS] if len(languages) == 2 else f"{name} {kind}"


def _in_turn(iterators: list[Iterator[str]]) -> Iterator[str]:
    """The first of each, the second of each, ... until all have ended."""
    return (x for xs in itertools.zip_longest(*iterators) for x in xs if x is not None)


def _rows(
    language: str, sentences: Iterator[str], preprocessor: Preprocessor, rows: int
) -> dict[str, tf.Tensor]:
    """Return at most `rows` rows, int32 [rows, seq_length]; the last one may have padding."""
    room = preprocessor.seq_length - 2  # [CLS] and [SEP]
    tokens: list[int] = []
    while len(tokens) < rows * room and (block := list(itertools.islice(sentences, 1000))):
        for pieces in preprocessor.word_pieces(tf.constant(block)).to_list():
            tokens += [*pieces, preprocessor.end_id] if pieces else []
    if not tokens:
        raise ValueError(f"There is no text in the held-out files of the language {language!r}.")
    tokens = tokens[: rows * room]
    cut = [tokens[i : i + room] for i in range(0, len(tokens), room)]
    segment = tf.ragged.constant(cut, tf.int32, ragged_rank=1, row_splits_dtype=tf.int64)
    return preprocessor.pack([segment], preprocessor.seq_length)
