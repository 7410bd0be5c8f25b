"""The release: in a fresh process without labse_tf, read back, and refused or left whole."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import labse_tf
from labse_tf.release.saved_model import read_release
from labse_tf.serving.directory import add_version
from tests.conftest import SENTENCES
from tests.fresh import fresh
from tests.models import SEQ_LENGTH, make_model

ROOT = Path(__file__).parents[2]
LONGER = [*SENTENCES, "the cat " * 30, "x"]


@pytest.fixture(scope="module")
def seen(release, tmp_path_factory):
    """What tests/release_reader.py saw."""
    folder = tmp_path_factory.mktemp("seen")
    (folder / "sentences.json").write_text(json.dumps(LONGER))
    files = [folder / "sentences.json", folder / "seen.npz"]
    process = fresh("-I", ROOT / "tests" / "release_reader.py", release, *files, cwd=folder)
    assert process.returncode == 0, process.stderr[-4000:]
    with np.load(folder / "seen.npz") as results:
        return dict(results)


def outputs(model):
    """At the full width: padding must not matter."""
    return model.encoder(model.preprocessor(tf.constant(LONGER)))


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_strings_to_unit_rows(seen, model):
    expected = unit(outputs(model)["default"].numpy())
    for name in ("root", "layer", "layer/not training", "mirrored/layer"):
        if name != "layer/not training":  # after a step of training
            np.testing.assert_allclose(seen[name], expected, atol=2e-6, err_msg=name)
    np.testing.assert_allclose(seen["serving_default/embeddings"], expected, atol=2e-6)
    np.testing.assert_allclose(seen["token_ids/embeddings"], expected, atol=2e-6)
    np.testing.assert_allclose(seen["saved again"], expected, atol=2e-6)
    assert unit(expected[:3]) @ expected[:3].T != pytest.approx(1, abs=1e-3)


def test_hub_encoder_api(seen, model):
    for name, value in outputs(model).items():
        np.testing.assert_allclose(seen[f"encoder/{name}"], value, atol=1e-5)
        np.testing.assert_allclose(seen[f"encoder layer/{name}"], value, atol=1e-5)
    assert seen["encoder layer/weights"] == len(model.encoder.weights)
    assert seen["encoder/losses"] == 0


def test_hub_preprocessor_api(seen, model):
    # The preprocessor itself is compared with others' in test_preprocessing.py.
    preprocessor = model.preprocessor
    sentences = tf.constant(LONGER)
    tokens = preprocessor.tokenize(sentences)
    np.testing.assert_array_equal(seen["tokenize"], tokens.to_tensor(-1))
    segments = {"1": [tokens], "2": [tokens, tokens[::-1]]}
    for key in ("input_word_ids", "input_mask", "input_type_ids"):
        np.testing.assert_array_equal(
            seen[f"preprocessor/{key}"], preprocessor(sentences)[key], err_msg=key
        )
        assert seen[f"preprocessor/empty batch/{key}"].shape == (0, SEQ_LENGTH)
        for count, given in segments.items():
            expected = preprocessor.bert_pack_inputs(given, 9)[key]
            for form in ("words", "pieces"):
                np.testing.assert_array_equal(seen[f"pack/{count} {form}/{key}"], expected)
        np.testing.assert_array_equal(
            seen[f"pack/layer/{key}"], preprocessor.bert_pack_inputs([tokens], 9)[key]
        )
    assert seen["pack/2 words/input_type_ids"].max() == 1
    for name, value in preprocessor.special_tokens.items():
        assert seen[f"special/{name}"] == value


def test_empty_batch_and_empty_sentence(seen, model):
    assert seen["root/empty batch"].shape == (0, model.dim)
    np.testing.assert_allclose(np.linalg.norm(seen["root"], axis=1), 1, atol=1e-5)


def test_assets(seen, vocab_file):
    assert not seen["lower_case"]
    with open(vocab_file, "rb") as file:
        assert seen["vocabulary"].tobytes() == file.read()


def test_training_turns_dropout_on(seen):
    assert np.abs(seen["root/training"] - seen["root"]).max() > 1e-2
    assert np.abs(seen["root/training"] - seen["root/training again"]).max() > 1e-2
    assert np.abs(seen["layer/training"] - seen["layer/not training"]).max() > 1e-2


def test_many_sentences_in_one_call(release, model):
    """Of all lengths, and with the gradients of the encoder by itself."""
    rng = np.random.default_rng(0)
    words = "the cat Tom green a s".split()
    sentences = [" ".join(rng.choice(words, rng.integers(0, 22))) for _ in range(300)]
    served = tf.saved_model.load(str(release))
    expected = model.encode(sentences)
    np.testing.assert_allclose(served(tf.constant(sentences)), expected, atol=2e-6)
    some = tf.constant(sentences[:90])
    direction = tf.constant(rng.normal(size=[90, model.dim]), tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        packed = tf.reduce_sum(served(some) * direction)
        outputs = served.encoder(served.preprocessor(some))["default"]
        whole = tf.reduce_sum(tf.math.l2_normalize(outputs, axis=1) * direction)
    gradients = (tape.gradient(y, served.trainable_variables) for y in (packed, whole))
    for weight, *pair in zip(served.trainable_variables, *gradients, strict=True):
        pair = map(tf.convert_to_tensor, pair)
        np.testing.assert_allclose(*pair, atol=2e-4, err_msg=weight.name)


@pytest.fixture(scope="module")
def single_layer(vocab_file, vocab_size):
    """For tests that write releases, which takes the longer the more layers there are."""
    return make_model(vocab_file, vocab_size, num_layers=1)


@pytest.mark.parametrize("weights_dtype", [None, "float32"])
def test_computing_in_bfloat16(single_layer, tmp_path, weights_dtype):
    model = single_layer
    model.save(tmp_path / "half", compute_dtype="bfloat16", weights_dtype=weights_dtype)
    served = tf.saved_model.load(str(tmp_path / "half"))
    stored = weights_dtype or "bfloat16"
    assert {v.dtype.name for v in served.variables} == {"float32", stored}
    sentences = tf.constant(LONGER)
    expected = unit(outputs(model)["default"].numpy())
    encoded = served.encoder(served.preprocessor(sentences))
    found = {
        "root": served(sentences),
        "serving": served.signatures["serving_default"](sentences=sentences)["embeddings"],
        "encoder": tf.math.l2_normalize(encoded["default"], axis=1),
    }
    for name, rows in found.items():
        assert rows.dtype == tf.float32
        cosines = np.sum(rows * expected, axis=1)
        assert 0.9995 < cosines.min() < cosines.max() < 1 - 1e-7, name
    assert encoded["sequence_output"].dtype == tf.float32
    # Read back, it is trainable and computes in float32.
    again = labse_tf.load(tmp_path / "half")
    assert {w.dtype.name for w in again.encoder.weights} == {"float32"}
    atol = 2e-6 if stored == "float32" else 0.05
    np.testing.assert_allclose(again.encode(LONGER), expected, atol=atol)
    with pytest.raises(ValueError, match=r"`compute_dtype` \(='float16'\) must be one of"):
        model.save(tmp_path / "other", compute_dtype="float16")


@pytest.mark.parametrize("name", ["trained", "mirrored"])
def test_a_step_moves_every_weight(seen, model, name):
    assert seen["frozen weights"] == 0
    moved = {key: value for key, value in seen.items() if key.startswith(f"{name}/") and ":" in key}
    assert len(moved) == len(model.encoder.weights)
    assert {key for key, value in moved.items() if not value > 1e-7} == set()


def test_load_gives_equal_outputs_and_trains(release, model):
    loaded = labse_tf.load(release)
    np.testing.assert_array_equal(loaded.encode(LONGER), model.encode(LONGER))
    assert loaded.encoder.config == model.encoder.config
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(loaded.encoder(loaded.preprocessor(["the cat"]))["default"] ** 2)
    gradients = tape.gradient(value, loaded.encoder.trainable_weights)
    assert len(gradients) == len(model.encoder.weights) and None not in gradients


@pytest.mark.parametrize("limit", [None, 9])
def test_it_holds_the_vocabulary_that_was_used(vocab_file, vocab_size, tmp_path, limit):
    path = tmp_path / "vocab.txt"
    shutil.copy(vocab_file, path)
    preprocessor = labse_tf.Preprocessor(path, 20, max_word_bytes=limit)
    encoder = make_model(vocab_file, vocab_size, num_layers=0).encoder
    model = labse_tf.LaBSE(preprocessor, encoder)
    path.write_text("\n".join(reversed(path.read_text(encoding="utf-8").split("\n")[:-1])))
    model.save(tmp_path / "model")
    long = "Tomssssss Tomsssssss"  # words of 9 and 10 bytes
    expected = preprocessor([long])["input_word_ids"].numpy()
    assert (preprocessor.unknown_id in expected) == (limit == 9)
    (tmp_path / "model").rename(tmp_path / "moved")
    loaded, served = labse_tf.load(tmp_path / "moved"), tf.saved_model.load(tmp_path / "moved")
    assert loaded.preprocessor.max_word_bytes == limit
    for found in (loaded.preprocessor([long]), served.preprocessor(tf.constant([long]))):
        np.testing.assert_array_equal(found["input_word_ids"], expected)
    np.testing.assert_array_equal(loaded.encode([long]), model.encode([long]))
    np.testing.assert_allclose(served(tf.constant([long])), model.encode([long]), atol=2e-6)
    # A release of before there was a choice has Google's limit.
    config_file = tmp_path / "moved" / "assets" / "labse.json"
    config = json.loads(config_file.read_text())
    assert config.pop("max_word_bytes") == limit
    config_file.write_text(json.dumps(config))
    assert labse_tf.load(tmp_path / "moved").preprocessor.max_word_bytes == 100


def test_an_existing_path_is_not_overwritten_unasked(
    model, release, vocab_file, vocab_size, tmp_path
):
    shutil.copytree(release, tmp_path / "model")
    other = make_model(vocab_file, vocab_size, num_layers=0)
    with pytest.raises(FileExistsError, match=str(tmp_path / "model")):
        other.save(tmp_path / "model")
    np.testing.assert_array_equal(
        labse_tf.load(tmp_path / "model").encode(["a"]), model.encode(["a"])
    )
    other.save(tmp_path / "model", overwrite=True)
    np.testing.assert_array_equal(
        labse_tf.load(tmp_path / "model").encode(["a"]), other.encode(["a"])
    )
    assert os.listdir(tmp_path) == ["model"]


def test_only_a_release_is_overwritten(model, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter-1.tex").write_text("...")
    with pytest.raises(ValueError, match="no release"):
        model.save(tmp_path / "thesis", overwrite=True)
    assert os.listdir(tmp_path / "thesis") == ["chapter-1.tex"]


def test_an_interrupt_leaves_nothing(model, release, vocab_file, vocab_size, tmp_path, monkeypatch):
    shutil.copytree(release, tmp_path / "model")
    other = make_model(vocab_file, vocab_size, num_layers=0)

    def interrupted(root, path, signatures):
        shutil.copytree(release, path, dirs_exist_ok=True)
        assert len(os.listdir(tmp_path)) == 2  # it was there, under another name
        raise KeyboardInterrupt

    monkeypatch.setattr(tf.saved_model, "save", interrupted)
    for path, overwrite in (("new", False), ("model", True)):
        with pytest.raises(KeyboardInterrupt):
            other.save(tmp_path / path, overwrite=overwrite)
        assert os.listdir(tmp_path) == ["model"]
    np.testing.assert_array_equal(
        labse_tf.load(tmp_path / "model").encode(["a"]), model.encode(["a"])
    )


def test_a_full_disk_leaves_nothing(release, tmp_path):
    # No file above 20 kB: what a disk does that is full, seen from the process.
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000));"
        "import labse_tf, sys; from labse_tf.commands.flags import run_program;"
        "run_program(lambda _: labse_tf.load(sys.argv[1]).save(sys.argv[2]))"
    )
    process = fresh("-c", code, release, tmp_path / "model")
    assert process.returncode == 2, process.stderr[-3000:]
    assert process.stderr.splitlines()[-1].startswith("error: ")
    assert str(tmp_path / "model") in process.stderr.splitlines()[-1]
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("dtype", "bits"), [("float16", 11), ("bfloat16", 8)])
def test_half_the_space(single_layer, tmp_path, dtype, bits):
    model = single_layer
    model.save(tmp_path / "half", weights_dtype=dtype)
    again = labse_tf.load(tmp_path / "half")
    numpy_dtype = tf.as_dtype(dtype).as_numpy_dtype
    stored = 0
    for a, b in zip(model.encoder.weights, again.encoder.weights, strict=True):
        assert b.dtype == tf.float32
        half = "kernel" in a.name or a.name.startswith("embeddings/word")
        stored += a.shape.num_elements() * (2 if half else 4)
        expected = a.numpy().astype(numpy_dtype).astype(np.float32) if half else a.numpy()
        np.testing.assert_array_equal(b, expected, err_msg=a.name)
        # Rounded to so many bits: wrong by 2^-bits of a number at most, but not by nothing.
        np.testing.assert_allclose(b, a, rtol=2.0**-bits, atol=1e-7)
        assert np.array_equal(a, b) != half
    # The SavedModel computes from the stored weights, in float32.
    served = tf.saved_model.load(str(tmp_path / "half"))
    embeddings = served(tf.constant(LONGER))
    assert embeddings.dtype == tf.float32
    np.testing.assert_allclose(embeddings, again.encode(LONGER), atol=1e-5)
    assert np.sum(embeddings * model.encode(LONGER), axis=1).min() > 0.999
    # And what was loaded is trained and saved as any other.
    again.save(tmp_path / "whole", weights_dtype="float32")
    for a, b in zip(
        again.encoder.weights, labse_tf.load(tmp_path / "whole").encoder.weights, strict=True
    ):
        np.testing.assert_array_equal(a, b)
    half, whole = (
        next((tmp_path / name / "variables").glob("*.data-*")).stat().st_size
        for name in ("half", "whole")
    )
    graph = whole - 4 * model.encoder.count_params()  # the rest of the file
    assert abs(half - graph - stored) < 100


def test_an_unknown_dtype(model, tmp_path):
    with pytest.raises(ValueError, match="weights_dtype"):
        model.save(tmp_path / "model", weights_dtype="float64")
    assert os.listdir(tmp_path) == []


def test_what_is_no_release(release, tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        labse_tf.load(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty.*no model that labse_tf knows"):
        labse_tf.load(tmp_path / "empty")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: "{", "not the configuration of a release"),
        (lambda text: "{}", "not the configuration of a release"),
        (lambda text: text.replace('"format": 1', '"format": 2'), "format 2"),
        (lambda text: text.replace('"float32"', '"float8"'), "`weights_dtype` is 'float8'"),
        (
            lambda text: text.replace('"hidden_size": 16', '"hidden_size": 20'),
            "Cannot read the wei",
        ),
        (
            lambda text: text.replace('"num_layers": 2', '"num_layers": 3'),
            "Cannot read the weights",
        ),
    ],
)
def test_a_release_that_disagrees_with_itself(release, tmp_path, change, said):
    shutil.copytree(release, tmp_path / "model")
    config_file = tmp_path / "model" / "assets" / "labse.json"
    config_file.write_text(change(config_file.read_text()))
    with pytest.raises(ValueError, match=said) as error:
        read_release(tmp_path / "model")
    assert str(tmp_path / "model") in str(error.value)


def test_a_release_cut_short(release, tmp_path):
    shutil.copytree(release, tmp_path / "model")
    (data,) = (tmp_path / "model" / "variables").glob("*.data-*")
    os.truncate(data, 5000)
    with pytest.raises(ValueError, match="Cannot read the weights"):
        read_release(tmp_path / "model")


def test_what_is_neither_read_nor_served(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no directory"):
        read_release(tmp_path / "absent")
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(ValueError, match=r"not a release of labse_tf.*\['saved_model.pb'\]"):
        read_release(tmp_path)
    with pytest.raises(ValueError, match="is no release of labse_tf; `labse convert`"):
        add_version(tmp_path, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_its_own_vocabulary_is_taken(release, vocab_file):
    with pytest.raises(ValueError, match="brings its own vocabulary"):
        labse_tf.load(release, vocab_file=vocab_file)


def test_a_saved_model_that_cannot_be_written(model, tmp_path, monkeypatch):
    def full(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", full)
    with pytest.raises(OSError, match=r"model' could not be written: No space left on device"):
        model.save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
