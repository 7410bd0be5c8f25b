"""STS: correlations against NumPy and by hand, within and across languages."""

import gzip

import numpy as np
import pytest

from labse_tf.evaluation import STS
from labse_tf.evaluation.benchmarks.sts import correlations
from tests.planted import by_hash, cosines, write

SCORES = [5.0, 4.75, 0.0, 2.5, 2.5, 1.2, 3.3, 4.0, 0.6, 3.8]


def sts_file(path, code, scores=SCORES):
    lines = [f"{score}\t{code} a {i}\t{code} b {i}" for i, score in enumerate(scores)]
    if str(path).endswith(".gz"):
        path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))
    else:
        write(path, lines)


def expected(x_code, y_code):
    """Pearson's correlation by its definition, and of the ranks; ties share the mean rank."""
    a, b = (
        [f"{code} {side} {i}" for i in range(10)] for code, side in ((x_code, "a"), (y_code, "b"))
    )
    cosine = np.diag(cosines(by_hash, a, b))

    def pearson(u, v):
        u, v = (np.asarray(z, float) - np.mean(z) for z in (u, v))
        return (u @ v) / np.sqrt((u @ u) * (v @ v))

    def ranks(values):
        values = np.asarray(values)
        return [(np.sum(values < v) + np.sum(values <= v) + 1) / 2 for v in values]

    return pearson(ranks(SCORES), ranks(cosine)), pearson(SCORES, cosine)


def test_figures_are_the_definitions(tmp_path):
    for code, ending in (("en", "tsv"), ("de", "tsv.gz"), ("zh", "tsv")):
        sts_file(tmp_path / f"{code}-test.{ending}", code)
    sts_file(tmp_path / "fr-dev.tsv", "fr")
    found = STS()(by_hash, tmp_path)
    parts = {"en": ("en", "en"), "de": ("de", "de"), "zh": ("zh", "zh"), "en-de": ("en", "de")}
    parts |= {"de-en": ("de", "en"), "en-zh": ("en", "zh"), "zh-en": ("zh", "en")}
    for part, sides in parts.items():
        spearman, pearson = expected(*sides)
        assert found[f"{part}/spearman"] == pytest.approx(spearman)
        assert found[f"{part}/pearson"] == pytest.approx(pearson)
    monolingual = [found[f"{code}/spearman"] for code in ("en", "de", "zh")]
    assert found["mean of 3 languages/spearman"] == pytest.approx(np.mean(monolingual))
    across = [found[f"{part}/pearson"] for part in parts if "-" in part]
    assert found["mean of 4 pairs of languages/pearson"] == pytest.approx(np.mean(across))
    assert len(found) == 2 * (len(parts) + 2)
    assert "de-zh/spearman" in STS(all_pairs=True)(by_hash, tmp_path)
    assert set(STS(split="dev")(by_hash, tmp_path)) == {
        f"{part}/{metric}"
        for part in ("fr", "mean of 1 languages")
        for metric in ("spearman", "pearson")
    }


def test_perfect_and_reversed_order():
    angles = np.linspace(0.1, 1.5, 20)
    x = np.tile([1.0, 0.0], [20, 1]).astype(np.float32)
    y = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    gold = np.linspace(5, 0, 20)  # falls with the angle, as the cosine does
    assert correlations(gold, x, y)["spearman"] == pytest.approx(1)
    assert 0.9 < correlations(gold, x, y)["pearson"] < 1
    assert correlations(gold[::-1], x, y)["spearman"] == pytest.approx(-1)
    assert correlations(np.cos(angles), x, y)["pearson"] == pytest.approx(1)
    with pytest.raises(ValueError, match="gold scores are all the same"):
        correlations(np.ones(20), x, y)
    with pytest.raises(ValueError, match="cosines are all the same"):
        correlations(gold, x, x)


def test_bad_input(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"sts needs its directory.*stsb-multi-mt"):
        STS()(by_hash)
    with pytest.raises(FileNotFoundError, match=r"There is no \*-test\.tsv in"):
        STS()(by_hash, tmp_path)
    sts_file(tmp_path / "en-test.tsv", "en")
    with pytest.raises(ValueError, match="'de' is none of the languages there: en"):
        STS(languages=("de",))(by_hash, tmp_path)
    sts_file(tmp_path / "de-test.tsv", "de", SCORES[:-1])
    with pytest.raises(ValueError, match=r"test\.tsv has \d+ lines, but .* has \d+"):
        STS()(by_hash, tmp_path)
    sts_file(tmp_path / "de-test.tsv", "de", [*SCORES[:3], 2.6, *SCORES[4:]])
    with pytest.raises(ValueError, match=r"test\.tsv:4 and .*test\.tsv:4 have different scores"):
        STS()(by_hash, tmp_path)
    for line, message in (
        ("5.1\ta\tb", r"de-test\.tsv:2: the score 5\.1 is not from 0 to 5"),
        ("-1\ta\tb", r"the score -1 is not from 0 to 5"),
        ("nan\ta\tb", r"the score nan is not from 0 to 5"),
        ("a\ta\tb", r"de-test\.tsv:2: 'a' is no score"),
        ("1\ta", r"de-test\.tsv:2: expected score TAB .* 2 columns"),
    ):
        write(tmp_path / "de-test.tsv", ["1\ta\tb", line])
        with pytest.raises(ValueError, match=message):
            STS(languages=("de",))(by_hash, tmp_path)
