"""The Tatoeba test: accuracies against NumPy and cases with known answers; the bundled files."""

import hashlib
import io
import tarfile

import numpy as np
import pytest

from labse_tf.evaluation import Tatoeba
from labse_tf.evaluation.benchmarks.tatoeba import BUNDLED, LANGUAGES, bundled
from labse_tf.evaluation.benchmarks.tatoeba_groups import GROUPS
from labse_tf.evaluation.metrics import Metrics
from labse_tf.evaluation.observer import Observer
from labse_tf.search.accuracy import accuracy
from tests.planted import by_hash, cosines, planted, translations, write


def files(folder, texts, code):
    write(folder / f"tatoeba.{code}-eng.{code}", texts[code])
    write(folder / f"tatoeba.{code}-eng.eng", texts["eng"])


def test_accuracies_are_the_definition(tmp_path):
    texts, table = translations(["eng", "deu", "fra"], 300, noise=1.0)
    encode = planted(table)
    for code in ("deu", "fra"):
        files(tmp_path, texts, code)
    found = Tatoeba(languages=("deu", "fra"))(encode, tmp_path)
    for code in ("deu", "fra"):
        matrix = cosines(encode, texts[code], texts["eng"])
        to = np.mean(matrix.argmax(axis=1) == np.arange(300))
        back = np.mean(matrix.argmax(axis=0) == np.arange(300))
        assert 0.2 < to < 0.9 and to != back
        assert found[f"{code}/to eng"] == to
        assert found[f"{code}/from eng"] == back
        assert found[f"{code}/accuracy"] == pytest.approx((to + back) / 2)
    mean = (found["deu/accuracy"] + found["fra/accuracy"]) / 2
    assert found["mean of 2/accuracy"] == pytest.approx(mean)


def test_a_permuted_identity_is_all_right_and_a_rotated_one_all_wrong():
    rows = np.eye(50, dtype=np.float32)[np.random.default_rng(0).permutation(50)]
    assert accuracy(rows, rows) == 1
    assert accuracy(rows, np.roll(rows, 1, axis=0)) == 0
    assert accuracy(rows[:1], rows[:1]) == 1  # a single sentence


def test_random_embeddings_are_right_by_chance():
    rng = np.random.default_rng(0)
    sides = [rng.normal(size=[4000, 24]).astype(np.float32) for _ in range(2)]
    # 4,000 draws of 1/4,000: 1 on average, and more than 10 once in 10 million.
    assert accuracy(*sides) <= 10 / 4000


def test_equal_sentences_count_only_if_that_is_wanted(tmp_path):
    texts = {"deu": ["a", "b", "c", "d"], "eng": ["x", "x", "y", "z"]}
    vectors = np.eye(4)
    table = dict(zip(texts["deu"], vectors)) | {"x": vectors[:2].sum(0)}
    table |= {"y": vectors[2], "z": vectors[3]}
    files(tmp_path, texts, "deu")
    # "b" has two English sentences that read the same, and the first is the other's.
    strict = Tatoeba(languages=("deu",))(planted(table), tmp_path)
    lenient = Tatoeba(languages=("deu",), equal_sentences=True)(planted(table), tmp_path)
    assert strict["deu/to eng"] == 0.75 and lenient["deu/to eng"] == 1
    assert strict["deu/from eng"] == 0.75 and lenient["deu/from eng"] == 0.75


def test_means_of_groups():
    metrics = Metrics(Observer())
    values = {code: i / 200 for i, code in enumerate(LANGUAGES)}
    for code, value in values.items():
        metrics.add(code, {"accuracy": value})
    for group, members in GROUPS.items():
        metrics.add_mean(group, members)
    assert metrics.values["mean of 112 (all)/accuracy"] == pytest.approx(np.mean(range(112)) / 200)
    m_use = [values[c] for c in "ara cmn deu fra ita jpn kor nld pol por rus spa tha tur".split()]
    assert metrics.values["mean of 14 (m-USE)/accuracy"] == pytest.approx(sum(m_use) / 14)
    assert {group: len(set(members)) for group, members in GROUPS.items()} == {
        "mean of 14 (m-USE)": 14,
        "mean of 36 (XTREME)": 36,
        "mean of 82 (LASER)": 82,
        "mean of 112 (all)": 112,
    }
    assert all(set(members) <= set(LANGUAGES) for members in GROUPS.values())


def test_bundled_files():
    with BUNDLED.open("rb") as file:
        packed = file.read()
    assert len(packed) < 2_000_000
    # Of LASER's files, in the order of their names: what `cat data/tatoeba/v1/tatoeba.*` gives.
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        members = {m.name: archive.extractfile(m).read() for m in archive}
    digest = hashlib.sha256(b"".join(members[name] for name in sorted(members)))
    assert digest.hexdigest() == CHECKSUM
    assert len(LANGUAGES) == 112 and len(members) == 224
    counts = {}
    for code in LANGUAGES:
        sides = [bundled()[f"tatoeba.{code}-eng.{side}"] for side in (code, "eng")]
        assert len(sides[0]) == len(sides[1]) <= 1000 and all(sides[0]) and all(sides[1])
        assert len(sides[0]) == members[f"tatoeba.{code}-eng.{code}"].count(b"\n")
        counts[code] = len(sides[0])
    assert sum(counts.values()) == 88_877
    assert (counts["deu"], counts["fra"], min(counts.values())) == (1000, 1000, 104)


def test_bundled_files_are_measured_without_a_directory():
    found = Tatoeba(languages=("tzl", "kaz"))(by_hash)
    assert set(found) == {
        f"{part}/{metric}"
        for part in ("tzl", "kaz", "mean of 2")
        for metric in ("accuracy", "to eng", "from eng")
    }
    assert max(found.values()) < 0.05  # random embeddings


def test_bad_input(tmp_path):
    texts, table = translations(["eng", "deu"], 20)
    encode = planted(table)
    files(tmp_path, texts, "deu")
    with pytest.raises(ValueError, match=r"'xx' is none of the Tatoeba test's languages: .*deu"):
        Tatoeba(languages=("xx",))(encode, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no directory .*absent.*github.com/facebook"):
        Tatoeba()(encode, tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"tatoeba\.fra-eng\.fra"):
        Tatoeba(languages=("fra",))(encode, tmp_path)
    write(tmp_path / "tatoeba.deu-eng.eng", texts["eng"][:-1])
    with pytest.raises(ValueError, match=r"deu-eng\.deu has 20 lines, but .*eng has 19"):
        Tatoeba(languages=("deu",))(encode, tmp_path)
    write(tmp_path / "tatoeba.deu-eng.eng", [])
    with pytest.raises(ValueError, match=r"deu-eng\.eng: the file is empty"):
        Tatoeba(languages=("deu",))(encode, tmp_path)


def test_bad_embeddings(tmp_path):
    texts, table = translations(["eng", "deu", "fra"], 20)
    files(tmp_path, texts, "deu")
    files(tmp_path, texts, "fra")
    right = planted(table)

    def broken(change):
        def encode(sentences):
            rows = right(sentences)
            return change(rows) if sentences[0].startswith("fra") else rows

        return lambda: Tatoeba(languages=("deu", "fra"))(encode, tmp_path)

    def with_nan(rows):
        rows[7] = np.nan
        return rows

    with pytest.raises(ValueError, match=r"fra: .* NaN or infinity in row 7, .* 'fra 7'"):
        broken(with_nan)()
    with pytest.raises(ValueError, match=r"fra: .* rows of 23, but of 24 before"):
        broken(lambda rows: rows[:, 1:])()
    with pytest.raises(ValueError, match=r"fra: .* each of the 20 sentences, .* is \[19, 24\]"):
        broken(lambda rows: rows[1:])()
    with pytest.raises(ValueError, match=r"fra: .* is \[24\]"):
        broken(lambda rows: rows[0])()


# sha256 of LASER's files one after the other, by name.
CHECKSUM = "ccdba30a98975c8189b9f7200c07de7936afa165934bb55392f5fac9f65bbeb1"
