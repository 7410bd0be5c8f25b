"""Equal sentences are embedded once: against encode without it, and against a dictionary."""

import itertools
import warnings

import numpy as np
import pytest

from labse_tf.inference import duplicates, windows
from labse_tf.inference.duplicates import Duplicates
from labse_tf.inference.reading import to_embed
from tests.conftest import SENTENCES
from tests.models import SEQ_LENGTH

CUT = "a " * SEQ_LENGTH
UNKNOWN = ["☃", "☃ ☃☃"]
# Some often, as in a crawl, also twice in a window.
KINDS = [*SENTENCES, "Tom", "the cat", CUT, *UNKNOWN]
SKEWED = np.random.default_rng(3).zipf(1.4, size=60) % len(KINDS)
CRAWL = [KINDS[i] for i in [*SKEWED.tolist(), *range(len(KINDS))]]
pytestmark = pytest.mark.filterwarnings("ignore:.*(were cut|nothing but)")


@pytest.fixture
def small_windows(monkeypatch):
    monkeypatch.setattr(windows, "WINDOW", 7)


@pytest.fixture
def embedded(model, monkeypatch):
    """How many sentences each batch had."""
    counts, run = [], model._in("float32").run

    def counting(ids, mask):
        counts.append(len(ids))
        return run(ids, mask)

    monkeypatch.setattr(model._in("float32"), "run", counting)
    return counts


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("given", [list, iter, "output"])
def test_each_is_embedded_once(model, tmp_path, small_windows, embedded, given, dtype):
    expected = model.encode(CRAWL, deduplicate=False, output_dtype=dtype)
    assert sum(embedded) == len(CRAWL)
    embedded.clear()
    sentences = CRAWL if given == "output" else given(CRAWL)
    output = tmp_path / "x.npy" if given == "output" else None
    found = model.encode(sentences, output=output, output_dtype=dtype)
    assert sum(embedded) == len(set(CRAWL)) == 13
    assert (found.shape, found.dtype) == ((len(CRAWL), 16), dtype)
    np.testing.assert_allclose(found, expected, atol=2e-6 if dtype == "float32" else 1e-3)
    rows = {sentence: row.tobytes() for sentence, row in zip(CRAWL, found, strict=True)}
    assert [row.tobytes() for row in found] == [rows[sentence] for sentence in CRAWL]


def test_where_none_is_equal_nothing_changes(model, small_windows):
    different = [f"{a} {b}" for a in SENTENCES for b in ("", "Tom", "the")]
    found, expected = (model.encode(different, deduplicate=d) for d in (True, False))
    np.testing.assert_array_equal(found, expected)


def test_a_window_of_nothing_new(model, small_windows, embedded):
    sentences = SENTENCES[:7] + SENTENCES[6::-1] + ["Tom"]
    found, counts = model.encode(sentences), list(embedded)
    assert sum(counts) == 8
    np.testing.assert_array_equal(found[7:14], found[6::-1])


def test_warnings_count_every_copy(model, small_windows):
    said = []
    for deduplicate in (True, False):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.encode(iter(CRAWL), deduplicate=deduplicate)
        said.append([str(warning.message) for warning in caught])
    assert said[0] == said[1] and len(said[0]) == 2
    pieces = model.preprocessor.word_pieces(CRAWL).row_lengths().numpy()
    cut = np.sum(pieces > SEQ_LENGTH - 2)
    assert said[0][0].startswith(f"{cut} of {len(CRAWL)} sentences are longer")
    unknown = sum(map(CRAWL.count, UNKNOWN))
    assert said[0][1].startswith(f"{unknown} of {len(CRAWL)} sentences are nothing but")
    assert cut > CRAWL.count(CUT) > 1 and unknown > 2


@pytest.mark.parametrize("options", [{}, {"deduplicate": False}, {"long": "mean"}], ids=str)
def test_progress_counts_every_copy(model, monkeypatch, small_windows, options):
    updates = []

    class Bar:
        update = staticmethod(updates.append)
        __enter__ = __exit__ = lambda self, *_: self

    monkeypatch.setattr("labse_tf.inference.embedder.progress_bar", lambda **_: Bar())
    model.encode(CRAWL, batch_tokens=30, **options)
    done = np.cumsum(updates)
    assert done[-1] == len(CRAWL) and 7 in done and 14 in done  # windows


def test_a_run_that_goes_on(model, tmp_path, small_windows, embedded):
    expected, output = model.encode(CRAWL), tmp_path / "x.npy"

    def interrupted():
        yield from CRAWL[:25]
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        model.encode(interrupted(), output=output)
    assert np.load(f"{output}.unfinished").shape == (25, 16)
    embedded.clear()
    found = model.encode(iter(CRAWL), output=output, resume=True)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    # The first and the last row are checked; then each different sentence is embedded once.
    assert sum(embedded) == 2 + len(set(CRAWL[25:]))


def test_a_table_that_is_too_small(model, monkeypatch, small_windows, embedded):
    expected = model.encode(CRAWL, deduplicate=False)
    embedded.clear()
    monkeypatch.setattr(Duplicates.__init__, "__defaults__", (4,))
    np.testing.assert_allclose(model.encode(CRAWL), expected, atol=2e-6)
    assert len(set(CRAWL)) < sum(embedded) < len(CRAWL)


def test_against_a_dictionary(monkeypatch):
    """Windows of a stream of 3,000 sentences; the table is large enough for all but collisions."""
    rng = np.random.default_rng(0)
    stream = [b"%d" % n for n in (rng.pareto(0.6, 3000) * 5).astype(np.int64) % 900]
    marks_of = {s: [s.endswith(b"3"), s.startswith(b"1")] for s in stream}
    found, first, hits = Duplicates(100, slots=2**14), {}, 0
    for start in range(0, len(stream), 250):
        sentences = stream[start : start + 250]
        window = found.window(sentences)
        different = list(dict.fromkeys(sentences))
        assert [different[i] for i in window.places] == sentences
        assert window.new == [different[i] for i in np.flatnonzero(window.rows < 0)]
        for sentence, row, marks in zip(different, window.rows, window.marks, strict=True):
            if row >= 0:
                assert sentence in first and stream[row - 100] == sentence
                assert marks.tolist() == marks_of[sentence]
                hits += 1
            else:
                first[sentence] = row
        new = np.array([marks_of[s] for s in window.new], bool).reshape(-1, 2)
        found.embedded(window, new)
    repeated = sum(len(set(stream[i : i + 250]) & set(stream[:i])) for i in range(0, 3000, 250))
    assert 0.9 * repeated < hits <= repeated and repeated > 500
    assert found._table.nbytes == 2**14 * 24
    assert duplicates.SLOTS * 24 < 51e6  # as the docstring has it


def test_openvino(model, small_windows):
    fast = to_embed(model, "float32", "openvino", 0)
    expected = model.encode(CRAWL, deduplicate=False)
    np.testing.assert_allclose(fast.encode(itertools.chain(CRAWL)), expected, atol=1e-5)
