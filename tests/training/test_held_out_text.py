"""Masked accuracy and perplexity of held-out text."""

import numpy as np
import pytest
import tensorflow as tf

from labse_tf.data.masking import Masking
from labse_tf.training.held_out_text import MaskedEvaluation, table
from labse_tf.training.pretrainer import Pretrainer
from tests.training.pretraining_runs import make_model


@pytest.fixture
def model(word_file):
    return make_model(word_file)


def says_tom(model):
    """A head whose bias says "Tom" for sure but for 1 in 1 + 16 e^-3."""
    pretrainer = Pretrainer(model.encoder)
    for weight in pretrainer.head.weights:
        weight.assign(tf.zeros_like(weight))
    bias = np.zeros(17)
    bias[6] = 3.0
    pretrainer.head.bias.assign(bias)
    return pretrainer


def test_by_hand(model, tmp_path):
    pretrainer = says_tom(model)
    (tmp_path / "deu-eng.tsv").write_text("Tom Tom Tom\tthe the the\n" * 40)
    (tmp_path / "eng.txt").write_text("Tom the\n" * 60)
    files = [tmp_path / "deu-eng.tsv", tmp_path / "eng.txt"]
    evaluation = MaskedEvaluation(files, model.preprocessor, Masking(model.preprocessor, 0.3))
    figures = evaluation(pretrainer)
    assert figures == evaluation(pretrainer)
    assert set(figures) == {
        f"{language}/{name}"
        for language in ("deu", "eng", "mean")
        for name in ("masked_accuracy", "perplexity")
    }
    rare = 1 / (np.exp(3) + 16)
    assert figures["deu/masked_accuracy"] == 1
    assert figures["deu/perplexity"] == pytest.approx(1 / (np.exp(3) * rare), rel=1e-5)
    # eng has 40 times "the the the" and 60 times "Tom the" in turn: 60 of 240 words are Tom.
    share = figures["eng/masked_accuracy"]
    assert share == pytest.approx(0.25, abs=0.12)
    expected = np.exp(-(share * np.log(np.exp(3) * rare) + (1 - share) * np.log(rare)))
    assert figures["eng/perplexity"] == pytest.approx(expected, rel=1e-4)
    assert figures["mean/masked_accuracy"] == pytest.approx((1 + share) / 2)
    assert table(figures).splitlines()[1].split() == ["deu", "100.0%", "1.8"]
    # Weights that change are seen, and so is another model.
    pretrainer.head.bias.assign(np.zeros(17))
    assert evaluation(pretrainer)["deu/perplexity"] == pytest.approx(17, rel=1e-5)
    assert evaluation(says_tom(model)) == figures


def test_it_is_traced_once(model, tmp_path, monkeypatch):
    """Also with batches of several sizes, of all languages, while the model learns."""
    traced = []
    sums = Pretrainer.sums
    monkeypatch.setattr(Pretrainer, "sums", lambda *given: traced.append(1) or sums(*given))
    (tmp_path / "deu-eng.tsv").write_text("Tom Tom Tom\tthe the the\n" * 200)
    (tmp_path / "eng.txt").write_text("Tom the\n" * 60)
    files = [tmp_path / "deu-eng.tsv", tmp_path / "eng.txt"]
    evaluation = MaskedEvaluation(files, model.preprocessor, Masking(model.preprocessor, 0.3))
    pretrainer = says_tom(model)
    evaluation(pretrainer)
    first = len(traced)
    for _ in range(2):
        pretrainer.head.bias.assign_add(tf.ones([17]))
        evaluation(pretrainer)
    assert len(traced) == first <= 2


def test_what_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match="No held-out files"):
        MaskedEvaluation([], model.preprocessor, Masking(model.preprocessor))
    (tmp_path / "deu.txt").write_text("\n\n")
    with pytest.raises(ValueError, match="no text in the held-out files of the language 'deu'"):
        MaskedEvaluation([tmp_path / "deu.txt"], model.preprocessor, Masking(model.preprocessor))


def test_a_language_that_the_vocabulary_does_not_know(model, tmp_path):
    """Refused before a step is taken, not by a division by 0 before the first checkpoint."""
    (tmp_path / "deu.txt").write_text("Tom the\n" * 9)
    for language in ("jpn", "kor"):
        (tmp_path / f"{language}.txt").write_text("unknown words alone\n" * 9)
    files = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"all their tokens are \[UNK\]: jpn, kor\."):
        MaskedEvaluation(files, model.preprocessor, Masking(model.preprocessor))
