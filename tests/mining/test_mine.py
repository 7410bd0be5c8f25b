"""Mining whole: planted translations found, the figures of the evaluation, what is refused."""

import gzip
import unicodedata

import numpy as np
import pytest

import labse_tf
from labse_tf.evaluation import Mining
from labse_tf.mining import embedding
from labse_tf.mining.mine_files import mine_files
from labse_tf.mining.options import MiningOptions
from labse_tf.mining.output import HEADER, meta_path
from labse_tf.mining.plan import plan
from tests.evaluation.test_mining import mining_set
from tests.planted import by_hash, planted, translations, write


def rows_of(path):
    with (gzip.open if str(path).endswith(".gz") else open)(path, "rt", encoding="utf-8") as file:
        return [line.rstrip("\n").split("\t") for line in file]


@pytest.fixture
def files(tmp_path):
    """A set in BUCC's format, and the function that embeds it."""
    _, table, _ = mining_set(tmp_path, "de-en", seed=0)
    return tmp_path / "de-en.de", tmp_path / "de-en.en", planted(table)


def test_lists_of_sentences():
    texts, table = translations(["de", "en"], 40, noise=0.1)
    order = np.random.default_rng(0).permutation(40)
    targets = [texts["en"][i] for i in order] + [texts["en"][3], "en 3 "]
    encode = planted(table, {"en 3 ": table["en 3"]})
    found = labse_tf.mine(texts["de"], targets, encode)
    assert sorted((p.source[3:], p.target[3:].strip()) for p in found) == sorted(
        (str(i), str(i)) for i in range(40)
    )
    assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)
    (pair,) = (p for p in found if p.source == "de 3")
    assert (pair.source_indices, pair.target_indices) == ([3], [order.tolist().index(3), 40, 41])
    x, y = (np.array(table[f"{code} 3"]) for code in ("de", "en"))
    cosine = x @ y / np.linalg.norm(x) / np.linalg.norm(y)
    assert pair.cosine == pytest.approx(cosine, abs=1e-5)


def test_lists_of_sentences_with_embeddings():
    texts, table = translations(["de", "en"], 30, noise=0.1)
    embeddings = [planted(table)(texts[code]) for code in ("de", "en")]
    given = {"source_embeddings": embeddings[0], "target_embeddings": embeddings[1]}
    found = labse_tf.mine(texts["de"], texts["en"], **given, margin="absolute", keep_best=5.0)
    expected = labse_tf.mine(texts["de"], texts["en"], planted(table), margin="absolute")[:5]
    assert [p[1:3] for p in found] == [p[1:3] for p in expected]
    with pytest.raises(TypeError, match="mragin"):
        labse_tf.mine(texts["de"], texts["en"], planted(table), mragin="ratio")
    with pytest.raises(ValueError, match="are the same sentences"):
        labse_tf.mine(texts["de"], texts["de"], planted(table))
    with pytest.raises(ValueError, match="are the same sentences"):
        labse_tf.mine(iter(texts["de"]), (text for text in texts["de"]), planted(table))
    assert [
        p[1:3] for p in labse_tf.mine(iter(texts["de"]), iter(texts["en"]), planted(table))
    ] == [p[1:3] for p in labse_tf.mine(texts["de"], texts["en"], planted(table))]
    with pytest.raises(ValueError, match="`sources`: no sentence is left of 0 lines"):
        labse_tf.mine([], [], planted(table))
    with pytest.raises(TypeError, match="must be a list of strings"):
        labse_tf.mine("a", texts["de"], planted(table))
    with pytest.raises(ValueError, match=r"`k` \(=4\) must be at most the 1 different sentences"):
        labse_tf.mine(["a"] * 9, texts["de"], planted(table))
    with pytest.raises(ValueError, match="have 7 numbers, those of `targets` 24"):
        labse_tf.mine(
            texts["de"], texts["en"], source_embeddings=embeddings[0][:, :7],
            target_embeddings=embeddings[1],
        )  # fmt: skip


@pytest.mark.parametrize("margin, how", [("ratio", "ratio"), ("absolute", "cosine")])
@pytest.mark.parametrize("strategy", ["mutual", "max", "forward", "backward"])
def test_the_figures_are_those_of_the_evaluation(files, tmp_path, margin, how, strategy):
    expected = Mining(margins=(margin,), directions=(strategy,))(files[2], tmp_path)
    facts = mine_files(
        *files[:2], tmp_path / "out.tsv", files[2], MiningOptions(margin=margin, strategy=strategy),
        gold=tmp_path / "de-en.gold",
    )  # fmt: skip
    part = f"de-en, {how}, {strategy}"
    assert facts["gold"]["best F1"] == expected[f"{part}/best F1"]
    assert facts["gold"]["best threshold"] == pytest.approx(
        expected[f"{part}/best threshold"], abs=1e-6
    )


def test_duplicates_count_as_in_the_evaluation(files, tmp_path):
    """Sentences of right pairs that occur again with other white space or another composition."""
    text = files[0].read_text().replace("de-en s5\n", "de-en \xe95\n")
    again = ["de-en e\u03015", "de-en  s7", " de-en\ts9 ", "", "de-en s11"]
    text += "".join(f"de-{300 + i}\t{sentence}\n" for i, sentence in enumerate(again))
    files[0].write_text(text)

    def encode(sentences):
        texts = [unicodedata.normalize("NFC", " ".join(s.split())) for s in sentences]
        return np.array(
            [files[2]([t.replace("\xe9", "s")])[0] if t else np.ones(24) for t in texts]
        )

    expected = Mining(margins=("ratio",), directions=("mutual",))(encode, tmp_path)
    facts = mine_files(*files[:2], tmp_path / "out.tsv", encode, gold=tmp_path / "de-en.gold")
    assert facts["source"]["copies"] == 4 and facts["source"]["dropped"]["empty"] == 1
    assert facts["gold"]["at the best"]["recall"] <= 0.96
    assert facts["gold"]["best F1"] == expected["de-en, ratio, mutual/best F1"]


def test_output(files, tmp_path):
    facts = mine_files(*files[:2], tmp_path / "out.tsv.gz", files[2])
    pairs, meta = rows_of(tmp_path / "out.tsv.gz"), rows_of(tmp_path / "out.meta.tsv.gz")
    sentences = [dict(rows_of(path)) for path in files[:2]]
    assert meta[0] == HEADER and len(meta) == len(pairs) + 1 == facts["pairs"] + 1
    for (score, source, target), row in zip(pairs, meta[1:]):
        assert (source, target) == (sentences[0][row[2]], sentences[1][row[3]])
        assert row[0] == score and row[4] == str(int(row[2][3:]) + 1)
        x, y = files[2]([source, target])
        cosine = x @ y / np.linalg.norm(x) / np.linalg.norm(y)
        assert float(row[1]) == pytest.approx(cosine, abs=1e-5)
    assert [float(p[0]) for p in pairs] == sorted((float(p[0]) for p in pairs), reverse=True)
    assert not (tmp_path / "out.tsv.gz.mining").exists()
    before = (tmp_path / "out.tsv.gz").read_bytes()
    mine_files(*files[:2], tmp_path / "out.tsv.gz", files[2], overwrite=True)
    assert (tmp_path / "out.tsv.gz").read_bytes() == before


def test_names_of_metadata():
    names = {"a.tsv": "a.meta.tsv", "a.b": "a.b.meta.tsv", "d/a.tsv.gz": "d/a.meta.tsv.gz"}
    assert {name: meta_path(name) for name in names} == names


def test_it_goes_on_where_it_was_cut_off(files, tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "EMBEDDED_AT_ONCE", 64)
    mine_files(*files[:2], tmp_path / "expected.tsv", files[2])
    calls = []

    def encode(sentences):
        calls.append(len(sentences))
        if sum(calls) > 450:
            raise KeyboardInterrupt
        return files[2](sentences)

    out = tmp_path / "out.tsv"
    with pytest.raises(KeyboardInterrupt):
        mine_files(*files[:2], out, encode)
    assert not out.exists() and (tmp_path / "out.tsv.mining" / "source.npy").exists()
    with pytest.raises(ValueError, match="k was 4 and is now 5"):
        mine_files(*files[:2], out, files[2], MiningOptions(k=5))
    (tmp_path / "other.en").write_text("1\tanother\n")
    with pytest.raises(ValueError, match="target was 'sha256:"):
        mine_files(files[0], tmp_path / "other.en", out, files[2])
    later = []
    # Another threshold would do, too: nothing that is kept depends on it.
    options = MiningOptions(min_score=0.1)
    mine_files(*files[:2], out, lambda s: later.append(len(s)) or files[2](s), options)
    assert sum(later) < 300
    assert out.read_bytes() == (tmp_path / "expected.tsv").read_bytes()


def test_what_is_in_the_way(files, tmp_path):
    out = tmp_path / "out.tsv"
    (tmp_path / "out.tsv.mining").mkdir()
    write(tmp_path / "out.tsv.mining" / "mine.txt", ["of the user"])
    with pytest.raises(FileExistsError, match=r"out.tsv.mining' is in the way: it has no settings"):
        mine_files(*files[:2], out, files[2])
    assert (tmp_path / "out.tsv.mining" / "mine.txt").exists()
    write(tmp_path / "old.meta.tsv", [""])
    with pytest.raises(FileExistsError, match=r"old.meta.tsv' exists. Choose another path"):
        mine_files(*files[:2], tmp_path / "old.tsv", files[2])
    with pytest.raises(FileNotFoundError, match="There is no directory to write"):
        mine_files(*files[:2], tmp_path / "absent" / "x.tsv", files[2])


def test_inputs_that_are_refused(files, tmp_path):
    def encode(sentences):
        raise AssertionError("nothing is embedded")

    write(tmp_path / "empty.en", [])
    (tmp_path / "copy.de").write_bytes(files[0].read_bytes())
    with gzip.open(tmp_path / "cut.gz", "wb") as file:
        file.write(b"a\n" * 90_000)
    (tmp_path / "cut.gz").write_bytes((tmp_path / "cut.gz").read_bytes()[:-20])
    write(tmp_path / "bad.gold", ["de-0\ten-0", "de-0\ten-999"])
    out, one, two = tmp_path / "out.tsv", *files[:2]
    for error, message, arguments, options in (
        (ValueError, "are the same text: each sentence", (one, one), {}),
        (ValueError, "are the same text: each sentence", (one, tmp_path / "copy.de"), {}),
        (ValueError, "empty.en: no sentence is left of 0 lines", (one, tmp_path / "empty.en"), {}),
        (FileNotFoundError, "There is no file '.*absent'", (one, tmp_path / "absent"), {}),
        (IsADirectoryError, "is a directory; give its files", (one, tmp_path), {}),
        (ValueError, r"cut.gz:\d+: the gzip is damaged", (tmp_path / "cut.gz", two), {}),
        (ValueError, r"bad.gold:2: no target has the id 'en-999'", (one, two),
         {"gold": tmp_path / "bad.gold"}),
        (ValueError, r"`k` \(=301\) must be at most the 300 different sentences of .*de-en.de",
         (one, two), {"options": MiningOptions(k=301)}),
    ):  # fmt: skip
        with pytest.raises(error, match=message):
            mine_files(*arguments, out, encode, **options)
    assert not list(tmp_path.glob("out*"))
    with pytest.raises(ValueError, match=r"`memory` \(='800M'\) is too little for 300 x 300"):
        mine_files(one, two, out, files[2], MiningOptions(memory="800M"))


def test_embeddings_that_are_there(files, tmp_path):
    mine_files(*files[:2], tmp_path / "expected.tsv", files[2])
    for path in files[:2]:
        np.save(f"{path}.npy", files[2]([text for _, text in rows_of(path)]))
    given = {f"{n}_embeddings": f"{p}.npy" for n, p in zip(("source", "target"), files)}
    mine_files(*files[:2], tmp_path / "out.tsv", **given)
    assert (tmp_path / "out.tsv").read_bytes() == (tmp_path / "expected.tsv").read_bytes()
    with pytest.raises(ValueError, match="is not the model's embedding"):
        mine_files(*files[:2], tmp_path / "x.tsv", by_hash, **given)


def test_lists_and_int8_find_nearly_the_same(files, tmp_path):
    exact = {tuple(row[1:]) for row in _mined(files, tmp_path / "a.tsv")}
    options = MiningOptions(search="lists", lists=8, source_lists=4, target_lists=4, dtype="int8")
    found = {tuple(row[1:]) for row in _mined(files, tmp_path / "b.tsv", options)}
    assert len(exact & found) > 0.85 * len(exact)


def _mined(files, out, options=None):
    mine_files(*files[:2], out, files[2], options)
    return rows_of(out)


def test_a_plan(files, monkeypatch):
    monkeypatch.setattr("labse_tf.mining.plan._TARGETS", 600)
    monkeypatch.setattr("labse_tf.mining.plan._SOURCES", 64)
    said = plan(*files)
    assert said[:2] == [f"{n}s: 300 sentences of 300 lines" for n in ("source", "target")]
    assert said[2].startswith(f"embeddings: {600 * 24 * 4:,} bytes (float32, 24 numbers each)")
    assert "search: exact, 90,000 products" in said[3] and said[-1].startswith("together: about 0")
    said = plan(*files, MiningOptions(search="lists", lists=64, dtype="float16"))
    with pytest.raises(ValueError, match="too little for lists of 300 x 300"):
        plan(*files, MiningOptions(search="lists", memory="1G"))
    assert "64 inverted lists" in said[3] and f"{600 * 24 * 2:,} bytes (float16" in said[2]
