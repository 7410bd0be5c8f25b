"""Hugging Face's layouts against a BERT in NumPy, refusals, and what is written, read back."""

import http.server
import json
import os
import shutil
import sys
import threading

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

import labse_tf
from labse_tf import Encoder, EncoderConfig, Preprocessor
from labse_tf.encoder.encoder import INPUTS
from labse_tf.pretrained import hugging_face, safetensors_files
from tests.conftest import SENTENCES
from tests.fresh import fresh
from tests.numpy_bert import bert, cls_pooled, mean_pooled, random_tensors

WEIGHTS = "model.safetensors"
TRANSFORMER = "sentence_transformers.models.Transformer"
POOLING = "sentence_transformers.models.Pooling"
DENSE = "sentence_transformers.models.Dense"
NORMALIZE = "sentence_transformers.models.Normalize"


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(labse_tf.encoder.weights, "CHUNK_BYTES", 4 * 24 * 7)  # 7 rows of 24


@pytest.fixture(scope="module")
def config(vocab_size):
    return {
        "model_type": "bert",
        "vocab_size": vocab_size,
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 40,
        "max_position_embeddings": 32,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.2,
        "layer_norm_eps": 1e-6,
    }


def write_json(path, content):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def change_json(path, **changes):
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    write_json(path, {**content, **changes})


@pytest.fixture
def bert_model(tmp_path, config, vocab_file):
    """As setu4993/LaBSE: a BertModel with its pooler; returns the directory and the tensors."""
    folder = tmp_path / "bert"
    write_json(folder / "config.json", config)
    write_json(folder / "tokenizer_config.json", {"do_lower_case": False, "model_max_length": 31})
    shutil.copy(vocab_file, folder / "vocab.txt")
    tensors = random_tensors(config)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    return folder, tensors


def modules(*types):
    folders = {TRANSFORMER: "", POOLING: "1_Pooling", DENSE: "2_Dense", NORMALIZE: "3_Normalize"}
    return [{"idx": i, "name": str(i), "path": folders[t], "type": t} for i, t in enumerate(types)]


@pytest.fixture
def sentence_transformer(bert_model):
    """As sentence-transformers/LaBSE: the same with modules; the pooler inside is another one."""
    folder, tensors = bert_model
    rng = np.random.default_rng(9)
    dense = {
        "linear.weight": rng.normal(scale=0.3, size=[24, 24]).astype(np.float32),
        "linear.bias": rng.normal(scale=0.3, size=[24]).astype(np.float32),
    }
    write_json(folder / "modules.json", modules(TRANSFORMER, POOLING, DENSE, NORMALIZE))
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 20, "do_lower_case": False})
    write_json(
        folder / "1_Pooling" / "config.json",
        {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False},
    )
    write_json(
        folder / "2_Dense" / "config.json",
        {
            "in_features": 24,
            "out_features": 24,
            "bias": True,
            "activation_function": "torch.nn.modules.activation.Tanh",
        },
    )
    save_file(dense, folder / "2_Dense" / WEIGHTS)
    (folder / "3_Normalize").mkdir()
    return folder, {**tensors, **dense}


def packed(vocab_size, lengths=(11, 1, 7, 4), width=11):
    """Token ids with ragged masks and both token types."""
    rng = np.random.default_rng(5)
    lengths = np.array(lengths)[:, None]
    mask = (np.arange(width) < lengths).astype(np.int32)
    types = (np.arange(width) >= lengths // 2) * mask
    ids = rng.integers(0, vocab_size, mask.shape) * mask
    return ids, mask, types


def check(encoder, tensors, config, pooler="pooler.dense", atol=1e-5):
    """All outputs against NumPy's; `pooler` None: the mean."""
    ids, mask, types = packed(config["vocab_size"])
    sequence = bert(tensors, config, ids, mask, types)
    if pooler is None:
        pooled = mean_pooled(sequence, mask)
    else:
        pooled = cls_pooled(sequence, tensors[f"{pooler}.weight"], tensors[f"{pooler}.bias"])
    outputs = encoder(dict(zip(INPUTS, map(tf.constant, (ids, mask, np.int32(types))))))
    np.testing.assert_allclose(outputs["sequence_output"], sequence, atol=atol)
    np.testing.assert_allclose(outputs["pooled_output"], pooled, atol=atol)
    np.testing.assert_allclose(outputs["default"], pooled, atol=atol)
    assert np.ptp(pooled, axis=0).max() > 0.1  # sentences differ


def test_bert_model(bert_model, config, vocab_file):
    folder, tensors = bert_model
    preprocessor, encoder = hugging_face.read(folder)
    assert encoder.config == EncoderConfig(
        vocab_size=config["vocab_size"],
        hidden_size=24,
        num_layers=2,
        num_heads=4,
        intermediate_size=40,
        max_positions=32,
        dropout=0.2,
        layer_norm_epsilon=1e-6,
    )
    check(encoder, tensors, config)
    assert preprocessor.seq_length == 32  # the Preprocessor's 128, but for the positions
    assert hugging_face.read(str(folder), 9)[0].seq_length == 9
    expected = Preprocessor(vocab_file, 32)(SENTENCES)
    for name, ids in preprocessor(SENTENCES).items():
        np.testing.assert_array_equal(ids, expected[name])
    assert labse_tf.load(folder).encode(["the cat"]).shape == (1, 24)


@pytest.mark.parametrize("place", ["", "0_Transformer"])
def test_sentence_transformer(sentence_transformer, config, place):
    folder, tensors = sentence_transformer
    if place:
        (folder / place).mkdir()
        for name in ("config.json", WEIGHTS, "vocab.txt"):
            os.rename(folder / name, folder / place / name)
        for name in ("tokenizer_config.json", "sentence_bert_config.json"):
            os.rename(folder / name, folder / place / name)
        listed = modules(TRANSFORMER, POOLING, DENSE, NORMALIZE)
        listed[0]["path"] = place
        write_json(folder / "modules.json", listed)
    preprocessor, encoder = hugging_face.read(folder)
    assert encoder.config.pooling == "cls" and preprocessor.seq_length == 20
    check(encoder, tensors, config, pooler="linear")  # not BertModel's pooler


@pytest.mark.parametrize(
    "pooling",
    [
        {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True},
        {"pooling_mode": "mean", "embedding_dimension": 24},
    ],
)
@pytest.mark.parametrize("normalized", [False, True])
def test_mean_pooling(sentence_transformer, config, pooling, normalized):
    folder, tensors = sentence_transformer
    write_json(folder / "1_Pooling" / "config.json", pooling)
    listed = modules(TRANSFORMER, POOLING, *[NORMALIZE] * normalized)
    for module in listed:  # as versions from 6 on write it
        module["type"] = module["type"].replace(".models.", ".base.modules.x.")
    write_json(folder / "modules.json", listed)
    (folder / "sentence_bert_config.json").unlink()
    preprocessor, encoder = hugging_face.read(folder)
    assert preprocessor.seq_length == 31  # model_max_length
    check(encoder, tensors, config, pooler=None)


@pytest.mark.parametrize("activation", ["gelu_new", "relu", None])
def test_activations_and_defaults(bert_model, config, activation):
    folder, tensors = bert_model
    config = {**config, "hidden_act": activation, "layer_norm_eps": 1e-12}
    written = {k: v for k, v in config.items() if k not in ("layer_norm_eps", "type_vocab_size")}
    write_json(folder / "config.json", written)
    check(hugging_face.read(folder)[1], tensors, {**config, "hidden_act": activation or "gelu"})
    write_json(folder / "config.json", {**written, "hidden_act": "gelu_pytorch_tanh"})
    assert hugging_face.read(folder)[1].config.activation == "gelu_tanh"


def test_old_names_and_heads(bert_model, config):
    folder, tensors = bert_model
    old = {
        "bert." + name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): t
        for name, t in tensors.items()
    }
    old["bert.embeddings.position_ids"] = np.arange(32)[None]
    old["cls.predictions.bias"] = np.zeros(config["vocab_size"], np.float32)
    save_file(old, folder / WEIGHTS)
    check(hugging_face.read(folder)[1], tensors, config)


def shard(folder, tensors):
    names = sorted(tensors)
    places = {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in set(places.values()):
        save_file({name: tensors[name] for name in names if places[name] == file}, folder / file)
    (folder / WEIGHTS).unlink()
    write_json(folder / f"{WEIGHTS}.index.json", {"metadata": {}, "weight_map": places})


def test_shards(bert_model, config):
    folder, tensors = bert_model
    shard(folder, tensors)
    check(hugging_face.read(folder)[1], tensors, config)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision(bert_model, config, dtype):
    folder, tensors = bert_model
    tensors = {name: t.astype(dtype) for name, t in tensors.items()}
    save_file(tensors, folder / WEIGHTS)
    encoder = hugging_face.read(folder)[1]
    assert {w.dtype for w in encoder.weights} == {tf.float32}
    check(encoder, {name: t.astype(np.float32) for name, t in tensors.items()}, config)


def tokenizer(vocab_file, **changes):
    with open(vocab_file, encoding="utf-8") as file:
        tokens = file.read().split("\n")[:-1]
    return {
        "added_tokens": [{"id": 1, "content": "[SEP]", "special": True}],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": False,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 1], "cls": ["[CLS]", 4]},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "vocab": {token: i for i, token in reversed(list(enumerate(tokens)))},
        },
        **changes,
    }


def template(start, end, type_id=0):
    """A post_processor with the ids that it gives [CLS] and [SEP]."""
    ids = {"[CLS]": start, "[SEP]": end}
    return {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": type_id}},
            {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
        ],
        "special_tokens": {t: {"id": t, "ids": [i], "tokens": [t]} for t, i in ids.items()},
    }


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("special_tokens_map.json", {"cls_token": "<s>"}, r"map.json': `cls_token` is '<s>'"),
        (
            "tokenizer_config.json",
            {"do_lower_case": False, "added_tokens_decoder": {"2": {"content": "[CLS]"}}},
            r"`added_tokens_decoder.2` is '\[CLS\]'",
        ),
        (
            "tokenizer_config.json",
            {"do_lower_case": False, "added_tokens_decoder": {"9999": {"content": "[X]"}}},
            r"`added_tokens_decoder.9999` is '\[X\]', but only None",
        ),
    ],
)
def test_special_tokens_of_other_files_are_those_of_the_vocabulary(
    bert_model, file, content, message
):
    folder, _ = bert_model
    right = {"4": {"content": "[CLS]", "special": True}, "1": {"content": "[SEP]"}}
    write_json(
        folder / "tokenizer_config.json", {"do_lower_case": False, "added_tokens_decoder": right}
    )
    write_json(folder / "special_tokens_map.json", {"cls_token": {"content": "[CLS]"}})
    hugging_face.read(folder)
    write_json(folder / file, content)
    with pytest.raises(ValueError, match=message):
        hugging_face.read(folder)


def test_a_limit_in_bytes_becomes_one_in_characters_with_a_warning(vocab_file, tmp_path):
    """34 letters of 3 bytes are [UNK] to Google's limit of 100 bytes, and pieces there."""
    vocab = [*Preprocessor(vocab_file).tokens, "ก", "##ก"]
    word = "ก" * 34
    given = Preprocessor(vocab, 17, max_word_bytes=100)
    _, encoder = make(vocab, len(vocab), num_layers=0)
    with pytest.warns(UserWarning, match="longer than 100 bytes.* words of 34 to 100 Thai"):
        hugging_face.write(tmp_path / "limited", given, encoder)
    theirs = Tokenizer.from_file(str(tmp_path / "limited" / "tokenizer.json"))
    assert given.word_pieces(tf.constant([word])).to_list() == [[given.unknown_id]]
    assert len(theirs.encode(word, add_special_tokens=False).ids) == 34
    assert len(theirs.encode("ก" * 33, add_special_tokens=False).ids) == 33
    assert given.word_pieces(tf.constant(["ก" * 33])).row_lengths().numpy() == [33]
    with pytest.warns(UserWarning) as caught:
        hugging_face.write(tmp_path / "unlimited", Preprocessor(vocab, 17), encoder)
    assert not any("bytes" in str(warning.message) for warning in caught)


def test_vocabulary_of_tokenizer_json(bert_model, vocab_file, tmp_path):
    folder, _ = bert_model
    (folder / "vocab.txt").unlink()
    write_json(folder / "tokenizer.json", tokenizer(vocab_file))
    preprocessor, encoder = hugging_face.read(folder)
    expected = Preprocessor(vocab_file, 32)(SENTENCES)["input_word_ids"]
    np.testing.assert_array_equal(preprocessor(SENTENCES)["input_word_ids"], expected)
    model = labse_tf.LaBSE(preprocessor, encoder)
    shutil.rmtree(folder)
    hugging_face.write(tmp_path / "written", preprocessor, encoder)  # the vocabulary goes with it
    saved = labse_tf.load(tmp_path / "written")
    np.testing.assert_array_equal(saved.encode(SENTENCES), model.encode(SENTENCES))


def test_lower_case_must_be_said_and_said_once(bert_model, vocab_file):
    folder, _ = bert_model
    config_file, tokenizer_file = folder / "tokenizer_config.json", folder / "tokenizer.json"

    def lower_case(config, normalizer):
        write_json(config_file, config)
        tokenizer_file.unlink(missing_ok=True)
        if normalizer is not None:
            content = tokenizer(vocab_file)
            content["normalizer"] |= normalizer
            write_json(tokenizer_file, content)
        return hugging_face.read(folder)[0].lower_case

    said = {"do_lower_case": False}
    assert lower_case(said, None) is False
    assert lower_case(said, {"lowercase": False, "strip_accents": False}) is False
    for name in ("PreTrainedTokenizerFast", "TokenizersBackend"):  # of transformers 4 and 5
        fast = {"tokenizer_class": name}
        assert lower_case(fast, {"lowercase": False}) is False
    assert lower_case({}, {"lowercase": True}) is True
    assert lower_case({"do_lower_case": True, "strip_accents": True}, None) is True
    for config, normalizer, message in (
        ({}, None, "neither tokenizer_config.json nor tokenizer.json says"),
        ({}, {"lowercase": False}, "lowercase=False, but .* do_lower_case=None"),
        (said, {"lowercase": True}, "lowercase=True, but .* do_lower_case=False"),
        ({**said, "strip_accents": True}, None, "strip_accents=True and lower-casing=False"),
        (said, {"strip_accents": True}, "tokenizer.json.*strip_accents=True"),
        ({"do_lower_case": True, "strip_accents": False}, None, "strip_accents=False"),
        ({**said, "tokenize_chinese_chars": False}, None, "tokenize_chinese_chars"),
        ({**said, "cls_token": "<s>"}, None, "`cls_token` is '<s>'"),
        (said, {"clean_text": False}, "clean_text"),
        (said, {"type": "Sequence"}, "`normalizer.type` is 'Sequence'"),
    ):
        with pytest.raises(ValueError, match=message):
            lower_case(config, normalizer)


@pytest.mark.parametrize("key", ["truncation_side", "padding_side"])
def test_sides(bert_model, key):
    folder, _ = bert_model
    change_json(folder / "tokenizer_config.json", **{key: "right"})
    hugging_face.read(folder)
    change_json(folder / "tokenizer_config.json", **{key: "left"})
    with pytest.raises(ValueError, match=rf"tokenizer_config.json'.*`{key}` is 'left'"):
        hugging_face.read(folder)


def test_a_padded_table(bert_model, config, vocab_size):
    folder, tensors = bert_model
    padded = -(-vocab_size // 64) * 64
    words = np.pad(tensors[WORDS], [[0, padded - vocab_size], [0, 0]], constant_values=9)
    save_file({**tensors, WORDS: words}, folder / WEIGHTS)
    write_json(folder / "config.json", {**config, "vocab_size": padded})
    preprocessor, encoder = hugging_face.read(folder)
    assert encoder.config.vocab_size == preprocessor.vocab_size == vocab_size
    check(encoder, tensors, config)
    # One row more is no padding, nor is what config.json does not count.
    words = np.pad(words, [[0, 1], [0, 0]])
    save_file({**tensors, WORDS: words}, folder / WEIGHTS)
    with pytest.raises(ValueError, match=r"config\.json says"):
        hugging_face.read(folder)
    write_json(folder / "config.json", {**config, "vocab_size": padded + 1})
    with pytest.raises(ValueError, match=rf"{vocab_size} tokens, .* has {padded + 1} rows"):
        hugging_face.read(folder)


@pytest.mark.parametrize("limit", [100, 50, None])
def test_the_longest_word_goes_with_it(vocab_file, vocab_size, tmp_path, limit):
    _, encoder = make(vocab_file, vocab_size, num_layers=0)
    written = Preprocessor(vocab_file, 17, tokenization="hugging-face", max_word_characters=limit)
    hugging_face.write(tmp_path / "model", written, encoder)
    assert hugging_face.read(tmp_path / "model")[0].options == written.options
    (tmp_path / "model" / "tokenizer.json").unlink()  # without it, as transformers
    assert hugging_face.read(tmp_path / "model")[0].max_word_characters == 100


@pytest.mark.parametrize("lower_case", [False, True])
def test_ids_are_those_of_the_library_in_both_directions(vocab_file, tmp_path, lower_case):
    texts = ["Tom\xa0ist müde\u202f!", "駅は\u3000\u200fTom", "ti\xadred \uf0b7 tired", "ΤΟΣ"]
    vocab = [*Preprocessor(vocab_file).tokens, "tired", "##\u00fc"]
    for given in (
        Preprocessor(vocab, 17, lower_case, tokenization="hugging-face", max_word_characters=100),
        Preprocessor(vocab, 17, lower_case, max_word_bytes=100),
    ):
        _, encoder = make(vocab, len(vocab), num_layers=0)
        directory = tmp_path / given.tokenization
        if given.tokenization == "google":
            with pytest.warns(UserWarning, match="otherwise than this model's tokenization"):
                hugging_face.write(directory, given, encoder)
        else:
            hugging_face.write(directory, given, encoder)
        theirs = Tokenizer.from_file(str(directory / "tokenizer.json"))
        encodings = theirs.encode_batch(texts, add_special_tokens=False)
        read = hugging_face.read(directory)[0]
        found = read.word_pieces(tf.constant(texts)).to_list()
        assert found == [encoding.ids for encoding in encodings]
        same = given.word_pieces(tf.constant(texts)).to_list() == found
        assert same == (given.tokenization == "hugging-face")


def without(tensors, *names):
    return {name: t for name, t in tensors.items() if name not in names}


WORDS = "embeddings.word_embeddings.weight"
QUERY = "encoder.layer.1.attention.self.query.weight"
EXTRA = "encoder.layer.2.output.dense.bias"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: without(t, QUERY), rf"bert' lacks the tensors \['{QUERY}'\]"),
        (lambda t: {**t, EXTRA: t["pooler.dense.bias"]}, rf"2 layers has no place for.*{EXTRA}"),
        (
            lambda t: without(t, "pooler.dense.weight", "pooler.dense.bias"),
            "no tensor 'pooler.dense.weight', nor a modules.json",
        ),
        (
            lambda t: {**t, QUERY: np.zeros([25, 24], np.float32)},
            rf"{WEIGHTS}.*'{QUERY}' has shape \[25, 24\], but config.json says \[24, 24\]",
        ),
        (lambda t: {**t, WORDS: t[WORDS].T.copy()}, r"has shape \[24, \d+\]"),
        (lambda t: {**t, QUERY: np.zeros([24, 24], np.int8)}, rf"'{QUERY}' is I8, but .* F32"),
        (lambda t: {**t, QUERY: np.zeros([24, 24])}, rf"'{QUERY}' is F64"),
        (lambda t: {**t, f"bert.{WORDS}": t[WORDS]}, f"'bert.{WORDS}'.*both there|both there"),
    ],
)
def test_other_tensors_are_refused(bert_model, change, message):
    folder, tensors = bert_model
    save_file(change(tensors), folder / WEIGHTS)
    with pytest.raises(ValueError, match=message):
        hugging_face.read(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "roberta"}, "`model_type` is 'roberta', but it must be one of"),
        ({"model_type": None}, "`model_type` is None"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ({"is_decoder": True}, "is_decoder"),
        ({"hidden_act": "silu"}, r"`hidden_act` is 'silu', but it must be one of \['gelu'"),
        ({"hidden_size": "24"}, "config.json.*`hidden_size` must be an int"),
        ({"num_attention_heads": 5}, "config.json.*must be divisible"),
        ({"num_hidden_layers": 3}, r"lacks the tensors \['encoder.layer.2"),
        ({"num_hidden_layers": 1}, r"1 layers has no place for: \['encoder.layer.1"),
        ({"intermediate_size": 44}, r"'encoder.layer.*shape \[40.*says \[44"),
        ({"max_position_embeddings": 64}, r"position_embeddings.*\[32, 24\].*\[64, 24\]"),
        ({"vocab_size": None}, r"word_embeddings.*\[30522, 24\]"),
    ],
)
def test_other_configurations_are_refused(bert_model, changes, message):
    folder, _ = bert_model
    change_json(folder / "config.json", **changes)
    with pytest.raises(ValueError, match=message):
        hugging_face.read(folder)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("modules.json", modules(TRANSFORMER), r"modules \['Transformer'\]"),
        ("modules.json", modules(TRANSFORMER, POOLING, DENSE, DENSE), "'Dense', 'Dense'"),
        ("modules.json", [{"idx": 0}], "it lacks: 'type'"),
        ("modules.json", {}, "must hold a JSON list"),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, "pooling_mode_max_tokens"),
        ("1_Pooling/config.json", {"pooling_mode": "mean"}, "pooling 'mean' in the modules"),
        ("1_Pooling/config.json", {"pooling_mode": ["cls", "mean"]}, r"\['cls', 'mean'\]"),
        ("2_Dense/config.json", {"activation_function": "torch.nn.Identity"}, "Identity"),
        (
            "config_sentence_transformers.json",
            {"prompts": {"query": "Q: "}, "default_prompt_name": "other"},
            r"no prompt 'other'; its prompts are \['query'\]",
        ),
        ("sentence_bert_config.json", {"do_lower_case": True}, "keep its accents"),
    ],
)
def test_other_sentence_transformers_are_refused(sentence_transformer, file, content, message):
    folder, _ = sentence_transformer
    write_json(folder / file, content)
    with pytest.raises(ValueError, match=message):
        hugging_face.read(folder)


def test_a_dense_layer_of_another_size_is_refused(sentence_transformer):
    folder, _ = sentence_transformer
    save_file({"linear.weight": np.zeros([8, 24], np.float32)}, folder / "2_Dense" / WEIGHTS)
    with pytest.raises(ValueError, match=r"lacks the tensors \['pooler.dense.bias'\]"):
        hugging_face.read(folder)
    dense = {"linear.weight": np.zeros([8, 24], np.float32), "linear.bias": np.zeros(8, np.float32)}
    save_file(dense, folder / "2_Dense" / WEIGHTS)
    with pytest.raises(ValueError, match=r"2_Dense.*'linear.* has shape \[8"):
        hugging_face.read(folder)


def test_damaged_files_are_refused(bert_model, tmp_path):
    folder, tensors = bert_model
    whole = (folder / WEIGHTS).read_bytes()
    for data in (whole[:-1], whole[:100], b"", b"\xff" * 200, whole + b"\0"):
        (folder / WEIGHTS).write_bytes(data)
        with pytest.raises(ValueError, match=rf"bert/{WEIGHTS}' is not a whole safetensors file"):
            hugging_face.read(folder)
    (folder / WEIGHTS).write_bytes(whole)
    shard(folder, tensors)
    os.rename(folder / "model-00002-of-00002.safetensors", tmp_path / "other")
    with pytest.raises(FileNotFoundError, match=r"model-00002-of-00002.*not there"):
        hugging_face.read(folder)
    shutil.copy(
        folder / "model-00001-of-00002.safetensors", folder / "model-00002-of-00002.safetensors"
    )
    with pytest.raises(ValueError, match="stand in more than one file"):
        hugging_face.read(folder)
    write_json(
        folder / f"{WEIGHTS}.index.json", {"weight_map": {"x": "model-00001-of-00002.safetensors"}}
    )
    with pytest.raises(ValueError, match="holds 'x', but it does not"):
        hugging_face.read(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config.json' is not JSON"):
        hugging_face.read(folder)


def test_a_pickle_is_refused(sentence_transformer):
    folder, _ = sentence_transformer
    (folder / "2_Dense" / WEIGHTS).unlink()
    (folder / "2_Dense" / "pytorch_model.bin").write_bytes(b"\x80\x02.")
    with pytest.raises(
        ValueError, match=r"2_Dense/pytorch_model.bin' is a pickle.*save_pretrained"
    ):
        hugging_face.read(folder)
    (folder / "2_Dense" / "pytorch_model.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"2_Dense' has no model.safetensors"):
        hugging_face.read(folder)


def test_other_vocabularies_are_refused(bert_model, vocab_file, vocab_size):
    folder, _ = bert_model
    vocabulary = folder / "vocab.txt"
    lines = vocabulary.read_bytes()
    for content, message in (
        (lines + b"one\n", f"has {vocab_size + 1} tokens, .* has {vocab_size} rows"),
        (lines + b"the\n", "'the' stands already on line 1"),
        (lines.replace(b"\n", b"\r\n"), "carriage return.*Unix line ends"),
    ):
        vocabulary.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            hugging_face.read(folder)
    vocabulary.write_bytes(lines)
    write_json(folder / "tokenizer.json", tokenizer(vocab_file))
    hugging_face.read(folder)
    vocabulary.write_bytes(lines.replace(b"the\n", b"The\n"))
    with pytest.raises(ValueError, match=r"vocab.txt.*tokenizer.json.*differ"):
        hugging_face.read(folder)
    vocabulary.unlink()
    good = tokenizer(vocab_file)["model"]
    new = {"id": vocab_size, "content": "[NEW]", "special": True}
    for changes, message in (
        ({"model": {**good, "vocab": {**good["vocab"], "x y": vocab_size + 5}}}, "without a gap"),
        ({"model": {**good, "type": "BPE"}}, "`model.type` is 'BPE'"),
        ({"model": {**good, "type": "Unigram"}}, "`model.unk_id` is None"),
        ({"model": {**good, "vocab": {**good["vocab"], "a\nb": vocab_size}}}, "line end"),
        ({"added_tokens": [new]}, r"adds the token '\[NEW\]'"),
        (
            {"added_tokens": [{"id": 0, "content": "the", "special": False}]},
            "lists the token 'the', the word piece 0.*inside words",
        ),
        ({"truncation": {"direction": "Left", "max_length": 9}}, "`truncation.direction` is 'Lef"),
        ({"padding": {"direction": "Left"}}, "`padding.direction` is 'Left'"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "pre_tokenizer.type"),
        ({"post_processor": None}, "post_processor.type"),
        (
            {
                "post_processor": {
                    "type": "TemplateProcessing",
                    "single": [{"Sequence": {"id": "A"}}],
                }
            },
            r"post_processor.single` is \['A'\]",
        ),
        (
            {
                "post_processor": {
                    "type": "BertProcessing",
                    "sep": ["[SEP]", 1],
                    "cls": ["[CLS]", 5],
                }
            },
            r"post_processor.cls` is \['\[CLS\]', 5\], but only \['\[CLS\]', 4\]",
        ),
        (
            {
                "post_processor": {
                    "type": "BertProcessing",
                    "sep": ["[SEP]", 0],
                    "cls": ["[CLS]", 4],
                }
            },
            "post_processor.sep",
        ),
        ({"post_processor": template(4, 2)}, r"special_tokens.\[SEP\].ids` is \[2\], but only \[1"),
        ({"post_processor": template(3, 1)}, r"special_tokens.\[CLS\].ids` is \[3\], but only \[4"),
        ({"post_processor": template(4, 1, type_id=1)}, r"type ids of .* is \[0, 1, 0\]"),
    ):
        write_json(folder / "tokenizer.json", tokenizer(vocab_file, **changes))
        with pytest.raises(ValueError, match=message):
            hugging_face.read(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match="has no vocabulary"):
        hugging_face.read(folder)


def test_what_is_no_model(tmp_path, bert_model):
    with pytest.raises(FileNotFoundError, match="absent"):
        hugging_face.read(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"neither config.json nor modules.json"):
        hugging_face.read(tmp_path / "empty")
    assert not hugging_face.is_hugging_face(tmp_path / "empty")
    assert hugging_face.is_hugging_face(bert_model[0])
    with pytest.raises(ValueError, match=r"`seq_length` \(=33\).*\(=32\)"):
        hugging_face.read(bert_model[0], 33)


@pytest.fixture
def hub(bert_model, monkeypatch, tmp_path):
    """What huggingface_hub asks a server for, of one repository `someone/labse`."""
    import huggingface_hub.constants

    folder, _ = bert_model
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02.")
    (folder / "modeling.py").write_text("raise SystemExit")
    files = sorted(os.listdir(folder))
    commit = "0123456789abcdef0123456789abcdef01234567"
    asked = []

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            path, _, _ = self.path.partition("?")
            resolve = f"/someone/labse/resolve/{commit}/"
            if path.startswith("/api/models/someone/labse/tree/"):
                listed = [
                    {"type": "file", "path": f, "oid": f, "size": os.path.getsize(folder / f)}
                    for f in files
                ]
                self.answer(json.dumps(listed).encode())
            elif path.startswith("/api/models/someone/labse"):
                siblings = [{"rfilename": f} for f in files]
                answer = {"_id": "1", "id": "someone/labse", "sha": commit, "siblings": siblings}
                self.answer(json.dumps(answer).encode())
            elif path.startswith(resolve):
                name = path.removeprefix(resolve)
                asked.append(name)
                self.answer((folder / name).read_bytes(), {"ETag": f'"{name}"'})
            else:
                self.answer(b"{}", {"X-Error-Code": "RepoNotFound"}, status=404)

        do_HEAD = do_GET

        def answer(self, body, headers=None, status=200):
            self.send_response(status)
            for key, value in {**(headers or {}), "X-Repo-Commit": commit}.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    template = "{endpoint}/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", template.replace("{endpoint}", constants.ENDPOINT)
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield folder, asked
    server.shutdown()
    server.server_close()


def test_download(hub, monkeypatch):
    folder, asked = hub
    path = hugging_face.download("someone/labse")
    wanted = {"config.json", WEIGHTS, "tokenizer_config.json", "vocab.txt"}
    assert set(os.listdir(path)) == set(asked) == wanted  # neither the pickle nor the program
    for ours, theirs in zip(
        hugging_face.read(path)[1].weights, hugging_face.read(folder)[1].weights
    ):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(FileNotFoundError, match=r"^'someone/else' is neither a directory here"):
        hugging_face.download("someone/else")


def test_download_without_a_network(tmp_path, monkeypatch):
    import huggingface_hub.constants

    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens
    for offline in (False, True):
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
        with pytest.raises(OSError, match=r"^Cannot fetch 'someone/labse' from .* online") as error:
            hugging_face.download("someone/labse")
        assert "\n" not in str(error.value)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"pip install '.\[hugging-face\]'"):
        hugging_face.download("someone/labse")


def test_without_the_library(bert_model, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    assert hugging_face.is_hugging_face(bert_model[0])
    with pytest.raises(ImportError, match=r"pip install '.\[hugging-face\]'"):
        hugging_face.read(bert_model[0])


def make(vocab_file, vocab_size, **changes):
    shape = dict(hidden_size=24, num_layers=2, num_heads=4, intermediate_size=40, max_positions=32)
    encoder = Encoder(EncoderConfig(vocab_size=vocab_size, **{**shape, **changes}))
    rng = np.random.default_rng(3)
    for weight in encoder.weights:
        weight.assign(rng.normal(scale=0.3, size=weight.shape) + ("scale" in weight.name))
    return Preprocessor(vocab_file, 17), encoder


@pytest.mark.parametrize(
    "changes",
    [
        {"dropout": 0.3, "layer_norm_epsilon": 1e-5, "initializer_range": 0.05},
        {"pooling": "mean", "activation": "gelu_tanh", "type_vocab_size": 1},
        {"num_layers": 0, "activation": "relu"},
    ],
)
def test_there_and_back(vocab_file, vocab_size, tmp_path, changes):
    preprocessor, encoder = make(vocab_file, vocab_size, **changes)
    hugging_face.write(tmp_path / "model", preprocessor, encoder)
    read_preprocessor, read_encoder = hugging_face.read(tmp_path / "model")
    assert read_encoder.config == encoder.config
    assert read_preprocessor.seq_length == 17 and not read_preprocessor.lower_case
    for ours, theirs in zip(encoder.weights, read_encoder.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs, err_msg=ours.name)
    assert os.listdir(tmp_path) == ["model"]
    tokenizer_config = json.loads((tmp_path / "model" / "tokenizer_config.json").read_text())
    assert tokenizer_config["model_max_length"] == 17
    # By tokenizer.json alone, too.
    (tmp_path / "model" / "vocab.txt").unlink()
    again, _ = hugging_face.read(tmp_path / "model")
    with open(vocab_file, "rb") as theirs:
        assert again.vocabulary == theirs.read()


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_the_library_reads_what_is_written(vocab_file, vocab_size, tmp_path, pooling):
    preprocessor, encoder = make(vocab_file, vocab_size, pooling=pooling)
    hugging_face.write(tmp_path / "model", preprocessor, encoder)
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    tensors = load_file(tmp_path / "model" / WEIGHTS)
    assert set(tensors) == set(random_tensors(config, pooler=pooling == "cls"))
    assert {t.dtype for t in tensors.values()} == {np.dtype(np.float32)}
    check(encoder, tensors, config, "pooler.dense" if pooling == "cls" else None)
    assert (tmp_path / "model" / "2_Dense").exists() == (pooling == "cls")
    if pooling == "cls":
        dense = load_file(tmp_path / "model" / "2_Dense" / WEIGHTS)
        np.testing.assert_array_equal(dense["linear.weight"], tensors["pooler.dense.weight"])
        np.testing.assert_array_equal(dense["linear.bias"], tensors["pooler.dense.bias"])
    with open(tmp_path / "model" / WEIGHTS, "rb") as file:
        assert int.from_bytes(file.read(8), "little") % 8 == 0  # the data is aligned


def test_writing_is_whole_or_not_at_all(vocab_file, vocab_size, tmp_path, monkeypatch):
    preprocessor, encoder = make(vocab_file, vocab_size)
    (tmp_path / "thesis").mkdir()
    with pytest.raises(FileExistsError, match="thesis"):
        hugging_face.write(tmp_path / "thesis", preprocessor, encoder)
    with pytest.raises(ValueError, match=rf"{vocab_size} tokens, but .* is {vocab_size + 1}"):
        hugging_face.write(tmp_path / "model", *make(vocab_file, vocab_size + 1))

    def full(*arguments):
        safetensors_files.write_tensors(*arguments)
        raise OSError("No space left on device")

    monkeypatch.setattr(hugging_face, "write_tensors", full)
    with pytest.raises(OSError, match="No space left"):
        hugging_face.write(tmp_path / "model", preprocessor, encoder)
    assert os.listdir(tmp_path) == ["thesis"] and os.listdir(tmp_path / "thesis") == []


MEMORY = """
import sys
import numpy as np
from labse_tf import EncoderConfig, Preprocessor
from labse_tf.pretrained import hugging_face
from labse_tf.encoder.weights import assign, unfilled_encoder

def peak():
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))

folder, rows = sys.argv[1], 60_000
tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"t{i}" for i in range(rows - 4))]
with open(f"{folder}/tokens.txt", "w") as file:
    file.write("\\n".join(tokens))

def make(rows, hidden):
    config = EncoderConfig(rows, hidden, 1, 12, 4 * hidden, 64)
    with open(f"{folder}/{rows}.txt", "w") as file:
        file.write("\\n".join(tokens[:rows]))
    encoder = unfilled_encoder(config)
    for weight in encoder.weights:
        assign(weight, lambda array: array.fill(1))
    return Preprocessor(f"{folder}/{rows}.txt"), encoder

if sys.argv[2] == "write":
    hugging_face.write(f"{folder}/tiny", *make(100, 24))  # what TensorFlow itself takes
    before = peak()
    preprocessor, encoder = make(rows, 768)
    made = peak()
    hugging_face.write(f"{folder}/model", preprocessor, encoder)
    print(made - before, peak() - made)
else:
    hugging_face.read(f"{folder}/tiny", 64)
    before = peak()
    preprocessor, encoder = hugging_face.read(f"{folder}/model", 64)
    print(peak() - before)
    for weight in encoder.weights:
        assert (weight.numpy() == 1).all(), weight.name
"""


def test_memory(tmp_path):
    def run(what):
        done = fresh("-c", MEMORY, tmp_path, what)
        assert done.returncode == 0, done.stderr[-3000:]
        return map(int, done.stdout.split())

    _, written = run("write")
    size = os.path.getsize(tmp_path / "model" / WEIGHTS)
    (loaded,) = run("read")
    assert size > 200e6
    assert size < loaded < 1.3 * size
    assert written < 0.25 * size  # a table's chunks, and the vocabulary
