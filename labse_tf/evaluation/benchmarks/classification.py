"""SentEval's protocols: logistic regression whose regularisation is chosen by grid search.

As https://github.com/facebookresearch/SentEval (senteval/tools/validation.py): the same strengths,
seed and folds (of rows in SentEval's order, see `senteval.in_order`), and the choice by accuracies
in percent rounded to two digits, the first of equal ones. The solver is another, since
scikit-learn's default has changed since: Newton's method, with a tolerance so small that accuracies
do not depend on it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, PredefinedSplit, StratifiedKFold, cross_validate

SEED = 1111
# Inverse strengths C: with a validation split or nested folds, and with folds of the training set.
STRENGTHS = tuple(2.0**t for t in range(-2, 4))
FOLD_STRENGTHS = tuple(2.0**t for t in range(-1, 6))

Data = tuple[np.ndarray, np.ndarray]  # features [rows, dim] and labels [rows]


def nested_folds(data: Data, folds: int = 10) -> tuple[float, float]:
    """Accuracy over folds, in each of which the strength is chosen by folds of the rest.

    Returns:
        Means over the folds of the test accuracy, and of the chosen validation accuracy.

    Raises:
        ValueError: a class has fewer rows than there are folds, or than there are inner folds.
    """
    found = cross_validate(
        _search(STRENGTHS, _Folds(folds)),
        *_float64(data),
        cv=_Folds(folds),
        return_estimator=True,
        error_score="raise",
    )
    validation = np.mean([_validation_accuracy(fitted) for fitted in found["estimator"]])
    return float(np.mean(found["test_score"])), float(validation)


def folds_of_training(train: Data, test: Data, folds: int = 10) -> tuple[np.ndarray, float]:
    """Predicted labels of the test set, and the accuracy on the folds that chose the strength.

    Raises:
        ValueError: a class has fewer rows than there are folds.
    """
    search = _search(FOLD_STRENGTHS, _Folds(folds)).fit(*_float64(train))
    return search.predict(_float64(test)[0]), _validation_accuracy(search)


def with_validation(train: Data, validation: Data, test: Data) -> tuple[float, float]:
    """Accuracy on the test set, and on the validation set that chose the strength."""
    train, validation, test = map(_float64, (train, validation, test))
    both = [np.concatenate(parts) for parts in zip(train, validation)]
    split = PredefinedSplit(np.repeat([-1, 0], [len(train[1]), len(validation[1])]))
    search = _search(STRENGTHS, split).fit(*both)
    # The search's own model has seen the validation set, which SentEval's has not.
    model = search.best_estimator_.fit(*train)
    return model.score(*test), _validation_accuracy(search)


class _Folds(StratifiedKFold):
    """SentEval's folds; ValueError, where scikit-learn warns, if one would lack a class."""

    def __init__(self, n_splits: int):
        super().__init__(n_splits, shuffle=True, random_state=SEED)

    def split(self, X, y, groups=None):
        smallest = np.unique(y, return_counts=True)[1].min()
        if smallest < self.n_splits:
            raise ValueError(
                f"{self.n_splits} folds need as many sentences of every class, but one has only "
                f"{smallest}."
            )
        return super().split(X, y, groups)


def _float64(data: Data) -> Data:
    """In float32 the solver's line search cannot reach its tolerance."""
    features, labels = data
    return features.astype(np.float64), labels


def _search(strengths: tuple[float, ...], splits) -> GridSearchCV:
    model = LogisticRegression(solver="newton-cg", tol=1e-8, max_iter=1000)
    return GridSearchCV(
        model, {"C": strengths}, cv=splits, refit=_best_strength, error_score="raise"
    )


def _best_strength(results: Mapping[str, np.ndarray]) -> int:
    """The index of the strength that SentEval chooses, in GridSearchCV's `cv_results_`."""
    return int(np.argmax(np.round(100 * results["mean_test_score"], 2)))


def _validation_accuracy(search: GridSearchCV) -> float:
    return float(search.cv_results_["mean_test_score"][search.best_index_])
