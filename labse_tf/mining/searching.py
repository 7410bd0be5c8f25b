"""How neighbours are searched for: exactly or by lists, in which precision, in what memory."""

from __future__ import annotations

import time
from collections.abc import Callable

import tensorflow as tf

from labse_tf.mining.options import MiningOptions
from labse_tf.mining.rows import Rows, forget_pages
from labse_tf.progress_bars import ProgressBar, progress_bar
from labse_tf.search.both_directions import SOURCES, TARGETS, nearest_both_ways
from labse_tf.search.list_search import Candidates, Lists, nearest_in_lists
from labse_tf.search.nearest import SLACK
from labse_tf.search.neighbours import Neighbours
from labse_tf.search.state import SearchState
from labse_tf.search.tiles import BLOCK

# Products and dim of which exact search takes about a quarter of an hour on two cores.
_EXACT = 2e14
_PROGRAM = 900 * 2**20  # bytes: Python, TensorFlow, a model of labse-mini's size
_LIST = 600 * 2**20  # bytes: the products of one block of a list, and what is made of them
_LARGEST = 4  # of a list's size to the mean: lists differ
_FORGET = 10**10  # products
_FEWEST = 2048  # targets at once
_TIMED = 8192  # targets of the tile that is timed


def search(
    sources: Rows,
    targets: Rows,
    options: MiningOptions,
    show_progress: bool | None = None,
    state_path: str | None = None,
) -> Neighbours:
    """The neighbours of both sides, as many as the margin needs.

    Args:
        sources: unit rows [sources, dim].
        targets: unit rows [targets, dim].
        options: how to search.
        show_progress: whether to draw a bar on stderr; None: if it is a terminal.
        state_path: File, without its ending, to keep the state of the search in, from which an
            interrupted search resumes. The precision must be the same then, and not "auto".

    Raises:
        ValueError: a row holds NaN; or the memory is not enough.
    """
    k = _neighbors(options)
    precision = fastest_precision(sources.shape[1], options.search_precision)
    state = SearchState(state_path and f"{state_path}.npz")
    products = len(sources) * len(targets)
    if how_to_search(len(sources), len(targets), sources.shape[1], options) == "lists":
        bar = progress_bar(
            show=show_progress, unit=" products", unit_scale=True, desc="making lists"
        )

        def begin(candidates: Candidates) -> None:
            bar.set_description("searching in lists")
            bar.reset(candidates.products)

        with bar:
            found = nearest_in_lists(
                sources, targets, k, lists_of(options),
                precision=precision, progress=_advance(bar, sources, targets), begin=begin,
                state=state,
            )  # fmt: skip
    else:
        at_once = targets_at_once(len(sources), len(targets), sources.shape[1], options)
        bar = progress_bar(
            show=show_progress, total=products, unit=" products", unit_scale=True, desc="searching"
        )
        with bar:
            found = nearest_both_ways(
                sources, targets, k,
                precision=precision, targets_at_once=at_once,
                progress=_advance(bar, sources, targets), state=state,
            )  # fmt: skip
    return found


def _advance(bar: ProgressBar, *sides: Rows) -> Callable[[int], None]:
    """Moves the bar, and keeps what was read of the files from filling the memory."""
    since = 0

    def advance(products: int) -> None:
        nonlocal since
        bar.update(products)
        since += products
        if since >= _FORGET:
            since = 0
            for rows in sides:
                forget_pages(rows)

    return advance


def how_to_search(sources: int, targets: int, dim: int, options: MiningOptions) -> str:
    """ "exact" or "lists"."""
    if options.search != "auto":
        return options.search
    return "exact" if sources * targets * dim <= _EXACT else "lists"


def check_memory(sources: int, targets: int, dim: int, options: MiningOptions) -> None:
    """Says that a search needs more memory before anything is embedded.

    Raises:
        ValueError: it does.
    """
    if how_to_search(sources, targets, dim, options) == "exact":
        targets_at_once(sources, targets, dim, options)
    else:
        k, lists = _neighbors(options), lists_of(options)
        kept = k + max(k, SLACK)
        # Of all rows the candidates and then the neighbors; of a list the candidates in it.
        in_list = sources * lists.source_lists + targets * lists.target_lists
        in_list = _LARGEST * in_list // lists.count(sources, targets)
        least = _PROGRAM + _LIST + (sources + targets) * (8 * kept + 12 * k + 150)
        least += 40 * kept * in_list + _pair_bytes(sources, targets, options)
        if options.memory_bytes < least:
            raise ValueError(
                f"`memory` (={options.memory!r}) is too little for lists of {sources:,} x "
                f"{targets:,} sentences: give {-(-least // 2**20)}M at least."
            )


def lists_of(options: MiningOptions) -> Lists:
    """The lists that options say."""
    return Lists(options.lists, options.source_lists, options.target_lists, options.seed)


def targets_at_once(sources: int, targets: int, dim: int, options: MiningOptions) -> int:
    """How many targets of an exact search fit into the memory, with all that is held besides.

    Raises:
        ValueError: too few do.
    """
    k = _neighbors(options)
    results = (sources + targets) * (12 * k + 64) + sources * 12 * (k + SLACK)
    results += _pair_bytes(sources, targets, options)
    blocks = min(k + SLACK, -(-sources // BLOCK))  # of sources that are scored for each target
    each = 7_000 + 320 * blocks + 6 * dim + 4 * SOURCES
    room = options.memory_bytes - _PROGRAM - results
    if room < each * min(_FEWEST, targets):
        least = _PROGRAM + results + each * min(_FEWEST, targets)
        raise ValueError(
            f"`memory` (={options.memory!r}) is too little for {sources:,} x {targets:,} sentences "
            f"of {dim} numbers: give {-(-least // 2**20)}M at least."
        )
    return int(min(room // each, TARGETS))


def _neighbors(options: MiningOptions) -> int:
    """Return how many neighbors of each row are searched for."""
    return 1 if options.margin == "absolute" and not options.alternatives else options.k


def _pair_bytes(sources: int, targets: int, options: MiningOptions) -> int:
    """Return what the pairs of all neighbors take, which are few unless there are alternatives."""
    return 120 * options.k * (sources + targets) if options.alternatives else 0


def fastest_precision(dim: int, wanted: str = "auto") -> str:
    """The precision in which this machine multiplies faster, by trying both for a moment."""
    if wanted != "auto":
        return wanted
    return min(("float32", "bfloat16"), key=lambda precision: _seconds(dim, precision))


def _seconds(dim: int, precision: str) -> float:
    """Of a tile; the better one of two, after one that is not counted."""
    sides = [tf.ones([count, dim], tf.as_dtype(precision)) for count in (SOURCES, _TIMED)]
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        tf.linalg.matmul(*sides, transpose_b=True)[0, 0].numpy()
        times.append(time.perf_counter() - begin)
    return min(times[1:])
