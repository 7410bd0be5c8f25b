"""labse mine on a command line."""

import gzip

import numpy as np

import labse_tf
from labse_tf.commands.main import main
from tests.conftest import SENTENCES
from tests.planted import write
from tests.running import call

SOURCES = [*SENTENCES[:4], "green cat", "Tom sat", "the mat"]
TARGETS = [s + "." for s in SOURCES[::-1]]


def test_mine_and_score(release, tmp_path):
    source, target = tmp_path / "a.txt", tmp_path / "b.gz"
    write(source, SOURCES)
    target.write_bytes(gzip.compress("\n".join(TARGETS).encode()))
    out = tmp_path / "pairs.tsv"
    options = ["--model", release, "--k", 2, "--margin", "distance"]
    said = call(main, "mine", source, target, "--output", out, *options, "--report", tmp_path / "r")
    found = [line.split("\t") for line in out.read_text().splitlines()]
    assert f"pairs: {len(found)}" in said and said.splitlines()[-1] == f"{tmp_path}/r/index.html"
    expected = labse_tf.mine(SOURCES, TARGETS, release, k=2, margin="distance")
    assert [row[1:] for row in found] == [[pair.source, pair.target] for pair in expected]
    np.testing.assert_allclose(
        [float(row[0]) for row in found], [p.score for p in expected], atol=1e-5
    )
    write(tmp_path / "given.tsv", ["\t".join(row[1:]) for row in found])
    scored = tmp_path / "scored.tsv"
    said = call(
        main,
        "mine",
        "--score",
        tmp_path / "given.tsv",
        source,
        target,
        "--output",
        scored,
        *options,
    )
    assert said == f"{scored}: {len(found)} pairs\n"
    again = [float(line.split("\t")[0]) for line in scored.read_text().splitlines()]
    np.testing.assert_allclose(again, [float(row[0]) for row in found], atol=1e-5)


def test_what_is_refused(release, tmp_path):
    write(tmp_path / "a.txt", SOURCES)
    write(tmp_path / "b.txt", TARGETS)
    sides, model = (tmp_path / "a.txt", tmp_path / "b.txt"), ("--model", release)
    said = call(main, "mine", sides[0], "--output", "x.tsv", status=2)
    assert said == "error: Two files, SOURCE and TARGET, are needed, but got 1."
    said = call(main, "mine", *sides, status=2)
    assert said == "error: --output is needed: where to write the pairs."
    said = call(main, "mine", *sides, "--output", tmp_path / "x.tsv", *model, "--k", 9, status=2)
    assert "`k` (=9) must be at most the 7 different sentences of" in said
    said = call(main, "mine", "--score", sides[0], "--output", "x.tsv", "--gold", "y", status=2)
    assert said == "error: --gold is not for --score."
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.txt"]
