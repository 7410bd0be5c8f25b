"""BertModel and XLMRobertaModel with XLM-RoBERTa's tokenizer, against a BERT in NumPy."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file
from tokenizers import Tokenizer

import labse_tf
from labse_tf.pretrained import hugging_face
from tests.conftest import SENTENCES
from tests.numpy_bert import bert, mean_pooled
from tests.xlm_roberta import write_directory

TEXTS = SENTENCES[:-1]
MODEL_FILE = "sentencepiece.bpe.model"


@pytest.fixture(scope="module")
def preprocessor(sentencepiece_file):
    return labse_tf.Preprocessor(sentencepiece_file, 20, tokenization="sentencepiece")


def expected_embeddings(tensors, config, preprocessor, pooling):
    """The embeddings by NumPy; XLM-RoBERTa's first token has the position 2."""
    tensors = dict(tensors)
    if config["model_type"] == "xlm-roberta":
        name = "embeddings.position_embeddings.weight"
        tensors[name] = tensors[name][2:]
    packed = [x.numpy() for x in preprocessor(tf.constant(TEXTS)).values()]
    sequence = bert(tensors, config, *packed)
    pooled = mean_pooled(sequence, packed[1]) if "mean" in pooling else sequence[:, 0]
    return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)


@pytest.mark.parametrize("pooling", ["mean_tokens", "cls_token"])
@pytest.mark.parametrize("model_type", ["bert", "xlm-roberta"])
def test_read_and_write(tmp_path, preprocessor, model_type, pooling):
    config, tensors = write_directory(tmp_path / "a", preprocessor, model_type, pooling)
    model = labse_tf.load(tmp_path / "a")
    assert model.encoder.config.vocab_size == preprocessor.vocab_size
    assert model.encoder.config.max_positions == (32 if model_type == "xlm-roberta" else 34)
    expected = expected_embeddings(tensors, config, preprocessor, pooling)
    np.testing.assert_allclose(model.encode(TEXTS), expected, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 0.1  # sentences differ
    hugging_face.write(tmp_path / "b", model.preprocessor, model.encoder)
    written = json.loads((tmp_path / "b" / "config.json").read_text())
    assert written["model_type"] == "bert" and written["pad_token_id"] == 1
    stored = load_file(tmp_path / "b" / "model.safetensors")
    again = expected_embeddings(stored, written, preprocessor, pooling)
    np.testing.assert_allclose(again, expected, atol=1e-5)
    np.testing.assert_array_equal(labse_tf.load(tmp_path / "b").encode(TEXTS), model.encode(TEXTS))


@pytest.fixture
def written(tmp_path, preprocessor):
    write_directory(tmp_path / "a", preprocessor, "bert", "mean_tokens")
    model = labse_tf.load(tmp_path / "a")
    hugging_face.write(tmp_path / "b", model.preprocessor, model.encoder)
    return tmp_path / "b"


def test_tokenizer_json(written, preprocessor):
    """`tokenizers` reads what is written, and it is read back where it stands alone."""
    texts = [*TEXTS, "  two  spaces ", "ﬁne ½ ①"]
    tokenizer = Tokenizer.from_file(str(written / "tokenizer.json"))
    theirs = [encoding.ids[1:-1] for encoding in tokenizer.encode_batch(texts)]
    assert theirs == preprocessor.word_pieces(tf.constant(texts)).to_list()
    os.remove(written / MODEL_FILE)
    alone = labse_tf.load(written).preprocessor
    assert alone.tokens == preprocessor.tokens
    ours = alone.word_pieces(tf.constant(texts)).to_list()
    assert ours == preprocessor.word_pieces(tf.constant(texts)).to_list()


def change_tokenizer(folder, change):
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t["model"].update(byte_fallback=True), "`model.byte_fallback` is True"),
        (lambda t: t["model"]["vocab"].insert(0, ["x", 0]), "adds the token '<s>' .id 0."),
        (lambda t: t["model"]["vocab"][7].__setitem__(0, "other"), "are different tokenizers"),
        (lambda t: t["pre_tokenizer"].update(type="ByteLevel"), "`pre_tokenizer` is 'ByteLevel'"),
        (lambda t: t["pre_tokenizer"].update(prepend_scheme="never"), "add_prefix_space` is False"),
        (lambda t: t["post_processor"]["single"].pop(), "`post_processor.single` is"),
        (
            lambda t: t["post_processor"]["special_tokens"]["</s>"].update(ids=[5]),
            r"special_tokens\['</s>'\].ids` is \[5\]",
        ),
        (
            lambda t: t["added_tokens"].append({"id": 9999, "content": "<new>"}),
            "adds the token '<new>' .id 9999.",
        ),
    ],
)
def test_refused_tokenizers(written, change, message):
    change_tokenizer(written, change)
    with pytest.raises(ValueError, match=message):
        labse_tf.load(written)


def test_refused_layouts(tmp_path, preprocessor):
    folder = tmp_path / "a"
    config, _ = write_directory(folder, preprocessor, "xlm-roberta", "mean_tokens")
    (folder / "config.json").write_text(json.dumps({**config, "pad_token_id": 0}))
    with pytest.raises(ValueError, match="`pad_token_id` is 0, but XLM-RoBERTa's is 1"):
        labse_tf.load(folder)
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "gpt2"}))
    with pytest.raises(ValueError, match="`model_type` is 'gpt2'"):
        labse_tf.load(folder)
