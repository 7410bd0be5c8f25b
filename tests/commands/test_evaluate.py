"""labse evaluate: its output, its file, its exit status."""

import json
import shlex
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import labse_tf
from labse_tf.commands.main import main
from labse_tf.evaluation import Tatoeba
from tests.planted import write
from tests.running import call


def evaluate(*arguments, **options):
    return call(main, "evaluate", *arguments, **options)


def test_figures_file_and_report(release, tmp_path):
    output = tmp_path / "a.json"
    command = [str(release), "tatoeba", "--languages", "tzl", "swg", "--output", str(output)]
    command += ["--name", "tiny"]
    said = evaluate(*command)
    lines = said.splitlines()
    assert [line.split()[1] for line in lines[:3]] == ["tzl", "swg", "mean"]
    results = json.loads(output.read_text(encoding="utf-8"))
    model = labse_tf.load(release)
    with pytest.warns(UserWarning, match="were cut") as caught:
        expected = Tatoeba(languages=("tzl", "swg"))(model.encode)
    counts = [w.message.count for w in caught if "were cut" in str(w.message)]
    assert len(counts) == 4 and f"\n{sum(counts)} sentences are longer than `seq_length`" in said
    assert results["benchmarks"][0]["figures"] == pytest.approx(expected)
    for code in ("tzl", "swg"):
        shown = f"accuracy {100 * expected[f'{code}/accuracy']:.1f} "
        assert any(f" {code} " in line and shown in line for line in lines)
    assert shlex.split(results["command"]) == ["labse", "evaluate", *command]
    assert results["model"]["name"] == "tiny"
    assert results["model"]["fingerprint"].startswith("sha256:")
    report = evaluate("report", output, "--output", tmp_path / "page")
    assert report.split() == [f"{tmp_path / 'page'}.{end}" for end in ("html", "md", "png")]
    assert "tiny" in (tmp_path / "page.html").read_text(encoding="utf-8")
    again = evaluate("report", output, "--output", tmp_path / "page", status=2)
    assert again.startswith("error: ") and "page.html" in again


def test_a_failure_is_listed_and_the_status_says_so(release, tmp_path):
    for code in ("eng", "deu", "fra"):
        write(tmp_path / f"{code}.txt", [f"{code} {i}" for i in range(3 - (code == "deu"))])
    output = tmp_path / "a.json"
    said = evaluate(release, f"retrieval={tmp_path}", "--output", output, status=1)
    assert said.strip().startswith("retrieval, deu: ") and "has 3 lines" in said
    (benchmark,) = json.loads(output.read_text(encoding="utf-8"))["benchmarks"]
    assert "fra/P@1 to eng" in benchmark["figures"] and list(benchmark["failures"]) == ["deu"]


def test_what_is_wrong_is_said_before_the_model_is_read(tmp_path, capsys):
    def error(*arguments):
        with pytest.raises(SystemExit) as stopped:
            main(["evaluate", str(tmp_path / "no-model"), *map(str, arguments)])
        assert stopped.value.code == 2
        message = capsys.readouterr().err
        assert message.startswith("error: ") and message.count("\n") == 1
        return message

    assert "Which benchmarks of '" in error()
    assert "'tatoba' is no benchmark; there are tatoeba, retrieval" in error("tatoba")
    assert "mining needs its directory. Expected: " in error("tatoeba", "mining")
    assert "has no directory" in error(f"sts={tmp_path / 'absent'}")
    assert "--folds is for none of tatoeba" in error("tatoeba", "--folds", "5")
    assert "'xx' is none of the Tatoeba test's languages" in error("tatoeba", "--languages", "xx")
    (tmp_path / "old.json").write_text("kept")
    assert "old.json" in error("tatoeba", "--output", tmp_path / "old.json")
    assert "no-model" in error("tatoeba", "--languages", "deu")


def test_another_library_s_model_is_measured_the_same_way():
    # Any function will do, with float64 rows that are not of unit length.
    assert "sentence_transformers" not in sys.modules
    found = Tatoeba(languages=("tzl",))(lambda sentences: 3 * np.eye(len(sentences), 200))
    assert found["tzl/accuracy"] == 1
    assert Path(labse_tf.__file__).parent.joinpath("evaluation/benchmarks/tatoeba.LICENSE").exists()


def test_other_warnings_are_not_counted_as_truncation(release, monkeypatch):
    encode = labse_tf.LaBSE.encode

    def warning(self, sentences, **options):
        warnings.warn("about something else", UserWarning, stacklevel=2)
        return encode(self, sentences, **options)

    monkeypatch.setattr(labse_tf.LaBSE, "encode", warning)
    with pytest.warns(UserWarning, match="about something else"):
        said = evaluate(release, "tatoeba", "--languages", "war")
    monkeypatch.undo()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Tatoeba(languages=("war",))(labse_tf.load(release).encode)
    expected = sum(w.message.count for w in caught if "were cut" in str(w.message))
    assert ("were cut" in said) == bool(expected) and "something else" not in said
    assert not expected or f"{expected} sentences are longer" in said


def test_any_code_of_a_language(release):
    said = evaluate(release, "tatoeba", "--languages", "nn", "iw")
    assert [line.split()[1] for line in said.splitlines()[:2]] == ["nno", "heb"]
