"""Metrics: their means, and how they are written."""

import pytest

from labse_tf.evaluation.metrics import Metrics, format_metric
from labse_tf.evaluation.observer import Observer


@pytest.fixture
def told():
    return []


@pytest.fixture
def metrics(told):
    class Listener(Observer):
        def on_metrics(self, part, metrics):
            told.append((part, dict(metrics)))

    return Metrics(Listener())


def test_means_are_of_what_all_parts_have(metrics, told):
    metrics.add("deu", {"accuracy": 0.5, "F1": 0.25})
    metrics.add("fra", {"accuracy": 1})
    metrics.add_mean("mean", ["deu", "fra"])
    assert metrics.of("deu") == {"accuracy": 0.5, "F1": 0.25}
    assert metrics.values == {
        "deu/accuracy": 0.5, "deu/F1": 0.25, "fra/accuracy": 1.0, "mean/accuracy": 0.75
    }  # fmt: skip
    assert told[2] == ("mean", {"accuracy": 0.75})


def test_a_group_that_lacks_a_language_has_no_mean(metrics, told):
    metrics.add("deu", {"accuracy": 1.0})
    metrics.add_mean("mean", ["deu", "fra"])
    metrics.add_mean("other mean", ["fra", "deu"])
    metrics.add_mean("none", [])
    assert metrics.values == {"deu/accuracy": 1.0} and told == [("deu", {"accuracy": 1.0})]


@pytest.mark.parametrize(
    ("metric", "value", "sign", "text"),
    [
        ("F1", 0.12345, "", "12.3"),
        ("best threshold", 1.23456, "", "1.2346"),
        ("F1", 0.12345, "+", "+12.3"),
        ("F1", -0.12345, "+", "-12.3"),
        ("F1", -0.0001, "+", "0.0"),
        ("F1", 0.0001, "+", "0.0"),
        ("F1", None, "", "–"),
    ],
)
def test_metrics_are_shown_in_percent_but_for_thresholds(metric, value, sign, text):
    assert format_metric(metric, value, sign) == text
