"""LaBSE.encode as a stream: batches, windows, files that grow, and runs that go on."""

import gzip
import resource
import warnings

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import labse_tf
from labse_tf.encoder.precision import computing_in, stored_as, weights_dtype_of
from labse_tf.files.embeddings import EmbeddingFile, EmbeddingRows
from labse_tf.files.journals import ResumeError
from labse_tf.inference import batching
from labse_tf.inference import windows as windows_module
from tests.conftest import SENTENCES
from tests.models import SEQ_LENGTH, make_model

pytestmark = pytest.mark.filterwarnings("ignore:.*were cut")
MANY = [f"{a} {b}".strip() for a in SENTENCES for b in ("", "the cat", "Tom green " * 4)]


@pytest.fixture
def small_windows(monkeypatch):
    monkeypatch.setattr(windows_module, "WINDOW", 5)


def planned(lengths, batch_tokens):
    """What `plan` should do, a row at a time."""
    batches, start = [], 0
    while start < len(lengths):
        width, end, padding = lengths[start], start + 1, 0
        while end < len(lengths) and (end + 1 - start) * width <= batch_tokens:
            padding += width - lengths[end]
            if padding > max(batching._BATCH_COST, width * (end + 1 - start) // 16):
                break
            end += 1
        if end - start > 32:
            end -= (end - start) % 32
        batches.append((end, width))
        start = end
    return batches


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(2, 128), max_size=300),
    st.sampled_from([1, 100, 1000, 4096, 10**6]),
)
def test_plan_against_python(lengths, batch_tokens):
    lengths = sorted(lengths, reverse=True)
    found = [(rows.stop, width) for rows, width in batching.plan(np.array(lengths), batch_tokens)]
    assert found == planned(lengths, batch_tokens)


def test_one_long_sentence_does_not_widen_the_others():
    lengths = [150] + [12] * 64
    found = [(rows.stop, width) for rows, width in batching.plan(np.array(lengths), 4096)]
    assert found == [(2, 150), (34, 12), (65, 12)]
    # Padding of just what a batch costs is let pass: 4 times 64 tokens.
    assert [rows.stop for rows, _ in batching.plan(np.array([66] + [2] * 5), 4096)] == [5, 6]
    # Nor are lengths that fall slowly cut to pieces.
    lengths = sorted(np.random.default_rng(0).integers(8, 24, 4000).tolist(), reverse=True)
    batches = list(batching.plan(np.array(lengths), 4096))
    padded = sum((rows.stop - rows.start) * width for rows, width in batches)
    assert padded < 1.1 * sum(lengths) and len(batches) < 30


def test_lists_generators_and_files(model, tmp_path, small_windows):
    expected = model.encode(MANY)
    (tmp_path / "a.txt").write_text("".join(s + "\r\n" for s in MANY), encoding="utf-8")
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress("\n".join(MANY).encode()))
    inputs = (tuple(MANY), (s for s in MANY), dict.fromkeys(MANY).keys(), np.array(MANY))
    for sentences in (*inputs, tmp_path / "a.txt", tmp_path / "a.txt.gz"):
        found = model.encode(sentences)
        assert found.dtype == np.float32
        unique = list(dict.fromkeys(MANY))
        order = [MANY.index(s) for s in (unique if len(found) < len(MANY) else MANY)]
        np.testing.assert_allclose(found, expected[order], atol=2e-6)


def test_a_length_that_is_not_true(model):
    class Wrong(list):
        def __len__(self):
            return self.claimed

    for claimed in (0, 3, 40):
        sentences = Wrong(MANY)
        sentences.claimed = claimed
        np.testing.assert_allclose(model.encode(sentences), model.encode(MANY), atol=2e-6)
    rows = EmbeddingRows(3, 2, "float16")
    rows.append(np.ones([2, 2], np.float32))
    rows.append(np.zeros([2, 2], np.float32))
    rows.append(np.full([1, 2], 7, np.float32))
    expected = np.repeat([[1, 1], [0, 0], [7, 7]], [2, 2, 1], axis=0)
    np.testing.assert_array_equal([rows.read(i) for i in range(5)], expected)
    np.testing.assert_array_equal(rows.finish(), expected)


def test_bfloat16(vocab_file, vocab_size):
    model = make_model(vocab_file, vocab_size)
    exact, half = model.encode(MANY), model.encode(MANY, precision="bfloat16")
    assert half.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(half, axis=1), 1, atol=1e-6)
    cosines = np.sum(exact * half, axis=1)
    assert 0.9995 < cosines.min() < cosines.max() < 1 - 1e-7
    # The same whatever the batch, as encode's docstring has it.
    alone = np.concatenate([model.encode([s], precision="bfloat16") for s in MANY])
    assert np.sum(alone * half, axis=1).min() > 0.9999
    # The weights are the model's own: what it learns counts at once.
    for weight in model.encoder.weights:
        weight.assign(weight * 1.1 + 0.01)
    moved = model.encode(MANY, precision="bfloat16")
    assert np.sum(moved * model.encode(MANY), axis=1).min() > 0.999
    assert np.sum(moved * half, axis=1).min() < 0.99
    with pytest.raises(ValueError, match=r"`precision` \(='float64'\) must be one of \('float32',"):
        model.encode(MANY, precision="float64")


def test_other_arithmetic_on_the_same_variables(model):
    half = computing_in(model.encoder, "bfloat16")
    assert (half.compute_dtype, weights_dtype_of(half)) == ("bfloat16", "float32")
    own = [weight.unique_id if hasattr(weight, "unique_id") else 0 for weight in half.weights]
    assert own == [w.unique_id if hasattr(w, "unique_id") else 0 for w in model.encoder.weights]
    names = [weight.name for weight in half.weights]
    assert names == [weight.name for weight in model.encoder.weights]
    assert computing_in(half, "bfloat16") is half
    kernels = stored_as(half, "bfloat16")
    assert (kernels.compute_dtype, weights_dtype_of(kernels)) == ("bfloat16", "bfloat16")


def test_loaded_in_bfloat16(model, release, tmp_path):
    half = labse_tf.load(release, precision="bfloat16")
    assert weights_dtype_of(half.encoder) == "bfloat16"
    cosines = np.sum(half.encode(MANY) * model.encode(MANY), axis=1)
    assert 0.9995 < cosines.min() < cosines.max() < 1 - 1e-7
    # Its weights are rounded, but float32 arithmetic on them is asked for and given.
    rounded = stored_as(model.encoder, "bfloat16")
    expected = labse_tf.LaBSE(model.preprocessor, rounded).encode(MANY)
    np.testing.assert_allclose(half.encode(MANY, precision="float32"), expected, atol=2e-6)
    # Written again it is a release like any other.
    half.save(tmp_path / "again")
    np.testing.assert_allclose(labse_tf.load(tmp_path / "again").encode(MANY), expected, atol=2e-6)
    with pytest.raises(ValueError, match="loaded to embed only"):
        labse_tf.fine_tune(half, [], labse_tf.FineTuningConfig(), tmp_path / "run")
    with pytest.raises(ValueError, match=r"`precision` \(='int8'\)"):
        labse_tf.load(release, precision="int8")
    with pytest.raises(ValueError, match=r"`backend` \(='onnx'\) must be .*'openvino'"):
        labse_tf.load(release, backend="onnx")


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_an_output_that_grows(model, tmp_path, small_windows, dtype):
    output, seen = tmp_path / "x.npy", []

    def sentences():
        for index, sentence in enumerate(MANY):
            if index % 5 == 0 and index:
                # What is there is whole rows, of the windows before the last one read.
                seen.append(len(np.load(tmp_path / "x.npy.unfinished")))
            yield sentence

    embeddings = model.encode(sentences(), output=output, output_dtype=dtype)
    assert seen == [0, 5, 10, 15]
    assert isinstance(embeddings, np.memmap) and embeddings.dtype == dtype
    with pytest.raises(ValueError, match="read-only"):
        embeddings[0, 0] = 1
    assert [p.name for p in tmp_path.iterdir()] == ["x.npy"]
    np.testing.assert_array_equal(np.load(output), embeddings)
    expected = model.encode(MANY, output_dtype=dtype)
    assert expected.dtype == dtype
    np.testing.assert_array_equal(embeddings, expected)
    assert model.encode([], output=tmp_path / "none.npy").shape == (0, 16)
    assert np.load(tmp_path / "none.npy").shape == (0, 16)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("gone")])
def test_an_interrupted_run_goes_on(model, tmp_path, small_windows, error):
    expected, output = model.encode(MANY), tmp_path / "x.npy"

    def sentences():
        yield from MANY[:17]
        raise error

    with pytest.raises((KeyboardInterrupt, OSError)):
        model.encode(sentences(), output=output)
    # An interrupt loses what is being read ahead and embedded; an error in the input nothing.
    rows = 10 if error is KeyboardInterrupt else 17
    np.testing.assert_allclose(np.load(f"{output}.unfinished"), expected[:rows], atol=2e-6)
    assert not output.exists()
    with pytest.raises(FileExistsError, match=r"left from a run that was interrupted: resume"):
        model.encode(MANY, output=output)
    before = (tmp_path / "x.npy.unfinished").read_bytes()[128:]
    np.testing.assert_allclose(
        model.encode(iter(MANY), output=output, resume=True), expected, atol=2e-6
    )
    assert output.read_bytes()[128 : 128 + len(before)] == before
    with pytest.raises(FileExistsError, match="Choose another path"):
        model.encode(MANY, output=output, resume=True)


def test_resuming_after_a_kill_in_the_middle_of_writing(model, tmp_path, small_windows):
    output = tmp_path / "x.npy"
    rows = EmbeddingFile(output, 16, "float32")
    rows.append(model.encode(MANY[:7]))
    rows._file.seek(0, 2)
    rows._file.write(np.full(24, np.nan, np.float32))  # a row and a half
    rows.close()
    found = model.encode(MANY, output=output, resume=True)
    np.testing.assert_allclose(found, model.encode(MANY), atol=2e-6)
    # And with nothing there to resume, a run begins.
    found = model.encode(MANY, output=tmp_path / "y.npy", resume=True)
    np.testing.assert_allclose(found, model.encode(MANY), atol=2e-6)


def interrupted(model, sentences, rows, **options):
    """Embed with an input that fails after so many rows."""

    def failing():
        yield from sentences[:rows]
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        model.encode(failing(), **options)


def test_a_run_is_not_resumed_with_other_settings(
    model, vocab_file, vocab_size, tmp_path, small_windows
):
    """Rows between the first and the last would be of two kinds, without a word."""
    output, unfinished = tmp_path / "x.npy", tmp_path / "x.npy.unfinished"
    interrupted(model, MANY, 15, output=output)
    before = unfinished.read_bytes()

    def refused(said, model=model, sentences=MANY, **options):
        with pytest.raises(ResumeError, match=said):
            model.encode(sentences, output=output, resume=True, **options)
        assert unfinished.read_bytes() == before

    refused("long was 'cut' and is now 'mean'", long="mean")
    refused("precision was 'float32' and is now 'bfloat16'", precision="bfloat16")
    refused("model was 'sha256:", model=make_model(vocab_file, vocab_size, seed=9))
    refused(r"rows are float32 \[16\], but now they would be float16", output_dtype="float16")
    refused("sentences 6 to 10 are not", sentences=[*MANY[:7], "edited", *MANY[8:]])
    # What changes no row may be another.
    found = model.encode(MANY, output=output, resume=True, batch_tokens=64, deduplicate=False)
    np.testing.assert_allclose(found, model.encode(MANY), atol=2e-6)


def test_what_cannot_be_resumed(model, vocab_file, vocab_size, tmp_path, small_windows):
    output, unfinished = tmp_path / "x.npy", tmp_path / "x.npy.unfinished"
    rows = EmbeddingFile(output, 16, "float32")
    rows.append(model.encode(MANY[:7]))
    rows.close()
    before = unfinished.read_bytes()

    def refused(said, model=model, sentences=MANY, **options):
        with pytest.raises(ValueError, match=said):
            model.encode(sentences, output=output, resume=True, **options)
        assert unfinished.read_bytes() == before

    refused(r"rows are float32 \[16\], but now they would be float16", output_dtype="float16")
    refused("row 0 is not this model's embedding", sentences=MANY[1:])
    refused("row 6 is not this model's embedding", sentences=[*MANY[:5], *MANY[6:]])
    refused("it has 7 rows, but there are only 3 sentences", sentences=MANY[:3])
    refused("row 0 is not", model=make_model(vocab_file, vocab_size, seed=9))
    with pytest.raises(ValueError, match="`resume` needs the `output`"):
        model.encode(MANY, resume=True)
    unfinished.write_bytes(b"no NumPy file")
    with pytest.raises(ValueError, match=r"cannot be resumed: .* Remove it"):
        model.encode(MANY, output=output, resume=True)


def test_outputs_that_cannot_be_written(model, tmp_path, small_windows):
    with pytest.raises(FileNotFoundError, match="no directory to write"):
        model.encode(MANY, output=tmp_path / "absent" / "x.npy")
    with pytest.raises(ValueError, match=r"`output_dtype` \(='int8'\)"):
        model.encode(MANY, output=tmp_path / "x.npy", output_dtype="int8")
    # A file system that takes no more than 10 rows and a half: those are kept.
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (128 + 10 * 64 + 32, limit[1]))
    try:
        with pytest.raises(OSError, match=r"File too large; 10 rows are kept: .*unfinished"):
            model.encode(MANY, output=tmp_path / "x.npy")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert np.load(tmp_path / "x.npy.unfinished").shape == (10, 16)
    found = model.encode(MANY, output=tmp_path / "x.npy", resume=True)
    np.testing.assert_allclose(found, model.encode(MANY), atol=2e-6)
    # Without a single row nothing is left.
    with pytest.raises(TypeError, match="Sentence 0"):
        model.encode(iter([7]), output=tmp_path / "y.npy")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.npy"]


def test_what_is_unknown_is_counted_once_over_all_windows(model, small_windows):
    known = ["the cat", "Tom ☃", ""]  # one of words of which one is known, and one of none
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.encode([*known, "☃", "☃ ☃☃"] * 3)
        said = [str(warning.message) for warning in caught]
        model.encode(known)
    assert len(said) == len(caught) == 1
    assert "6 of 15 sentences are nothing but [UNK]" in said[0]


def test_what_is_cut_is_counted_once_over_all_windows(model, small_windows):
    long = "a " * (SEQ_LENGTH - 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.encode([long, "a"] * 7)
    assert [str(w.message)[:20] for w in caught] == ["7 of 14 sentences ar"]
    assert caught[0].filename == __file__


def test_a_batch_without_memory(model, monkeypatch):
    def graph(*arguments):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    windows = model._in("float32")
    monkeypatch.setattr(windows.run, "graph", graph)
    with pytest.raises(MemoryError, match=r"2 sentences of 3 tokens .*`batch_tokens`.*allocating"):
        model.encode(["a", "s"])
