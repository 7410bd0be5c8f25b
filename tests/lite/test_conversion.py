"""Models for LiteRT, run by its interpreter, against the models that they are of."""

import os
import re

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text
from ai_edge_litert.interpreter import Interpreter, InterpreterWithCustomOps

import labse_tf
from export import lite
from labse_tf.conversion import lite as conversion
from labse_tf.conversion.lite import lite_model, write_lite
from labse_tf.encoder.encoder import INPUTS
from labse_tf.models import named
from tests.conftest import SENTENCES
from tests.models import make_model
from tests.running import call
from tests.xlm_roberta import write_directory

# Width 32 is all positions that there are.
SHAPES = [(1, 3), (5, 24), (1, 8), (3, 32), (1, 3)]


def packed(vocab_size, batch, width, seed=0):
    """Random ids, of rows with padding but for the first; of the second segment some."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, width + 1, size=[batch, 1])
    lengths[0] = width
    mask = (np.arange(width) < lengths).astype(np.int32)
    ids = rng.integers(vocab_size, size=[batch, width]).astype(np.int32)
    return dict(zip(INPUTS, (ids, mask, mask * (np.arange(width) > width // 2).astype(np.int32))))


@pytest.fixture(scope="module")
def wide():
    """Large enough that the converter rounds weights: those of under 1,024 numbers it leaves."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{i}" for i in range(1100))]
    config = labse_tf.EncoderConfig.small(
        len(tokens), hidden_size=64, num_layers=1, intermediate_size=48, activation="gelu_tanh"
    )
    encoder = labse_tf.Encoder(config)
    rng = np.random.default_rng(2)
    for weight in encoder.weights:
        weight.assign(rng.normal(scale=0.2, size=weight.shape) + ("scale" in weight.name))
    return labse_tf.LaBSE(labse_tf.Preprocessor(tokens, 24), encoder)


@pytest.fixture(scope="module")
def of_release(release):
    """The release, as TensorFlow loads it."""
    return tf.saved_model.load(str(release))


@pytest.fixture(scope="module")
def written(release, tmp_path_factory):
    """The directory that the program wrote of the release, and what it printed."""
    path = tmp_path_factory.mktemp("written") / "lite"
    return path, call(lite.main, release, path)


def test_program(written, release, of_release, vocab_size):
    path, output = written
    model = path / "model.tflite"
    assert output.startswith(f"{model}: {os.path.getsize(model) / 1e6:.1f} MB, weights in float32")
    assert re.search(r"lowest (1\.000000|0\.999999)\d \(40 sentences\)", output)
    assert (path / "vocab.txt").read_bytes() == (release / "assets" / "vocab.txt").read_bytes()
    # LiteRT alone has none of TensorFlow's ops.
    embed = Interpreter(str(model)).get_signature_runner()
    expected = of_release.signatures["token_ids"]
    for batch, width in SHAPES:
        inputs = packed(vocab_size, batch, width)
        rows = embed(**inputs)["embeddings"]
        theirs = expected(**{name: tf.constant(x) for name, x in inputs.items()})["embeddings"]
        np.testing.assert_allclose(rows, theirs, atol=1e-5)
    with pytest.raises((RuntimeError, ValueError)):
        embed(**packed(vocab_size, 1, 33))
    again = call(lite.main, release, path, status=2)
    assert again.startswith("error: ") and "exists. Choose another path." in again


@pytest.mark.parametrize("precision, least", [("float16", 0.99999), ("int8", 0.995)])
def test_smaller_weights(wide, precision, least):
    words = wide.encoder.embeddings.word.numpy()
    content = lite_model(wide, precision)
    interpreter = Interpreter(model_content=content)
    embed = interpreter.get_signature_runner()
    for batch, width in SHAPES:
        inputs = packed(len(words), batch, width)
        expected = tf.math.l2_normalize(wide.encoder(inputs)["default"], axis=1)
        assert np.sum(embed(**inputs)["embeddings"] * expected, axis=1).min() > least
    tensors = interpreter.get_tensor_details()
    tables = {t["dtype"] for t in tensors if tuple(t["shape"]) == words.shape}
    if precision == "float16":
        assert words.astype(np.float16).tobytes() in content
        assert tables == {np.int16}  # and no float32 of it in memory
    else:
        of_words = [t for t in tensors if tuple(t["shape"]) == words.shape]
        (index,) = [t["index"] for t in of_words if t["dtype"] == np.int8]
        scale = np.abs(words).max(axis=1, keepdims=True) / 127
        errors = interpreter.get_tensor(index) * scale - words
        assert np.all(np.abs(errors) <= 0.501 * scale)
        assert scale.astype(np.float32).tobytes() in content
        kernels = [t for t in tensors if tuple(t["shape"]) in ((48, 64), (64, 48), (192, 64))]
        scales = {len(t["quantization_parameters"]["scales"]) for t in kernels}
        assert {t["dtype"] for t in kernels} == {np.int8} and scales == {48, 64, 192}


def strings(path):
    """A function from sentences to rows, by LiteRT with the ops of TensorFlow Text."""
    interpreter = InterpreterWithCustomOps(
        model_path=str(path),
        custom_op_registerers=tensorflow_text.tflite_registrar.SELECT_TFTEXT_OPS,
    )
    embed = interpreter.get_signature_runner()
    return lambda s: embed(sentences=np.array([x.encode() for x in s], object))["embeddings"]


def test_tokenizer_inside(release, of_release, tmp_path):
    write_lite(release, tmp_path / "any", sentences=["Tom"], tokenizer=True)
    assert os.listdir(tmp_path / "any") == ["model.tflite"]
    embed = strings(tmp_path / "any" / "model.tflite")
    for sentences in (SENTENCES, ["Tom"], [""], ["the cat " * 40, "green\u00a0Tom, do I\u3000!"]):
        np.testing.assert_allclose(embed(sentences), of_release(tf.constant(sentences)), atol=1e-5)


def test_sentencepiece(sentencepiece_file, tmp_path):
    """Token ids are the input; the tokenizer's files stand beside the model."""
    preprocessor = labse_tf.Preprocessor(sentencepiece_file, 20, tokenization="sentencepiece")
    write_directory(tmp_path / "source", preprocessor, "xlm-roberta", "mean_tokens")
    texts = SENTENCES[:-1]
    cosines = write_lite(tmp_path / "source", tmp_path / "lite", sentences=texts, seq_length=16)
    assert cosines.min() > 0.99999
    assert (tmp_path / "lite" / "sentencepiece.bpe.model").is_file()
    with pytest.raises(ValueError, match="'sentencepiece' cannot be put inside a LiteRT model"):
        write_lite(tmp_path / "source", tmp_path / "b", sentences=texts, tokenizer=True)
    assert not (tmp_path / "b").exists()


def test_one_shape(model, release, tmp_path):
    options = dict(tokenizer=True, seq_length=12, batch_size=3)
    write_lite(release, tmp_path / "fixed", sentences=["Tom", "cat"], **options)
    embed = strings(tmp_path / "fixed" / "model.tflite")
    cut = labse_tf.LaBSE(labse_tf.Preprocessor(model.preprocessor.tokens, 12), model.encoder)
    sentences = ["The cat sat on the mat, and so do I!", "", "Tom"]
    with pytest.warns(UserWarning, match="1 of 3 sentences are longer"):
        expected = cut.encode(sentences)
    np.testing.assert_allclose(embed(sentences), expected, atol=1e-5)


def test_labse_mini(tmp_path):
    """Its table of int8 is in the file as it is in the release; its tokenizer is the other one."""
    sentences = [
        "Où est la gare\u00a0?",
        "Где\u200bвокзал?",
        "駅は\u3000どこですか。",
        "می\u200cخواهم",
        "",
    ]
    cosines = write_lite(
        "labse-mini", tmp_path / "mini", sentences=sentences, precision="int8", tokenizer=True
    )
    assert cosines.min() > 0.99999
    content = (tmp_path / "mini" / "model.tflite").read_bytes()
    assert len(content) < 33e6
    weights = tf.train.load_checkpoint(os.path.join(named("labse-mini"), "variables", "variables"))
    shapes = weights.get_variable_to_shape_map()
    (table,) = [weights.get_tensor(k) for k, shape in shapes.items() if shape == [100_000, 256]]
    assert table.dtype == np.int8 and table.tobytes() in content


@pytest.mark.parametrize(
    "changes, error, message",
    [
        ({"precision": "bfloat16"}, ValueError, r"`precision` \(='bfloat16'\) must be one of"),
        ({"batch_size": 0}, ValueError, r"`batch_size` \(=0\) must be at least 1"),
        ({"sentences": []}, ValueError, "No sentences to compare"),
        ({"seq_length": 33}, ValueError, r"`seq_length` \(=33\) must be at most"),
        ({"seq_length": 2}, ValueError, r"`seq_length` \(=2\) must be at least 3"),
        ({"source": "absent"}, FileNotFoundError, "There is no file or directory 'absent'"),
    ],
)
def test_refused(release, tmp_path, changes, error, message):
    arguments = {"source": release, "sentences": ["Tom"], **changes}
    with pytest.raises(error, match=message):
        write_lite(destination=tmp_path / "lite", **arguments)
    assert not os.listdir(tmp_path)


def test_what_cannot_be_converted(written, release, vocab_file, vocab_size, tmp_path, monkeypatch):
    model = make_model(vocab_file, vocab_size)
    limited = labse_tf.Preprocessor(
        vocab_file, 24, tokenization="hugging-face", max_word_characters=100
    )
    with pytest.raises(ValueError, match=r"`max_word_characters` \(=100\)"):
        lite_model(labse_tf.LaBSE(limited, model.encoder), tokenizer=True)
    monkeypatch.setattr(conversion, "_MOST_BYTES", 10_000)
    with pytest.raises(ValueError, match=r"In float32 the model has .* Choose another precision"):
        write_lite(release, tmp_path / "lite", sentences=["Tom"])
    monkeypatch.undo()
    monkeypatch.setattr(conversion.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install '.\[lite\]'"):
        write_lite(release, tmp_path / "lite", sentences=["Tom"])
    monkeypatch.undo()
    # Another model's file.
    model.encoder.embeddings.word.assign(model.encoder.embeddings.word[::-1])
    content = (written[0] / "model.tflite").read_bytes()
    monkeypatch.setattr(conversion, "lite_model", lambda *_: content)
    monkeypatch.setattr(conversion, "load", lambda _: model)
    with pytest.raises(ValueError, match=r"lowest cosine with the model itself is .* nothing"):
        write_lite(release, tmp_path / "lite", sentences=["Tom"])
    assert not os.listdir(tmp_path)
