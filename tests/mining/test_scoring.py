"""Pairs that are given get the scores that mining gives them."""

import itertools

import numpy as np
import pytest

from labse_tf.mining.mine_files import mine_files
from labse_tf.mining.options import MiningOptions
from labse_tf.mining.scoring import score_pairs
from tests.data.test_ranking_pairs import write_tfrecord
from tests.evaluation.test_mining import mining_set
from tests.mining.test_mine import rows_of
from tests.planted import by_hash, planted, write


def test_given_pairs_are_scored_as_mined_ones(tmp_path):
    _, table, _ = mining_set(tmp_path, "de-en", seed=0)
    files = tmp_path / "de-en.de", tmp_path / "de-en.en", planted(table)
    mine_files(*files[:2], tmp_path / "out.tsv", files[2])
    mined = rows_of(tmp_path / "out.tsv")
    shuffled = [mined[i] for i in np.random.default_rng(0).permutation(len(mined))]
    write(tmp_path / "pairs.tsv", ["\t".join(row[1:]) for row in shuffled])
    count = score_pairs(
        tmp_path / "pairs.tsv", tmp_path / "scored.tsv", files[2], background=files[:2]
    )
    assert count == len(mined)
    for got, expected in itertools.zip_longest(rows_of(tmp_path / "scored.tsv"), shuffled):
        assert got[1:] == expected[1:]
        assert float(got[0]) == pytest.approx(float(expected[0]), abs=2e-6)
    few = score_pairs(
        tmp_path / "pairs.tsv", tmp_path / "few.tsv", files[2], MiningOptions(min_score=1.2)
    )
    assert 0 < few < len(mined)
    write_tfrecord(tmp_path / "tabs.tfrecord", [("a\tb", "c\nd"), ("e", "f"), ("g", "h")])
    options = MiningOptions(k=1)
    score_pairs(tmp_path / "tabs.tfrecord", tmp_path / "tabs.tsv", by_hash, options)
    assert [row[1:] for row in rows_of(tmp_path / "tabs.tsv")][:2] == [["a b", "c d"], ["e", "f"]]
    write(tmp_path / "bad.tsv", ["a\tb", "c\t"])
    with pytest.raises(ValueError, match=r"bad.tsv:2: the target is empty"):
        score_pairs(tmp_path / "bad.tsv", tmp_path / "x.tsv", by_hash)
    with pytest.raises(FileExistsError, match=r"few.tsv' exists"):
        score_pairs(tmp_path / "pairs.tsv", tmp_path / "few.tsv", files[2])
