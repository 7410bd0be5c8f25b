"""Options of mining: their ranges, and sizes of memory."""

import math

import pytest

from labse_tf.mining.options import MiningOptions
from labse_tf.preparation.options import PreparationOptions


@pytest.mark.parametrize(
    "given, message",
    [
        ({"margin": "cosine"}, r"`margin` \(='cosine'\) must be one of \('absolute', "),
        ({"strategy": "both"}, r"`strategy` \(='both'\)"),
        ({"k": 0}, r"`k` \(=0\) must be from 1"),
        ({"keep_best": 0.0}, r"`keep_best` \(=0\) must be above 0"),
        ({"keep_best": 10.5}, r"`keep_best` \(=10.5\) must be a share up to 1, or a whole"),
        ({"min_score": 2.0, "max_score": 1.0}, r"`min_score` \(=2.0\) must be at most"),
        ({"min_length": 9, "max_length": 8}, r"`max_length` \(=8\) must be at least"),
        ({"max_ratio": 0.5}, r"`max_ratio` \(=0.5\) must be at least 1, or 0"),
        ({"memory": "much"}, r"`memory` \(='much'\) must be a size, as 4G"),
        ({"memory": "0G"}, "must be a size"),
        ({"dtype": "float64"}, r"`dtype` \(='float64'\)"),
    ],
)
def test_what_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        MiningOptions(**given)


def test_memory_and_defaults():
    sizes = {"4G": 4 * 2**30, "500M": 500 * 2**20, "1.5 GiB": 1.5 * 2**30, "2gb": 2**31, "9": 9}
    for text, size in sizes.items():
        assert MiningOptions(memory=text).memory_bytes == size
    options = MiningOptions()
    assert (options.min_score, options.max_score) == (-math.inf, math.inf)
    assert options.language_odds == PreparationOptions().language_odds == 10
