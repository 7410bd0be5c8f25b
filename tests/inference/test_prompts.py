"""Prompts: what is put before each sentence by encode, training and a release."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

import labse_tf
from labse_tf.data.ranking_pairs import read_pairs
from labse_tf.pretrained import hugging_face
from tests.models import make_model

TEXTS = ["the cat", "Tom", ""]
PROMPTS = {"query": "green: ", "passage": "the "}


@pytest.fixture(scope="module")
def plain(vocab_file, vocab_size):
    return make_model(vocab_file, vocab_size, num_layers=1)


@pytest.fixture(scope="module")
def prompted(plain):
    preprocessor = plain.preprocessor.with_prompts(PROMPTS, "query")
    return plain.with_parts(preprocessor=preprocessor)


def prefixed(text):
    return [text + sentence for sentence in TEXTS]


@pytest.mark.parametrize(
    "options, text",
    [
        ({}, "green: "),
        ({"prompt_name": "passage"}, "the "),
        ({"prompt": "Tom "}, "Tom "),
        ({"prompt": ""}, ""),
    ],
)
@pytest.mark.parametrize("backend", ["tensorflow", "openvino"])
def test_encode(plain, prompted, tmp_path, backend, options, text):
    prompted.save(tmp_path / "release")
    model = labse_tf.load(tmp_path / "release", backend=backend)
    expected = plain.encode(prefixed(text))
    np.testing.assert_allclose(model.encode(TEXTS, **options), expected, atol=1e-5)
    assert model.fingerprint() == prompted.fingerprint() != plain.fingerprint()


def test_a_release_has_the_default_prompt(plain, prompted, tmp_path):
    prompted.save(tmp_path / "release")
    expected = plain.encode(prefixed("green: "))
    served = hub.load(str(tmp_path / "release"))
    np.testing.assert_allclose(served(TEXTS), expected, atol=1e-5)
    signature = served.signatures["serving_default"](tf.constant(TEXTS))["embeddings"]
    np.testing.assert_allclose(signature, expected, atol=1e-5)


def test_training_has_the_default_prompt(plain, prompted):
    """Sentences are trained on as they are embedded."""
    pairs = [("the cat", "Tom"), ("cat", "the Tom")]
    batch = next(iter(read_pairs(pairs, prompted.preprocessor, 2)))
    with_text = [tuple(f"green: {sentence}" for sentence in pair) for pair in pairs]
    expected = next(iter(read_pairs(with_text, plain.preprocessor, 2)))
    for side, other in zip(batch, expected, strict=True):
        for name, ids in side.items():
            np.testing.assert_array_equal(
                sorted(ids.numpy().tolist()), sorted(other[name].numpy().tolist())
            )


def test_sentence_transformers_have_them(prompted, tmp_path):
    hugging_face.write(tmp_path / "written", prompted.preprocessor, prompted.encoder)
    file = tmp_path / "written" / "config_sentence_transformers.json"
    content = json.loads(file.read_text())
    assert content["prompts"] == PROMPTS and content["default_prompt_name"] == "query"
    again = labse_tf.load(tmp_path / "written")
    np.testing.assert_allclose(again.encode(TEXTS), prompted.encode(TEXTS), atol=1e-5)
    # Newer versions write empty prompts into every model.
    content |= {"prompts": {"query": "", "document": ""}, "default_prompt_name": None}
    file.write_text(json.dumps(content))
    assert labse_tf.load(tmp_path / "written").preprocessor.prompts == {}


def test_a_resumed_run_has_the_same_prompt(prompted, tmp_path):
    output = tmp_path / "rows.npy"

    def sentences():
        yield from TEXTS * 2000
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        prompted.encode(sentences(), output=output, prompt_name="passage")
    with pytest.raises(ValueError, match="prompt"):
        prompted.encode(TEXTS * 2000, output=output, resume=True)
    rows = prompted.encode(TEXTS * 2000, output=output, resume=True, prompt_name="passage")
    np.testing.assert_allclose(rows[:3], prompted.encode(TEXTS, prompt="the "), atol=1e-5)


def test_refused(prompted):
    with pytest.raises(ValueError, match=r"no prompt 'x'; its prompts are \['passage', 'query'\]"):
        prompted.encode(TEXTS, prompt_name="x")
    with pytest.raises(ValueError, match="either `prompt` or `prompt_name`"):
        prompted.encode(TEXTS, prompt_name="query", prompt="a")
    with pytest.raises(TypeError, match="`prompt` must be a string, not int"):
        prompted.encode(TEXTS, prompt=3)
    with pytest.raises(TypeError, match="`prompts` must be a dict"):
        prompted.preprocessor.with_prompts({"query": 3})
    with pytest.raises(ValueError, match="no prompt 'x'"):
        prompted.preprocessor.with_prompts(PROMPTS, "x")
