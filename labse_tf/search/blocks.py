"""The best candidates in some blocks of candidates, for each query its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from labse_tf.search.neighbours import NO_ROW
from labse_tf.search.tiles import BLOCK

_BYTES = 2**24  # of queries scored together, each thread


def best_in_blocks(
    queries: np.ndarray, candidates: np.ndarray, blocks: np.ndarray, kept: int
) -> np.ndarray:
    """The best candidates in some blocks of each query, by products in float32.

    Block b is the candidates from b * `BLOCK`, `BLOCK` of them or what is left. All queries of a
    block are scored with it at once, so that a query is read once a block, and not once a product.

    Args:
        queries: float32 or float16 [queries, dim].
        candidates: float32 or float16 [candidates, dim].
        blocks: int32 [queries, n].
        kept: how many, at most n * `BLOCK`.

    Returns:
        int64 [queries, kept] rows of candidates, `NO_ROW` for none, in any order.
    """
    count, per_query = blocks.shape
    order = np.argsort(blocks.ravel(), kind="stable")  # pairs of query and block, by block
    unit_blocks, units = _units(blocks.ravel()[order])
    dim = queries.shape[1]
    scores = np.full([len(order) + 1, BLOCK], -np.inf, np.float32)  # the last: of what fills units
    step = max(1, _BYTES // (4 * dim * units.shape[1]))

    def score(start: int) -> None:
        of_block = unit_blocks[start : start + step]
        filled = units[start : start + step] >= 0
        pairs = order[units[start : start + step]]
        rows = of_block[:, None].astype(np.int64) * BLOCK + np.arange(BLOCK)
        own = np.take(queries, pairs // per_query, axis=0).astype(np.float32, copy=False)
        others = np.take(candidates, rows, axis=0, mode="clip").astype(np.float32, copy=False)
        with tf.device("CPU"):
            products = tf.matmul(own, others, transpose_b=True).numpy()
        products = np.where((rows < len(candidates))[:, None, :], products, -np.inf)
        scores[np.where(filled, pairs, len(order))] = products

    with ThreadPoolExecutor() as threads:
        for _ in threads.map(score, range(0, len(units), step)):
            pass
    scores = scores[:-1].reshape(count, per_query * BLOCK)
    best = np.argpartition(-scores, kept - 1, axis=1)[:, :kept]
    rows = np.take_along_axis(blocks, best // BLOCK, axis=1).astype(np.int64) * BLOCK + best % BLOCK
    return np.where(np.take_along_axis(scores, best, axis=1) == -np.inf, NO_ROW, rows)


def _units(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a block in units of equal size, so that many are one batch of matrices.

    Args:
        blocks: int32 [pairs], ascending.

    Returns:
        The block of each unit int32 [units], and its pairs int64 [units, size], -1 where it is not
        full.
    """
    present, starts, counts = np.unique(blocks, return_index=True, return_counts=True)
    size = 2 ** int(np.clip(np.round(np.log2(counts.mean())), 2, 7))
    of_block = -(-counts // size)  # units
    which = np.repeat(np.arange(len(present)), of_block)
    number = np.arange(len(which)) - np.repeat(np.cumsum(of_block) - of_block, of_block)
    pairs = (starts[which] + number * size)[:, None] + np.arange(size)
    ends = (starts + counts)[which][:, None]
    return present[which], np.where(pairs < ends, pairs, -1)
