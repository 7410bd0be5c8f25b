"""How mining searches: exactly or in lists, in which memory; files that are read and forgotten."""

import tracemalloc

import numpy as np
import pytest

from labse_tf.mining import searching
from labse_tf.mining.options import MiningOptions
from labse_tf.mining.rows import open_rows, stored_form
from labse_tf.mining.searching import (
    check_memory,
    fastest_precision,
    how_to_search,
    search,
    targets_at_once,
)
from labse_tf.search import blocks
from labse_tf.search.both_directions import nearest_both_ways
from tests.search.test_nearest import by_definition, clustered


def test_when_lists_are_used():
    for count, expected in ((100_000, "exact"), (700_000, "exact"), (1_000_000, "lists")):
        assert how_to_search(count, count, 256, MiningOptions()) == expected
    assert how_to_search(10, 10, 2, MiningOptions(search="lists")) == "lists"
    assert how_to_search(10**8, 10**8, 768, MiningOptions(search="exact")) == "exact"


def test_memory():
    most, less = (
        targets_at_once(100_000, 200_000, 256, MiningOptions(memory=memory))
        for memory in ("16G", "1200M")
    )
    assert most == 131_072 and 4096 < less < 20_000
    with pytest.raises(ValueError, match=r"`memory` \(='1G'\) is too little for 1,000,000 x .*: "
                       r"give \d{4}M at least"):  # fmt: skip
        targets_at_once(10**6, 10**6, 256, MiningOptions(memory="1G"))
    check_memory(10**6, 10**6, 256, MiningOptions(memory="2500M"))
    with pytest.raises(ValueError, match=r"too little for lists of 10,000,000 x"):
        check_memory(10**7, 10**7, 256, MiningOptions(memory="4G"))


def test_memory_of_many_neighbors(monkeypatch):
    """What a search takes grows with k, and the number of targets at once shrinks with it."""
    monkeypatch.setattr(searching, "_FEWEST", 256)
    monkeypatch.setattr(blocks, "_BYTES", 2**18)  # of each thread, whatever k is
    sources, targets = clustered(3000), clustered(3000, seed=1)
    options = MiningOptions(k=300, memory="1G")
    room = options.memory_bytes - searching._PROGRAM
    at_once = targets_at_once(len(sources), len(targets), sources.shape[1], options)
    tracemalloc.start()
    nearest_both_ways(sources, targets, options.k, targets_at_once=at_once)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.4 * room < peak < room
    sizes = {"k": 1000, "search": "lists", "memory": "4G"}
    for more in ({"margin": "absolute"}, {"k": 4}):
        check_memory(300_000, 300_000, 256, MiningOptions(**{**sizes, **more}))
    with pytest.raises(ValueError, match=r"too little for lists of 300,000 x"):
        check_memory(300_000, 300_000, 256, MiningOptions(**sizes))
    with pytest.raises(ValueError, match="too little for 300,000 x"):
        targets_at_once(300_000, 300_000, 256, MiningOptions(k=60, alternatives=True))


def test_the_faster_precision(monkeypatch):
    assert fastest_precision(8, "bfloat16") == "bfloat16"
    monkeypatch.setattr(searching, "_seconds", lambda dim, precision: len(precision))
    assert fastest_precision(8) == "float32"


@pytest.mark.parametrize("dtype", ["float16", "int8"])
@pytest.mark.parametrize("how", [{}, {"search": "lists", "lists": 1}])
def test_rows_of_files(dtype, how, tmp_path, monkeypatch):
    monkeypatch.setattr(searching, "_FORGET", 1)
    maps = []
    for name, rows in (("s", clustered(40)), ("t", clustered(300, seed=1))):
        np.save(tmp_path / f"{name}.npy", stored_form(rows, dtype))
        maps.append(open_rows(tmp_path / f"{name}.npy"))
    found = search(*maps, MiningOptions(k=3, **how), False, str(tmp_path / "state"))
    exact = [rows[:].astype(np.float32) for rows in maps]
    np.testing.assert_array_equal(found.targets, by_definition(*exact, 3)[1])
    np.testing.assert_array_equal(found.sources, by_definition(*exact[::-1], 3)[1])
