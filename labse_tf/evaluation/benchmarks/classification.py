"""SentEval's protocols: logistic regression whose strength is chosen on other data.

As https://github.com/facebookresearch/SentEval (senteval/tools/validation.py): the same strengths,
folds and seed, and the choice by accuracies in percent rounded to two digits, the first of equal
ones. The solver is another, since scikit-learn's default has changed since: fits go on from the
weaker regularisation's and are carried to convergence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

SEED = 1111
# Inverse strengths C: with a validation split or nested folds, and with folds of the training set.
STRENGTHS = tuple(2.0**t for t in range(-2, 4))
FOLD_STRENGTHS = tuple(2.0**t for t in range(-1, 6))

Data = tuple[np.ndarray, np.ndarray]  # features [rows, dim] and labels [rows]


def nested_folds(data: Data, folds: int = 10) -> tuple[float, float]:
    """Accuracy over folds, in each of which the strength is chosen by folds of the rest.

    Returns:
        Means over the folds of the test accuracy, and of the chosen validation accuracy.
    """
    accuracies = []
    for train, test in _folds(data, folds):
        strength, validation = _choose(_folds(train, folds), STRENGTHS)
        accuracies.append((_fitted(train, strength).score(*test), validation))
    return tuple(np.mean(accuracies, axis=0).tolist())


def folds_of_training(train: Data, test: Data, folds: int = 10) -> tuple[np.ndarray, float]:
    """Predicted labels of the test set, and the accuracy on the folds that chose the strength."""
    strength, validation = _choose(_folds(train, folds), FOLD_STRENGTHS)
    return _fitted(train, strength).predict(test[0]), validation


def with_validation(train: Data, validation: Data, test: Data) -> tuple[float, float]:
    """Accuracy on the test set, and on the validation set that chose the strength."""
    strength, accuracy = _choose([(train, validation)], STRENGTHS)
    return _fitted(train, strength).score(*test), accuracy


def _folds(data: Data, folds: int) -> Iterable[tuple[Data, Data]]:
    features, labels = data
    smallest = np.unique(labels, return_counts=True)[1].min()
    if smallest < folds:
        raise ValueError(
            f"{folds} folds need as many sentences of every class, but one has only {smallest}."
        )
    split = StratifiedKFold(n_splits=folds, shuffle=True, random_state=SEED)
    for train, test in split.split(features, labels):
        yield (features[train], labels[train]), (features[test], labels[test])


def _choose(splits: Iterable[tuple[Data, Data]], strengths: Sequence[float]) -> tuple[float, float]:
    """The strength of the best mean accuracy over splits, and that."""
    accuracies = []
    for train, validation in splits:
        model = _model(train)
        accuracies.append([])
        for strength in strengths:
            model.set_params(C=strength).fit(*train)
            accuracies[-1].append(model.score(*validation))
    means = np.mean(accuracies, axis=0)
    best = int(np.argmax(np.round(100 * means, 2)))
    return strengths[best], float(means[best])


def _fitted(train: Data, strength: float) -> LogisticRegression:
    return _model(train).set_params(C=strength).fit(*train)


def _model(train: Data) -> LogisticRegression:
    # Newton's method converges in a few steps, but its matrix grows with the classes' square.
    solver = "newton-cholesky" if len(np.unique(train[1])) == 2 else "lbfgs"
    return LogisticRegression(solver=solver, warm_start=True, max_iter=1000)
