"""What is measured is recorded, with what failed."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import tf_keras

import labse_tf
from labse_tf.evaluation import Mining, Retrieval, Tatoeba
from labse_tf.evaluation.metrics import Metrics
from labse_tf.evaluation.results import failures, measure, read_results
from tests.evaluation.test_mining import mining_set
from tests.planted import by_hash, planted, translations, write


@pytest.fixture
def three(tmp_path):
    """Three languages, of which French has a line too few."""
    texts, table = translations(["eng", "deu", "fra", "jpn"], 30, noise=0.3)
    texts["jpn"][0] = "駅はどこですか"
    table["駅はどこですか"] = table["jpn 0"]
    folder = tmp_path / "data"
    folder.mkdir()
    for code, lines in texts.items():
        write(folder / f"{code}.txt", lines[:-1] if code == "fra" else lines)
    return folder, planted(table)


def test_a_broken_language_stops_nothing_else(three, tmp_path, capsys):
    folder, encode = three
    output = tmp_path / "results.json"
    results = measure(
        encode, [(Retrieval(), folder)], model={"name": "m"}, output=output, show_metrics=True
    )
    assert json.loads(output.read_text(encoding="utf-8")) == results
    (benchmark,) = results["benchmarks"]
    assert benchmark["figures"]["deu/P@1 to eng"] > 0.9
    assert benchmark["figures"]["jpn/P@1 to eng"] > 0.9
    assert not any(key.startswith(("fra", "mean")) for key in benchmark["figures"])
    (failed,) = failures(results)
    assert failed.startswith("retrieval, fra: ") and "29" in failed and "30" in failed
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["retrieval", code] for code in ("deu", "fra", "jpn")
    ]
    assert "failed: " in lines[1] and "P@1 to eng 100.0" in lines[0]


def test_what_was_measured_can_be_told(three, tmp_path):
    folder, encode = three
    results = measure(encode, [(Retrieval(languages=("jpn",)), folder)], model={"name": "m"})
    (benchmark,) = results["benchmarks"]
    assert benchmark["options"]["languages"] == ["jpn"]
    assert benchmark["data"]["files"] == {
        name: "sha256:" + hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("eng.txt", "jpn.txt")
    }
    assert benchmark["scripts"] == {"jpn": "Latin"}  # "jpn 1" and so on, but for one
    assert results["system"]["labse_tf"] == labse_tf.__version__
    assert results["system"]["numpy"] == np.__version__
    found = measure(
        lambda s: np.eye(len(s), 1000), [(Tatoeba(languages=("kor", "cmn")), None)], model={}
    )
    (benchmark,) = found["benchmarks"]
    assert benchmark["scripts"] == {"kor": "Hangul", "cmn": "Han"}
    assert benchmark["figures"]["kor/accuracy"] == 1
    assert benchmark["published"] == {}


def test_published_figures_stand_beside_the_group():
    rows = np.random.default_rng(0).normal(size=[1000, 24])
    found = measure(lambda sentences: rows[: len(sentences)], [(Tatoeba(), None)], model={})
    (benchmark,) = found["benchmarks"]
    by_mteb = {
        part.removesuffix("/to eng"): values
        for part, values in benchmark["published"].items()
        if part.endswith("/to eng")
    }
    assert by_mteb == {
        "mean of 14 (m-USE)": {"LaBSE (MTEB)": 0.961},
        "mean of 36 (XTREME)": {"LaBSE (MTEB)": 0.952},
        "mean of 82 (LASER)": {"LaBSE (MTEB)": 0.872},
        "mean of 112 (all)": {"LaBSE (MTEB)": 0.835},
    }
    assert len(benchmark["published"]) == 5
    paper = benchmark["published"]["mean of 112 (all)/accuracy"]
    assert paper == {"LaBSE": 0.837, "LASER": 0.655}
    assert set(benchmark["published"]) <= set(benchmark["figures"])
    assert benchmark["figures"]["mean of 112 (all)/accuracy"] == 1
    assert len(benchmark["figures"]) == 3 * (112 + 4)


def test_finished_work_is_written_before_an_interrupt(three, tmp_path):
    folder, encode = three
    asked = []

    def interrupted(sentences):
        asked.append(sentences[0])
        if sentences[0].startswith("駅"):
            raise KeyboardInterrupt
        return encode(sentences)

    output = tmp_path / "results.json"
    with pytest.raises(KeyboardInterrupt):
        measure(interrupted, [(Retrieval(), folder)], model={}, output=output)
    (benchmark,) = json.loads(output.read_text())["benchmarks"]
    assert "deu/P@1 to eng" in benchmark["figures"]
    assert benchmark["failures"]["retrieval"] == "KeyboardInterrupt"


@dataclasses.dataclass(frozen=True)
class Undefined:
    """A benchmark that has a figure which is none."""

    name = "undefined"

    def check(self, data_dir):
        pass

    def __call__(self, encode, data_dir, observer):
        metrics = Metrics(observer)
        metrics.add("a", {"F1": float("nan"), "accuracy": np.float32(0.5)})
        metrics.add("b", {"F1": 1.0, "accuracy": 1.0})
        metrics.add_mean("mean", ["a", "b"])
        observer.on_curve("a", {"threshold": [0.0, np.inf, 1.0], "F1": [0.1, 0.2, 0.3]})


def test_a_figure_that_is_nan_does_not_lose_the_others(tmp_path, capsys):
    output = tmp_path / "results.json"
    results = measure(
        by_hash, [(Undefined(), None)], model={"x": float("inf")}, output=output, show_metrics=True
    )
    (benchmark,) = read_results(write_named(output))["benchmarks"]
    assert benchmark["figures"] == results["benchmarks"][0]["figures"] == {
        "a/F1": None, "a/accuracy": 0.5, "b/F1": 1.0, "b/accuracy": 1.0, "mean/accuracy": 0.75
    }  # fmt: skip
    assert benchmark["curves"] == {"a": {"threshold": [0.0, 1.0], "F1": [0.1, 0.3]}}
    assert failures(results) == ["undefined, a/F1: is nan"]
    assert "F1 –   accuracy 50.0" in capsys.readouterr().out


def write_named(path):
    """Results of a model with a name, which a report needs; and what is not finite is null."""
    results = json.loads(path.read_text())
    assert results["model"] == {"x": None}
    path.write_text(json.dumps({**results, "model": {"name": "m"}}))
    return path


def test_curves_are_recorded(tmp_path):
    _, table, _ = mining_set(tmp_path, "de-en", 0)
    results = measure(planted(table), [(Mining(), tmp_path)], model={})
    (benchmark,) = results["benchmarks"]
    assert len(benchmark["curves"]) == 8
    curve = benchmark["curves"]["de-en, ratio, mutual"]
    best = benchmark["figures"]["de-en, ratio, mutual/best F1"]
    assert best - 0.05 < max(curve["F1"]) <= best


def test_nothing_is_measured_if_a_later_directory_is_wrong(three, tmp_path):
    folder, _ = three

    def never(sentences):
        raise AssertionError("was called")

    with pytest.raises(FileNotFoundError, match=r"mining has no directory .*absent"):
        measure(never, [(Retrieval(), folder), (Mining(), tmp_path / "absent")], model={})
    (tmp_path / "old.json").write_text("kept")
    with pytest.raises(FileExistsError, match=r"old\.json"):
        measure(never, [(Retrieval(), folder)], model={}, output=tmp_path / "old.json")
    assert (tmp_path / "old.json").read_text() == "kept"


def test_fingerprint_is_of_config_vocabulary_and_weights(model, release, vocab_file, tmp_path):
    def other(seed, **shape):
        tf_keras.utils.set_random_seed(seed)
        config = dataclasses.replace(model.encoder.config, **shape)
        return labse_tf.LaBSE(model.preprocessor, labse_tf.Encoder(config))

    assert labse_tf.load(release).fingerprint() == model.fingerprint()
    one = other(0)
    assert one.fingerprint() == other(0).fingerprint()
    *tokens, last = Path(vocab_file).read_text(encoding="utf-8").splitlines()
    write(tmp_path / "vocab.txt", [*tokens[:-1], last, tokens[-1]])
    preprocessor = labse_tf.Preprocessor(tmp_path / "vocab.txt", model.preprocessor.seq_length)
    swapped = labse_tf.LaBSE(preprocessor, one.encoder)
    models = (model, one, swapped, other(1), other(0, activation="relu"))
    assert len({m.fingerprint() for m in models}) == 5
    variable = one.encoder.trainable_variables[-1]
    before = one.fingerprint()
    variable.assign(variable + 1e-6)
    assert one.fingerprint() != before


def test_bad_results(tmp_path):
    bad = tmp_path / "bad.json"
    for content, message in (
        ("{", r"bad\.json: not JSON"),
        ("[]", r"bad\.json: the format is 'list'"),
        ('{"format": "2"}', r"bad\.json: the format is '2', not 'labse_tf evaluation 1'"),
        ('{"format": "labse_tf evaluation 1"}', r"bad\.json: there is no name of a model"),
        (
            '{"format": "labse_tf evaluation 1", "model": {"name": "m"}, "benchmarks": [{}]}',
            r"bad\.json: a benchmark has no name or no figures",
        ),
    ):
        bad.write_text(content)
        with pytest.raises(ValueError, match=message):
            read_results(bad)
    bad.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"bad\.json: not JSON"):
        read_results(bad)
    with pytest.raises(FileNotFoundError, match="absent"):
        read_results(tmp_path / "absent.json")
