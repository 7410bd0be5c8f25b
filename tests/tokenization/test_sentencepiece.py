"""SentencePiece token ids against the library sentencepiece; packing; pruning; releases."""

import os
import sys

import numpy as np
import pytest
import sentencepiece
import tensorflow as tf
import tensorflow_hub as hub
import tf_keras

import labse_tf
from labse_tf.encoder.pruning import count_usage, prune
from labse_tf.release.saved_model import write_split
from labse_tf.tokenization.sentencepiece_model import SentencePieceModel
from labse_tf.training.run_directory import load_run
from tests.conftest import SENTENCES

SEQ_LENGTH = 16
TEXTS = [*SENTENCES, "  two  spaces ", "ﬁne ½ ①", "Tom\u00a0likes\u200b it", "naïve 🙂 名前"]


@pytest.fixture(scope="module")
def preprocessor(sentencepiece_file):
    return labse_tf.Preprocessor(sentencepiece_file, SEQ_LENGTH, tokenization="sentencepiece")


@pytest.fixture(scope="module")
def library_ids(sentencepiece_file):
    """The ids of transformers.XLMRobertaTokenizer, from the library: piece + 1, `<unk>` 3."""
    processor = sentencepiece.SentencePieceProcessor(model_file=sentencepiece_file)
    return lambda texts: [
        [3 if i == 0 else i + 1 for i in row] for row in processor.encode(texts, out_type=int)
    ]


def small_model(preprocessor, pooling="mean"):
    config = labse_tf.EncoderConfig(
        vocab_size=preprocessor.vocab_size,
        hidden_size=16,
        num_layers=1,
        num_heads=4,
        intermediate_size=24,
        max_positions=SEQ_LENGTH,
        pooling=pooling,
    )
    encoder = labse_tf.Encoder(config)
    rng = np.random.default_rng(3)
    for weight in encoder.weights:
        weight.assign(rng.normal(scale=0.3, size=weight.shape) + ("scale" in weight.name))
    return labse_tf.LaBSE(preprocessor, encoder)


@pytest.fixture(scope="module")
def model(preprocessor):
    return small_model(preprocessor)


@pytest.fixture(scope="module")
def release(model, tmp_path_factory):
    """Written to one place, then moved: the SavedModel must not refer to the first one."""
    folder = tmp_path_factory.mktemp("release")
    model.save(folder / "written")
    os.rename(folder / "written", folder / "moved")
    return folder / "moved"


def test_ids_of_texts(preprocessor, library_ids):
    assert preprocessor.word_pieces(tf.constant(TEXTS)).to_list() == library_ids(TEXTS)


def test_ids_of_all_code_points(preprocessor, library_ids):
    """Every code point that UTF-8 has, alone, inside a word and behind a letter."""
    characters = [chr(i) for i in range(1, sys.maxunicode + 1) if not 0xD800 <= i < 0xE000]
    # Many in one text: they are independent words, since each is between spaces.
    texts = [
        " ".join(f"{c} Tom{c}s a{c}" for c in characters[start : start + 2048])
        for start in range(0, len(characters), 2048)
    ]
    ours = preprocessor.word_pieces(tf.constant(texts))
    for row, expected in zip(ours, library_ids(texts), strict=True):
        np.testing.assert_array_equal(row, expected)


def test_special_tokens(preprocessor):
    tokens = preprocessor.tokens
    assert tokens[:4] == ["<s>", "<pad>", "</s>", "<unk>"] and tokens[-1] == "<mask>"
    assert len(tokens) == preprocessor.vocab_size
    assert preprocessor.special_tokens == {
        "start_of_sequence_id": 0,
        "padding_id": 1,
        "end_of_segment_id": 2,
        "mask_id": len(tokens) - 1,
        "vocab_size": len(tokens),
    }


def test_names_of_special_tokens_are_text(preprocessor):
    """No text can end a sentence or mask a word."""
    ids = preprocessor.word_pieces(tf.constant(["a</s><mask>b<s>"])).values.numpy()
    assert not set(ids) & {0, 1, 2, preprocessor.mask_id}


def test_packing_masks_by_length(preprocessor, library_ids):
    """`<s>` has the id 0 and `<pad>` 1: a mask from the ids would be wrong at both."""
    packed = {name: x.numpy() for name, x in preprocessor(tf.constant(TEXTS)).items()}
    for row, ids in enumerate(library_ids(TEXTS)):
        expected = [0, *ids[: SEQ_LENGTH - 2], 2]
        padding = SEQ_LENGTH - len(expected)
        assert packed["input_word_ids"][row].tolist() == expected + [1] * padding
        assert packed["input_mask"][row].tolist() == [1] * len(expected) + [0] * padding
    assert not packed["input_type_ids"].any()


def test_padding_does_not_change_embeddings(model):
    alone = np.concatenate([model.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(model.encode(TEXTS), alone, atol=1e-5)


def test_release(model, release):
    expected = model.encode(TEXTS)
    hub_model = hub.load(str(release))
    np.testing.assert_allclose(hub_model(TEXTS), expected, atol=1e-5)
    special = hub_model.preprocessor.tokenize.get_special_tokens_dict()
    assert {k: int(v) for k, v in special.items()} == model.preprocessor.special_tokens
    tokens = hub_model.preprocessor.tokenize(tf.constant(TEXTS))
    packed = hub_model.preprocessor.bert_pack_inputs([tokens], seq_length=tf.constant(SEQ_LENGTH))
    for name, ids in model.preprocessor(tf.constant(TEXTS)).items():
        np.testing.assert_array_equal(packed[name], ids)
    again = labse_tf.load(release)
    assert again.preprocessor.options == model.preprocessor.options
    np.testing.assert_array_equal(again.encode(TEXTS), expected)
    assert again.fingerprint() == model.fingerprint()


@pytest.mark.parametrize("pooling", ["mean", "cls_token"])
def test_without_tensorflow(preprocessor, tmp_path, pooling):
    model = small_model(preprocessor, pooling)
    model.save(tmp_path / "release")
    light = labse_tf.load(tmp_path / "release", backend="openvino")
    assert type(light).__name__ == "LightLaBSE"
    np.testing.assert_allclose(light.encode(TEXTS), model.encode(TEXTS), atol=1e-5)
    assert light.fingerprint() == model.fingerprint()


def test_pruning_keeps_embeddings(model):
    """Tokens that a corpus does not use are removed; its embeddings do not change by a bit."""
    corpus = [SENTENCES[0], SENTENCES[5], "unknown ω here"]
    usage = count_usage(model.preprocessor, corpus)
    pruned = labse_tf.LaBSE(*prune(model.preprocessor, model.encoder, usage))
    assert pruned.preprocessor.vocab_size < model.preprocessor.vocab_size
    np.testing.assert_array_equal(pruned.encode(corpus), model.encode(corpus))


def test_pruning_keeps_the_lowest_score(sentencepiece_file):
    """The score of `<unk>` is derived from it, and so are segmentations with unknown letters."""
    model = SentencePieceModel.from_file(sentencepiece_file)
    lowest = int(np.argmin(model.scores))
    retained = sorted(model.required_ids)
    assert lowest in retained
    assert model.with_token_ids(retained).scores.min() == model.scores.min()
    with pytest.raises(ValueError, match=f"{lowest}.* must be retained"):
        model.with_token_ids([i for i in retained if i != lowest])


@pytest.mark.parametrize(
    "content, message",
    [
        (b"no model", "is not a SentencePiece model"),
        (b"", r"the first pieces are \(\)"),
    ],
)
def test_refused_files(tmp_path, content, message):
    path = tmp_path / "sentencepiece.bpe.model"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        labse_tf.Preprocessor(path, tokenization="sentencepiece")


def test_refused_options(sentencepiece_file):
    with pytest.raises(ValueError, match="`lower_case`, `max_word_bytes` cannot be set with"):
        labse_tf.Preprocessor(
            sentencepiece_file, lower_case=True, max_word_bytes=9, tokenization="sentencepiece"
        )
    with pytest.raises(FileNotFoundError, match=r"no vocabulary file 'none\.model'"):
        labse_tf.Preprocessor("none.model", tokenization="sentencepiece")


def test_split_release_and_keras_layer(model, tmp_path):
    """Two modules as Google's, and the preprocessor's resource in a Keras model."""
    write_split(tmp_path / "split", model.preprocessor, model.encoder)
    preprocess = hub.KerasLayer(str(tmp_path / "split" / "preprocessor"))
    encoder = hub.KerasLayer(str(tmp_path / "split" / "encoder"), trainable=True)
    text = tf_keras.layers.Input([], dtype=tf.string)
    pooled = encoder(preprocess(text))["default"]
    keras_model = tf_keras.Model(text, tf.math.l2_normalize(pooled, axis=1))
    np.testing.assert_allclose(
        keras_model.predict(tf.constant(TEXTS), verbose=0), model.encode(TEXTS), atol=1e-5
    )
    assert len(encoder.trainable_weights) == len(model.encoder.trainable_weights)


def test_other_sequence_length(preprocessor):
    shorter = preprocessor.with_seq_length(8)
    assert shorter(tf.constant(TEXTS))["input_word_ids"].shape == [len(TEXTS), 8]
    assert preprocessor.seq_length == SEQ_LENGTH
    with pytest.raises(ValueError, match="at least 3"):
        preprocessor.with_seq_length(2)


def test_fine_tune(preprocessor, tmp_path):
    """Training, checkpoints and reading a run back work with the second tokenizer family."""
    pairs = list(zip(SENTENCES[:4], SENTENCES[3:7]))
    config = labse_tf.FineTuningConfig(
        steps=2, batch_size=4, warmup_steps=0, checkpoint_every=1, embedding_rate_factor=3.0
    )
    model = small_model(preprocessor)
    labse_tf.fine_tune(model, pairs, config, tmp_path / "run", verbose=0)
    assert (tmp_path / "run" / "sentencepiece.bpe.model").read_bytes() == preprocessor.vocabulary
    read = load_run(tmp_path / "run")
    np.testing.assert_array_equal(read.encode(TEXTS), model.encode(TEXTS))
