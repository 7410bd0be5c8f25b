"""Ends a run whose batches hold nothing to learn, instead of letting it finish with loss 0."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import tensorflow as tf
import tf_keras

from labse_tf.tokenization.preprocessing import Preprocessor
from labse_tf.training.stages import Stage

STEPS = 50  # without anything to learn; an unlucky batch, or a few, are no reason to stop
_MOST_UNKNOWN = 0.2  # of the sequences, where other text is what helps
Dataset = Callable[[tf.distribute.InputContext, int], tf.data.Dataset]


class StopWithNothingToLearn(tf_keras.callbacks.Callback):
    """Looks at the figures of the last `STEPS` steps, or of a stage that has fewer.

    Args:
        preprocessor: whose ids the batches hold.
        stage: the steps that are taken.
        start: number of those that were finished before this call of `fit`.
        dataset: as of `train`: one batch is read once more, to say what is in it.

    Raises:
        ValueError: none of them had anything to learn; raised after the last of them.
    """

    def __init__(self, preprocessor: Preprocessor, stage: Stage, start: int, dataset: Dataset):
        super().__init__()
        self._preprocessor, self._dataset = preprocessor, dataset
        self._start = self._step = stage.first + start
        self._most, self._without = min(STEPS, stage.steps), 0

    def on_train_batch_end(self, batch: int, logs=None):
        before, self._step = self._step, self._start + batch + 1
        # Figures are means since the last report, and so 0 only if they were in all these steps.
        self._without = self._without + self._step - before if self.is_nothing(logs) else 0
        if self._without >= self._most:
            (batch,) = self._dataset(tf.distribute.InputContext(), self._step - 1).take(1)
            raise ValueError(
                f"{self.what(self._without)}, up to step {self._step}: there is nothing to learn. "
                f"{self._seen(batch)} Start again in another directory."
            )

    def is_nothing(self, logs: Mapping[str, float]) -> bool:
        """Whether the figures say that there was nothing to learn."""
        raise NotImplementedError

    def what(self, batches: int) -> str:
        """What was wrong with the batches: the beginning of the message."""
        raise NotImplementedError

    def remedy(self) -> str:
        """What helps where the text is known to the vocabulary."""
        raise NotImplementedError

    def _seen(self, batch: tuple[dict[str, tf.Tensor], ...]) -> str:
        """What is in a batch, and what helps against it."""
        preprocessor, sequences = self._preprocessor, []
        for side in batch:
            ids, mask = (side[name].numpy() for name in ("input_word_ids", "input_mask"))
            sequences += [tuple(row[: sum(used)]) for row, used in zip(ids, mask, strict=True)]
        special = {preprocessor.start_id, preprocessor.end_id}
        # By sequences: where one language of pairs is unknown, most pieces are the other one's.
        unknown = sum({*row} - special == {preprocessor.unknown_id} for row in sequences)
        unknown /= len(sequences)
        seen = (
            f"A batch like that of this step has {len(sequences):,} sequences, "
            f"{len(set(sequences)):,} different ones as token ids; {unknown:.0%} of them are "
            "nothing but [UNK]."
        )
        if unknown <= _MOST_UNKNOWN:
            return f"{seen} {self.remedy()}"
        message = f"{seen} The vocabulary does not know this text: learn one from it "
        message += f"(training.vocabulary --tokenization {preprocessor.tokenization})"
        for name in ("max_word_bytes", "max_word_characters"):
            if limit := getattr(preprocessor, name):
                message += (
                    f", and train without `{name}` (={limit}), beyond which a word is [UNK], as "
                    "whole sentences are in scripts without spaces"
                )
        return f"{message}."


class StopWithoutNegatives(StopWithNothingToLearn):
    """Of translation ranking: no pair had a negative."""

    def is_nothing(self, logs: Mapping[str, float]) -> bool:
        return logs["negatives"] == 0

    def what(self, batches: int) -> str:
        return (
            f"No pair of {batches} batches had a negative, since each of them has a sentence in "
            "common with all others of its batch"
        )

    def remedy(self) -> str:
        return (
            "Drop repeated sentences (training.prepare_pairs --max-per-source 1 "
            "--max-per-target 1), or add files of other text."
        )


class StopWithoutMasks(StopWithNothingToLearn):
    """Of pre-training: nothing was masked. A loss of 0 on masked places would be all right."""

    def is_nothing(self, logs: Mapping[str, float]) -> bool:
        return logs["loss"] == 0 and logs["masked_accuracy"] == 0

    def what(self, batches: int) -> str:
        return f"No sequence of {batches} batches had a word piece to mask"

    def remedy(self) -> str:
        return "Give text that has words."
