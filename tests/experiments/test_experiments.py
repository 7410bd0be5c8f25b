"""The paper's experiments at tiny size: what they write, what they share, what they read back."""

import gzip
import json
import re
import statistics
import struct

import numpy as np
import pytest

from labse_tf.data.pair_files import read_columns
from labse_tf.training.run_directory import load_run
from tests.fresh import fresh
from tests.running import untraced
from training.experiments import (
    comparison,
    cross_replica,
    hard_negatives,
    margin,
    pretraining,
    runs,
)

WORDS = "the cat sat on mat and saw a green apple with Tom near old trees".split()
FLAGS = (
    "--languages deu,fra --max-pairs 60 --seq-length 16 --seeds 1 --steps 2 "
    "--batch-size 8 --warmup-steps 1 --keep-checkpoints 3 --vocab-size 150 --hidden-size 8 "
    "--num-heads 2 --num-layers 0 --intermediate-size 8"
).split()


def sentences(count, seed):
    rng = np.random.default_rng(seed)
    english = [" ".join(rng.choice(WORDS, rng.integers(2, 8))) for _ in range(count)]
    return [" ".join(w[::-1] for w in text.split()) for text in english], english


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Pairs of three languages, and a Tatoeba test of two."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "tatoeba").mkdir()
    for number, code in enumerate(["deu", "fra", "xxx"]):
        with gzip.open(folder / f"{code}-eng.tsv.gz", "wt") as file:
            for source, target in zip(*sentences(80, number)):
                file.write(f"{source}\t{target}\ttatoeba\n")
        for side, texts in zip((code, "eng"), sentences(20, 10 + number)):
            path = folder / "tatoeba" / f"tatoeba.{code}-eng.{side}"
            path.write_text("\n".join(texts) + "\n")
    return folder


@pytest.fixture
def eagerly():
    with untraced():
        yield


def arguments(data, workdir, *more):
    return [
        "--pairs", str(data), "--tatoeba", str(data / "tatoeba"), "--workdir", str(workdir),
        *FLAGS, *more,
    ]  # fmt: skip


def check_report(workdir, names, against, seeds=1):
    """The table against results.json, and that against the runs' own files, one measured anew."""
    assert sorted(p.name for p in (workdir / "report").iterdir()) == [
        "plot.png", "results.json", "table.md",
    ]  # fmt: skip
    table = (workdir / "report" / "table.md").read_text().splitlines()
    results = json.loads((workdir / "report" / "results.json").read_text())
    assert [run["name"] for run in results["runs"]] == names
    assert list(results["pairs"].values()) == [60, 60]
    accuracies, seconds = {}, 0
    for run in results["runs"]:
        assert [measured["seed"] for measured in run["measured"]] == list(range(seeds))
        for measured in run["measured"]:
            figures = json.loads(run_file(workdir, run["name"], measured["seed"], "tatoeba.json"))
            seconds += figures["model"]["seconds"] + figures["model"]["start_seconds"]
            figures = figures["benchmarks"][0]["figures"]
            mean = (figures["deu/accuracy"] + figures["fra/accuracy"]) / 2
            assert measured["accuracy"] == pytest.approx(mean)
        accuracies[run["name"]] = [100 * measured["accuracy"] for measured in run["measured"]]
    count = len(names) * seeds
    assert any(x.startswith(f"- {count} trainings, {seconds / 3600:.1f} hours") for x in table)
    for name, other in zip(names, against, strict=True):
        values = accuracies[name]
        row = next(line for line in table if line.startswith(f"| {name} | "))
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[1].split(" ± ")[0] == f"{np.mean(values):.2f}"
        assert cells[3] == other
        gains = np.subtract(values, accuracies[other]) if other else []
        assert cells[2].split(" ± ")[0] == (f"{np.mean(gains):+.2f}" if other else "")
        if seeds > 1:
            assert cells[1].endswith(f"± {statistics.stdev(values):.2f}")
    png = (workdir / "report" / "plot.png").read_bytes()
    assert png.startswith(b"\x89PNG\r\n") and len(png) > 5000
    width, height = struct.unpack(">II", png[16:24])
    assert 600 < width < 1200 and 150 < height < 900
    return results


def run_file(workdir, name, seed, file):
    folder = re.sub(r"[^\w.]+", "-", name)
    return (workdir / "runs" / folder / f"seed-{seed}" / file).read_text()


def read(folder, step=None):
    return [w.numpy() for w in load_run(folder, step).encoder.weights]


def assert_same(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


def no_training(*_, **__):
    raise AssertionError("a finished run was trained again")


def test_margins(eagerly, data, tmp_path, monkeypatch, capfd):
    flags = arguments(data, tmp_path, "--margins", "0,0.3", "--scales", "5")
    margin.main([*flags, "--seeds", "2"])
    names = ["scale 5, margin 0", "scale 5, margin 0.3"]
    check_report(tmp_path, names, ["", names[0]], seeds=2)
    table = (tmp_path / "report" / "table.md").read_text()
    assert table.strip() in capfd.readouterr().out
    folders = {
        name: tmp_path / "runs" / name.replace(", ", "-").replace(" ", "-") for name in names
    }
    for name, folder in folders.items():
        settings = json.loads((folder / "seed-1" / "config.json").read_text())["settings"]
        assert name == f"scale {settings['scale']:g}, margin {settings['margin']:g}"
        assert settings["seed"] == 1
    # From the same weights, which are the seed's; and to others.
    starts = {(n, s): read(f / f"seed-{s}", 0) for n, f in folders.items() for s in (0, 1)}
    for seed in (0, 1):
        assert_same(starts[names[0], seed], starts[names[1], seed])
    assert np.abs(starts[names[0], 0][0] - starts[names[0], 1][0]).max() > 1e-3
    ends = [read(folder / "seed-0")[0] for folder in folders.values()]
    assert np.abs(ends[0] - ends[1]).max() > 0
    # One figure anew, by NumPy.
    model = load_run(folders[names[0]] / "seed-0")
    sides = (data / "tatoeba" / f"tatoeba.deu-eng.{side}" for side in ("deu", "eng"))
    x, y = (model.encode(path.read_text().splitlines()) for path in sides)
    right = [np.mean((x @ y.T).argmax(axis) == np.arange(20)) for axis in (1, 0)]
    results = json.loads((tmp_path / "report" / "results.json").read_text())
    found = results["runs"][0]["measured"][0]["languages"]["deu"]
    assert found == pytest.approx(np.mean(right))

    # Finished runs are read back; a report that was lost comes again; other settings are refused.
    monkeypatch.setattr(runs, "fine_tune", no_training)
    (tmp_path / "report").rename(tmp_path / "elsewhere")
    margin.main([*flags, "--seeds", "2"])
    assert (tmp_path / "report" / "table.md").read_text() == table
    with pytest.raises(ValueError, match=r"settings\.training\.steps was 2, now 3"):
        margin.main([*flags, "--steps", "3"])
    with pytest.raises(AssertionError, match="trained again"):
        margin.main([*flags, "--seeds", "3"])
    assert not list(tmp_path.glob("**/*unfinished*"))


def test_cross_replica(data, tmp_path, monkeypatch, mirrored):
    monkeypatch.setattr(comparison, "choose_strategy", mirrored)
    flags = arguments(data, tmp_path, "--replicas", "2", "--gathered", "1")
    cross_replica.main(flags)
    names = ["cross-replica, 3 negatives", "in-batch, gradient caching, 3 negatives"]
    check_report(tmp_path, names, ["", names[0]])
    settings = [json.loads(run_file(tmp_path, n, 0, "config.json"))["settings"] for n in names]
    assert [s.pop("chunk_size") for s in settings] == [0, 4] and settings[0]["group"] == 4
    assert settings[0] == settings[1] and settings[0]["loss"] == "GroupNegativesLoss"
    # As the claim is: the same negatives, from wherever they are, teach the same.
    ends = [read(tmp_path / "runs" / name.replace(", ", "-").replace(" ", "-") / "seed-0")
            for name in names]  # fmt: skip
    for x, y in zip(*ends, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-4)
    monkeypatch.setattr(runs, "fine_tune", no_training)
    cross_replica.main(flags)
    with pytest.raises(ValueError, match=r"`replicas` \(=3\) must .* divide `batch_size` \(=8\)"):
        cross_replica.main(arguments(data, tmp_path / "3", "--replicas", "3"))
    with pytest.raises(ValueError, match=r"`gathered` \(='1,3'\).*`replicas` \(=4\)"):
        flags = ["--replicas", "4", "--gathered", "1,3"]
        cross_replica.main(arguments(data, tmp_path / "4", *flags))


def test_hard_negatives(eagerly, data, tmp_path, monkeypatch):
    flags = arguments(data, tmp_path, "--first-steps", "3", "--counts", "2")
    hard_negatives.main(flags)
    names = ["none", "2 random", "2 mined"]
    check_report(tmp_path, names, ["", "none", "none"])
    settings = [json.loads(run_file(tmp_path, n, 0, "config.json"))["settings"] for n in names]
    assert [s.pop("hard_negatives") for s in settings] == [0, 2, 2]
    files = [s.pop("pairs")[0] for s in settings]
    folders = ["pairs", "random/seed-0/2", "mined/seed-0/2"]
    assert files == [str(tmp_path / folder / "deu-eng.tsv.gz") for folder in folders]
    assert len({s.pop("checksums")["pairs"][0] for s in settings}) == 3
    assert all(s == settings[0] for s in settings)
    first = tmp_path / "first-stage" / "seed-0"
    for name in names:
        assert_same(read(tmp_path / "runs" / name.replace(" ", "-") / "seed-0", 0), read(first))
    model = load_run(first)
    pairs = list(read_columns(tmp_path / "pairs/deu-eng.tsv.gz"))
    right = {source: {t for s, t in pairs if s == source} for source, _ in pairs}
    rows = {}
    for way in ("random", "mined"):
        with gzip.open(tmp_path / way / "seed-0" / "2" / "deu-eng.tsv.gz", "rt") as file:
            rows[way] = [line.rstrip("\n").split("\t") for line in file]
        assert [tuple(r[:2]) for r in rows[way]] == pairs
        for source, _, *negatives in rows[way]:
            assert len(set(negatives)) == 2 and not right[source] & set(negatives)
    # What is mined by brute force; what is drawn is from everywhere.
    x, y = (model.encode([pair[side] for pair in pairs]) for side in (0, 1))
    for row, cosines in zip(rows["mined"], x @ y.T, strict=True):
        wrong = {p[1]: c for p, c in zip(pairs, cosines, strict=True) if p[1] not in right[row[0]]}
        nearest = sorted(wrong.values(), reverse=True)[:2]
        np.testing.assert_allclose([wrong[text] for text in row[2:]], nearest, atol=1e-5)
    assert len({row[2] for row in rows["random"]}) > 25
    monkeypatch.setattr(runs, "fine_tune", no_training)
    monkeypatch.setattr(hard_negatives, "fine_tune", no_training)
    hard_negatives.main(flags)
    with pytest.raises(ValueError, match=r"`counts` \(='0,1'\)"):
        hard_negatives.main(arguments(data, tmp_path / "0", "--counts", "0,1"))


@pytest.mark.parametrize("tlm_share, amounts", [("0", (20, 100)), ("0.5", (20,))])
def test_pretraining(eagerly, data, tmp_path, monkeypatch, tlm_share, amounts):
    """Pre-training's steps of 3 s and ranking's of 2 s: 2 + 2 of them take as long as 5 of 2 s."""
    seconds = iter([3.0, 2.0])
    monkeypatch.setattr(pretraining, "seconds_per_step", lambda train, steps: next(seconds))
    flags = arguments(
        data, tmp_path, "--amounts", ",".join(map(str, amounts)), "--pretraining-steps", "2",
        "--pretraining-batch-size", "4", "--tlm-share", tlm_share,
    )  # fmt: skip
    pretraining.main(flags)
    ways = ["without pre-training", "with pre-training", "without, as long: 5 steps"]
    names = [f"{n}% of the pairs, {way}" for way in ways for n in amounts]
    count = len(amounts)
    results = check_report(tmp_path, names, [""] * count + names[:count] * 2)
    assert [run["x"] for run in results["runs"]] == [*amounts] * 3
    steps = [run["training"]["steps"] for run in results["runs"]]
    assert steps == [2] * 2 * count + [5] * count
    starts = {
        (way, n): read(next(tmp_path.glob(f"runs/{n}-of*-{way}/seed-0")), 0)
        for way in ("without-pre-training", "with-pre-training", "without-as*")
        for n in amounts
    }
    text, first = [f"{tmp_path}/pairs/{c}-eng.tsv.gz" for c in ("deu", "fra")], amounts[0]
    for n in amounts:
        # On text alone, one pre-training for all; with pairs, those of each part.
        folder = tmp_path / "pretraining" / (f"{n}%" if float(tlm_share) else ".") / "seed-0"
        settings = json.loads((folder / "config.json").read_text())["settings"]
        parts = [f"{tmp_path}/parts/{n}%/seed-0/{c}-eng.tsv.gz" for c in ("deu", "fra")]
        assert settings["pairs"] == (parts if float(tlm_share) else [])
        assert settings["text"] == text and settings["tlm_share"] == float(tlm_share)
        assert_same(starts["with-pre-training", n], read(folder))
        for way in ("without-pre-training", "without-as*"):
            assert_same(starts[way, n], read(folder, 0))
    assert np.abs(starts["with-pre-training", first][0] - read(folder, 0)[0]).max() > 0
    # A part of 20% is 20% of each language, and a part of the whole.
    for code in ("deu", "fra"):
        whole, part = (
            list(read_columns(tmp_path / folder / f"{code}-eng.tsv.gz"))
            for folder in ("pairs", "parts/20%/seed-0")
        )
        assert len(part) == 12 and set(part) <= set(whole)
        if 100 in amounts:
            path = tmp_path / "parts/100%/seed-0" / f"{code}-eng.tsv.gz"
            assert whole == list(read_columns(path))
    monkeypatch.setattr(runs, "fine_tune", no_training)
    monkeypatch.setattr(pretraining, "pretrain", no_training)
    pretraining.main(flags)


def test_what_is_refused(data, tmp_path, capsys):
    with pytest.raises(ValueError, match=r"lacks the languages \['xxx'\]; both have deu, fra\."):
        margin.main(arguments(data, tmp_path / "a", "--languages", "deu,xxx"))
    with pytest.raises(FileNotFoundError, match="no directory"):
        margin.main(["--pairs", str(tmp_path / "none"), "--workdir", str(tmp_path / "a")])
    with pytest.raises(ValueError, match=r"`seeds` \(=0\)"):
        margin.main(arguments(data, tmp_path / "a", "--seeds", "0"))
    for name in ("--margin", "--patience", "--evaluate-every", "--hard-negatives"):
        with pytest.raises(SystemExit):
            margin.main(arguments(data, tmp_path / "a", name, "1"))
        assert f"unrecognized arguments: {name}" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_from_a_shell(data, tmp_path):
    folders = ["--pairs", data / "tatoeba", "--workdir", tmp_path / "a"]
    process = fresh("-m", "training.experiments.margin", *folders)
    assert process.returncode == 2, process.stderr
    last = process.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and "none in common" in last
