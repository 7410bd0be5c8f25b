"""SentEval: what a linear classifier finds in frozen embeddings (Conneau and Kiela, 2018)."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from collections.abc import Callable

import numpy as np

from labse_tf.evaluation.benchmarks.embedding import Embed
from labse_tf.evaluation.benchmarks.files import check_directory
from labse_tf.evaluation.benchmarks.senteval_files import LAYOUT, Examples, read_task
from labse_tf.evaluation.metrics import Metrics
from labse_tf.evaluation.observer import Observer
from labse_tf.extras import install_hint

TASKS = ("MR", "CR", "SUBJ", "MPQA", "TREC", "SST-2", "MRPC")


@dataclasses.dataclass(frozen=True)
class SentEval:
    """Accuracies of logistic regression on frozen embeddings (arXiv 2007.01852, section 5.3).

    MR, CR, SUBJ and MPQA by nested 10-fold cross-validation, TREC and MRPC on their test sets after
    10 folds of the training set, SST-2 with its validation set; see
    `labse_tf.evaluation.benchmarks.classification`. "accuracy" is that on test data, "validation
    accuracy" the one that chose the regularisation; MRPC, whose features are |u - v| and u * v, has
    "F1" too.

    Args:
        tasks: some of "MR", "CR", "SUBJ", "MPQA", "TREC", "SST-2", "MRPC".
        folds: of the cross-validations; SentEval's own quick setting is 5.
    """

    name = "senteval"
    tasks: tuple[str, ...] = TASKS
    folds: int = 10

    def __call__(
        self,
        encode: Callable[[list[str]], np.ndarray],
        data_dir: str | os.PathLike | None = None,
        observer: Observer | None = None,
    ) -> dict[str, float]:
        """Measures `encode` on the files of a directory.

        Raises:
            FileNotFoundError: there is no such directory, or a task's files are not in it.
            ImportError: scikit-learn is not installed.
            ValueError: there is no such task, a file is not what it should be, or the embeddings
                are not.
        """
        directory = self.check(data_dir)
        from labse_tf.evaluation.benchmarks import classification  # scikit-learn is an extra

        embed, metrics = Embed(encode), Metrics(observer or Observer())
        for task in metrics.observer.progress(self.tasks):
            with metrics.observer.part(task):
                splits = {
                    name: _features(embed, task, in_order(examples))
                    for name, examples in read_task(directory, task, metrics.observer).items()
                }
                metrics.add(task, self._measure(classification, splits, task))
        metrics.add_mean(f"mean of {len(self.tasks)}", self.tasks)
        return metrics.values

    def check(self, data_dir: str | os.PathLike | None) -> str:
        """The directory; raises what is wrong with it or the options."""
        for task in self.tasks:
            if task not in TASKS:
                raise ValueError(f"`tasks` (={task!r}) must be of {TASKS}.")
        if self.folds < 2:
            raise ValueError(f"`folds` (={self.folds}) must be at least 2.")
        if importlib.util.find_spec("sklearn") is None:
            raise ImportError(f"senteval needs scikit-learn: {install_hint('evaluation')}")
        return check_directory(data_dir, self.name, LAYOUT)

    def _measure(self, classification, splits: dict, task: str) -> dict[str, float]:
        if "test" not in splits:
            accuracy, validation = classification.nested_folds(splits["all"], self.folds)
        elif "validation" in splits:
            accuracy, validation = classification.with_validation(
                splits["train"], splits["validation"], splits["test"]
            )
        else:
            found, validation = classification.folds_of_training(
                splits["train"], splits["test"], self.folds
            )
            labels = splits["test"][1]
            accuracy = np.mean(found == labels)
            if task == "MRPC":
                f1 = _f1(found, labels)
                return {"accuracy": accuracy, "F1": f1, "validation accuracy": validation}
        return {"accuracy": accuracy, "validation accuracy": validation}


def in_order(examples: Examples) -> Examples:
    """Examples as SentEval sorts them, on which its folds depend: by words, then by label."""
    words = [[len(sentence.split()) for sentence in side] for side in examples.sentences]
    order = np.lexsort((examples.labels, *reversed(words)))  # by the last first; stable
    sides = tuple([side[row] for row in order] for side in examples.sentences)
    return Examples(sides, examples.labels[order])


def _f1(found: np.ndarray, labels: np.ndarray) -> float:
    """F1 of class 1; 0, as in scikit-learn, if neither has any."""
    both = np.sum((found == 1) & (labels == 1))
    return 2 * both / max(1, np.sum(found == 1) + np.sum(labels == 1))


def _features(embed: Embed, task: str, examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    sides = [embed.raw(side, task) for side in examples.sentences]
    if len(sides) == 1:
        return sides[0], examples.labels
    u, v = sides
    return np.concatenate([np.abs(u - v), u * v], axis=1), examples.labels
