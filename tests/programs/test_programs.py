"""The programs and the console script as a user runs them: vocabulary, training, export, labse.

Each of them once in a process of its own; else in this one, which spares seconds.
"""

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import labse_tf
from export import saved_model
from labse_tf.commands.main import main as labse
from labse_tf.release.saved_model import size_on_disk
from tests.fresh import fresh
from tests.running import call
from training import dual_encoder, vocabulary

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "training" / "sample"
SHAPE = ["--num-layers", "0", "--hidden-size", "32", "--num-heads", "4", "--dropout", "0"]
STEPS = ["--batch-size", "64", "--learning-rate", "5e-3", "--warmup-steps", "2", "--scale", "20"]


def program(*arguments):
    """stdout of a program that ends well, in a process of its own."""
    process = fresh(*arguments)
    assert process.returncode == 0, process.stderr[-3000:]
    return process.stdout


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    """Vocabulary, two replicas, export, one layer more, export: the demo in small."""
    folder = tmp_path_factory.mktemp("line")
    for code in ("fra", "rus"):
        with gzip.open(SAMPLE / f"{code}-eng.train.tsv.gz", "rt", encoding="utf-8") as file:
            lines = [next(file) for _ in range(600)]
        (folder / f"{code}-eng.tsv").write_text("".join(lines), encoding="utf-8")
    pairs = ["--pairs", folder / "fra-eng.tsv", folder / "rus-eng.tsv"]
    out = {"folder": folder, "pairs": pairs}
    out["vocabulary"] = program(
        "-m", "training.vocabulary", *pairs, "--vocab-size", "900", "--output",
        folder / "vocab.txt",
    )  # fmt: skip
    out["training"] = program(
        "-m", "training.dual_encoder", *pairs, *SHAPE, *STEPS, "--workdir", folder / "0-layers",
        "--vocab", folder / "vocab.txt", "--cpu-replicas", "2", "--steps", "60",
        "--report-every", "20", "--seq-length", "20",
    )  # fmt: skip
    call(saved_model.main, folder / "0-layers", folder / "untrained", "--step", "0")
    out["export"] = program("-m", "export.saved_model", folder / "0-layers", folder / "model-0")
    out["growing"] = call(
        dual_encoder.main, *pairs, *STEPS, "--workdir", folder / "1-layer",
        "--init", folder / "model-0", "--num-layers", "1", "--steps", "4",
    )  # fmt: skip
    call(saved_model.main, folder / "1-layer", folder / "model")
    return out


def test_a_language_without_pieces_is_named(tmp_path, capsys):
    (tmp_path / "tha-eng.tsv").write_text("ab ab ab ฉัน\ta ab b b\n", encoding="utf-8")  # 25%
    (tmp_path / "fra-eng.tsv").write_text("ab ab ab ab é\ta\n", encoding="utf-8")  # 20%
    files = [str(tmp_path / name) for name in ("tha-eng.tsv", "fra-eng.tsv")]
    preprocessor = labse_tf.Preprocessor(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "##b"])
    vocabulary.print_use(preprocessor, files)
    out, err = capsys.readouterr()
    # Pieces: a b three times, [UNK]. Of the words one of four is unknown, of the pieces one of 7.
    assert re.search(r"tha-eng.tsv +7.0 +1.75 +25.00%", out)
    assert re.search(r"20% of the words are unknown in: tha-eng.tsv\.", err)


def test_vocabulary_program(line):
    size = len((line["folder"] / "vocab.txt").read_text(encoding="utf-8").splitlines())
    assert f"{size:,} pieces" in line["vocabulary"]
    assert "rus-eng.tsv" in line["vocabulary"]
    again = call(
        vocabulary.main, *line["pairs"], "--vocab-size", "900",
        "--output", line["folder"] / "vocab.txt", status=2,
    )  # fmt: skip
    assert again.startswith("error: ") and "vocab.txt" in again and "--overwrite" in again


def test_training_program(line):
    lines = line["training"].splitlines()
    assert lines[0].startswith("2 replicas, ")
    reports = [text.split(" - ") for text in lines[1:]]
    assert [report[0] for report in reports] == ["20/60", "40/60", "60/60"]
    losses = [float(report[1].removeprefix("loss: ")) for report in reports]
    assert losses[2] < losses[1] < losses[0]
    # All 63 others, but for equal sentences.
    assert all(60 < float(report[2].removeprefix("negatives: ")) <= 63 for report in reports)
    assert all(float(report[3].removeprefix("gradient_norm: ")) > 0 for report in reports)
    assert all(report[4].startswith("pairs/s: ") for report in reports)


def test_training_raises_held_out_accuracy(line):
    held_out = []
    for code in ("fra", "rus"):
        with gzip.open(SAMPLE / f"{code}-eng.train.tsv.gz", "rt", encoding="utf-8") as file:
            held_out += [text.rstrip("\n").split("\t") for text in file][2000:2100]
    accuracy = {}
    for name in ("untrained", "model-0", "model"):
        model = labse_tf.load(line["folder"] / name)
        cosines = model.similarity(*map(list, zip(*held_out)))
        accuracy[name] = np.mean(cosines.argmax(1) == np.arange(len(cosines)))
    assert accuracy["model-0"] > accuracy["untrained"] + 0.1
    assert accuracy["model"] > accuracy["untrained"] + 0.1


def test_growing_keeps_what_there_was(line):
    shallow, deep = (labse_tf.load(line["folder"] / name) for name in ("model-0", "model"))
    assert (shallow.encoder.config.num_layers, deep.encoder.config.num_layers) == (0, 1)
    assert deep.preprocessor.seq_length == shallow.preprocessor.seq_length == 20
    sentences = ["Tom is here.", "Où est Tom ?"]
    assert np.min(np.sum(shallow.encode(sentences) * deep.encode(sentences), axis=1)) > 0.7


def test_demonstration_without_labse_tf(line):
    rows = (line["folder"] / "rus-eng.tsv").read_text(encoding="utf-8").splitlines()[:40]
    held_out = line["folder"] / "rus-eng.heldout.tsv.gz"
    held_out.write_bytes(gzip.compress("\n".join(rows).encode()))
    output = program(
        ROOT / "export" / "demonstrate.py",
        f"before={line['folder'] / 'untrained'}", f"after={line['folder'] / 'model'}",
        "--heldout", held_out, "--rows", "40",
    )  # fmt: skip
    # The program's figure against this process' own, from labse_tf.
    sides = [list(side) for side in zip(*(row.split("\t") for row in rows))]
    cosines = labse_tf.load(line["folder"] / "model").similarity(*sides)
    own = np.arange(40)
    there, back = (100 * np.mean(cosines.argmax(axis) == own) for axis in (1, 0))
    assert f"{there:.1f} / {back:.1f}" in output
    assert output.count("\nrus  ") == 1 + 40  # accuracies, and a row a sentence
    wrong = sum(sides[1][i] != sides[1][j] for i, j in enumerate(cosines.argmax(1)))
    assert output.count("(should be:") == wrong


def test_labse_encode_and_similarity(line, tmp_path):
    model = line["folder"] / "model"
    sentences = ["Tom is here.", "", "Где Том?"]
    (tmp_path / "s.txt").write_text("\n".join(sentences) + "\n", encoding="utf-8")
    output = call(
        labse, "encode", tmp_path / "s.txt", "--model", model, "--output", tmp_path / "x.npy"
    )
    assert "float32 [3, 32]" in output
    loaded = labse_tf.load(model)
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), loaded.encode(sentences), atol=1e-6)
    table = call(labse, "similarity", f"@{tmp_path / 's.txt'}", "Tom", "--model", model)
    cosines = [[float(cell) for cell in row.split("\t")] for row in table.splitlines()]
    np.testing.assert_allclose(cosines, loaded.similarity(sentences, ["Tom"]), atol=6e-5)
    assert os.listdir(tmp_path) and not list(tmp_path.glob("*.unfinished"))


def test_labse_encode_of_columns_and_fields(line, tmp_path):
    model = line["folder"] / "model"
    sentences = ["Tom is here.", "", "Где Том?", "C'est moi."]
    expected = labse_tf.load(model).encode(sentences)
    (tmp_path / "1.tsv").write_text("".join(f"{i}\t{s}\n" for i, s in enumerate(sentences[:2])))
    rows = [f"{i}\t{s}\tx" for i, s in enumerate(sentences[2:])]
    (tmp_path / "2.tsv.gz").write_bytes(gzip.compress("\n".join(rows).encode()))
    jsonl = "".join(json.dumps({"text": s}) + "\n" for s in sentences)
    (tmp_path / "a.jsonl").write_text(jsonl)

    def encode(output, *arguments, status=0):
        output = ["--model", model, "--output", tmp_path / output]
        return call(labse, "encode", *arguments, *output, status=status)

    files = [tmp_path / "1.tsv", tmp_path / "2.tsv.gz"]
    encode("1.npy", *files, "--column", "2")
    np.testing.assert_allclose(np.load(tmp_path / "1.npy"), expected, atol=1e-6)
    output = encode("2.npy", tmp_path / "a.jsonl", "--field", "text", "--dtype", "float16")
    assert "float16 [4, 32]" in output
    np.testing.assert_allclose(np.load(tmp_path / "2.npy"), expected, atol=1e-3)
    # A bad line, then mended: the rows before it are kept and not embedded again.
    (tmp_path / "a.jsonl").write_text(jsonl.replace('"text": "C', '"txt": "C'))
    message = encode("4.npy", tmp_path / "a.jsonl", "--field", "text", status=2)
    assert message.startswith(f"error: {tmp_path / 'a.jsonl'}:4: there is no field 'text'")
    assert np.load(tmp_path / "4.npy.unfinished").shape == (3, 32)
    message = encode("4.npy", tmp_path / "a.jsonl", "--field", "text", status=2)
    assert "4.npy.unfinished' is left from a run that was interrupted" in message
    (tmp_path / "a.jsonl").write_text(jsonl)
    encode("4.npy", tmp_path / "a.jsonl", "--field", "text", "--resume")
    np.testing.assert_allclose(np.load(tmp_path / "4.npy"), expected, atol=1e-6)

    message = encode("5.npy", *files, status=2)
    assert message == f"error: {str(files[0])!r}: say with --column where its sentences are."
    message = encode("4.npy", *files, "--column", "2", status=2)
    assert "4.npy' exists" in message
    message = encode("5.npy", *files, "--column", "3", status=2)
    assert "1.tsv:1: there is no column 3" in message
    message = encode("no/5.npy", *files, "--column", "2", status=2)
    assert "no directory to write" in message
    assert not list(tmp_path.glob("*.unfinished"))


def test_the_console_script_reads_standard_input(line, tmp_path):
    model, sentences = line["folder"] / "model", ["Tom is here.", "", "Где Том?", "C'est moi."]
    process = subprocess.run(
        [Path(sys.executable).parent / "labse", "encode", "-", "--model", model,
         "--output", tmp_path / "x.npy", "--backend", "openvino", "--precision", "bfloat16"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, input="\n".join(sentences),
    )  # fmt: skip
    assert process.returncode == 0, process.stderr[-3000:]
    assert "float32 [4, 32]" in process.stdout
    cosines = np.sum(np.load(tmp_path / "x.npy") * labse_tf.load(model).encode(sentences), axis=1)
    assert 0.9995 < cosines.min() < cosines.max() < 1 - 1e-7


def test_exporting_in_bfloat16_says_what_it_costs(line, tmp_path):
    output = call(
        saved_model.main, line["folder"] / "1-layer", tmp_path / "half",
        "--compute-dtype", "bfloat16",
    )  # fmt: skip
    found = re.search(r"compute in bfloat16: cosine .* lowest ([\d.]+) \((\d,\d+) sent", output)
    assert 0.9995 < float(found[1]) < 1 and found[2] == "2,600"


def test_exporting_in_int8_says_what_it_costs(line, tmp_path):
    output = call(
        saved_model.main, line["folder"] / "0-layers", tmp_path / "small",
        "--weights-dtype", "int8",
    )  # fmt: skip
    found = re.search(r"weights in int8: cosine .* lowest ([\d.]+) \((\d,\d+) sent", output)
    assert 0.9995 < float(found[1]) < 1 and found[2] == "2,600"
    sizes = [size_on_disk(path) for path in (tmp_path / "small", line["folder"] / "model-0")]
    assert sizes[0] < sizes[1]  # most of so small a release is its graph


def test_exporting_as_two_modules(line, tmp_path):
    call(saved_model.main, line["folder"] / "0-layers", tmp_path / "split", "--split")
    assert sorted(os.listdir(tmp_path / "split")) == ["encoder", "preprocessor"]
    sentences = ["Où est la gare ?", "Где вокзал?"]
    np.testing.assert_array_equal(
        labse_tf.load(tmp_path / "split" / "encoder").encode(sentences),
        labse_tf.load(line["folder"] / "model-0").encode(sentences),
    )
    both = ["--split", "--overwrite"]
    message = call(saved_model.main, line["folder"] / "0-layers", tmp_path, *both, status=2)
    assert "not allowed with" in message


def test_labse_errors(line, tmp_path):
    (tmp_path / "bad.txt").write_bytes(b"good\nna\xefve\n")
    output = ["--output", tmp_path / "x.npy"]
    model = ["--model", line["folder"] / "model"]
    message = call(labse, "encode", tmp_path / "bad.txt", *model, *output, status=2)
    assert message.startswith(f"error: {tmp_path / 'bad.txt'}:2: invalid UTF-8")
    message = call(labse, "encode", tmp_path / "absent.txt", *model, *output, status=2)
    assert message.startswith("error: ") and "absent.txt" in message
    message = call(labse, "similarity", "a", "b", "--model", tmp_path, status=2)
    assert message.startswith("error: ") and "no model that labse_tf knows" in message
    assert not (tmp_path / "x.npy").exists()


def test_errors_of_the_programs(line, tmp_path):
    (tmp_path / "bad.tsv").write_text("a\tb\nalone\n")
    message = call(
        vocabulary.main, "--pairs", tmp_path / "bad.tsv", "--vocab-size", "100",
        "--output", tmp_path / "vocab.txt", status=2,
    )  # fmt: skip
    assert message.startswith(f"error: {tmp_path / 'bad.tsv'}:2:")
    run, release = line["folder"] / "0-layers", line["folder"] / "model"
    message = call(saved_model.main, run, release, status=2)
    assert message.startswith("error: ") and "exists" in message
    new = ["--workdir", tmp_path / "run", "--vocab", tmp_path / "absent.txt"]
    message = call(dual_encoder.main, *line["pairs"], *new, status=2)
    assert message.startswith("error: ") and "absent.txt" in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.tsv"]
    run_file = json.loads((run / "config.json").read_text())
    assert run_file["settings"]["batch_size"] == 64
