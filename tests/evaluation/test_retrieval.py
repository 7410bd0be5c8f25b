"""n-way retrieval: P@1 and xsim against NumPy, and the file names of the known sets."""

import gzip

import numpy as np
import pytest

from labse_tf.evaluation import Retrieval
from tests.planted import cosines, planted, translations, write


def n_way(folder, noise=1.0, count=200):
    texts, table = translations(["eng", "deu", "fra", "jpn"], count, noise)
    for code, lines in texts.items():
        write(folder / f"{code}.txt", lines)
    return texts, planted(table)


def test_figures_are_the_definitions(tmp_path):
    texts, encode = n_way(tmp_path)
    found = Retrieval(all_pairs=True)(encode, tmp_path)
    own = np.arange(200)
    for code in ("deu", "fra", "jpn"):
        matrix = cosines(encode, texts[code], texts["eng"])
        assert found[f"{code}/P@1 to eng"] == np.mean(matrix.argmax(axis=1) == own)
        assert found[f"{code}/P@1 from eng"] == np.mean(matrix.argmax(axis=0) == own)
        # xsim: the best by ratio margin among the 4 nearest.
        for name, m in (("to", matrix), ("from", matrix.T)):
            near = np.sort(m, axis=1)[:, -4:].mean(axis=1), np.sort(m, axis=0)[-4:].mean(axis=0)
            margins = m / ((near[0][:, None] + near[1]) / 2)
            among = np.argsort(np.argsort(-m, axis=1), axis=1) < 4
            best = np.where(among, margins, -np.inf).argmax(axis=1)
            assert found[f"{code}/xsim error {name} eng"] == pytest.approx(np.mean(best != own))
    for a in texts:
        for b in texts:
            if a != b:
                right = cosines(encode, texts[a], texts[b]).argmax(axis=1) == own
                assert found[f"{a}>{b}/P@1"] == np.mean(right)
    assert sum(">" in key for key in found) == 12
    p = [found[f"{code}/P@1 to eng"] for code in ("deu", "fra", "jpn")]
    assert len(set(p)) > 1 and found["mean of 3/P@1 to eng"] == pytest.approx(np.mean(p))


def test_the_same_sentences_are_all_found_and_xsim_has_no_errors(tmp_path):
    _, encode = n_way(tmp_path, noise=0)
    found = Retrieval(languages=("deu",))(encode, tmp_path)
    assert found["deu/P@1 to eng"] == found["deu/P@1 from eng"] == 1
    assert found["deu/xsim error to eng"] == found["deu/xsim error from eng"] == 0
    assert not any(key.startswith("fra") for key in found)


def test_xsim_is_not_p_at_1(tmp_path):
    # A hub: English sentence 0 is nearer to all others than their own, which the margin takes out.
    texts, table = translations(["eng", "deu"], 100)
    hub = np.ones(len(table["eng 0"]))
    for text in texts["deu"]:
        table[text] = table[text] / np.linalg.norm(table[text]) + 1.2 * hub / np.linalg.norm(hub)
    table["eng 0"] = hub
    for code, lines in texts.items():
        write(tmp_path / f"{code}.txt", lines)
    found = Retrieval()(planted(table), tmp_path)
    assert found["deu/P@1 to eng"] < 0.3 and found["deu/xsim error to eng"] < 0.2


def test_another_pivot(tmp_path):
    texts, encode = n_way(tmp_path)
    found = Retrieval(pivot="jpn", languages=("deu", "eng"))(encode, tmp_path)
    matrix = cosines(encode, texts["deu"], texts["jpn"])
    assert found["deu/P@1 to jpn"] == np.mean(matrix.argmax(axis=1) == np.arange(200))
    assert "eng/P@1 from jpn" in found and "jpn/P@1 to jpn" not in found


@pytest.mark.parametrize(
    "pattern,codes",
    [
        ("newstest2019-ref.{}.txt.gz", ["deu", "aze-Latn"]),
        ("{}.devtest", ["eng_Latn", "deu_Latn"]),
        ("UNv1.0.testset.{}", ["en", "fr"]),
        ("{}.txt", ["eng", "deu"]),
    ],
)
def test_file_names(tmp_path, pattern, codes):
    texts, table = translations([*codes, "eng"], 12)
    for code in codes:
        path = tmp_path / pattern.format(code)
        data = "".join(f"{line}\n" for line in texts[code]).encode()
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    if pattern.startswith("newstest"):
        write(tmp_path / "newstest2019-src.eng.txt", texts["eng"])
        write(tmp_path / "newstest2019-ref-2.deu.txt", ["another reference"])  # not a language
    write(tmp_path / "LICENSE", ["not a language either"])
    found = Retrieval()(planted(table), tmp_path)
    others = [code for code in codes if code not in ("eng", "en", "eng_Latn")]
    for code in others:
        assert [v for k, v in found.items() if k.startswith(f"{code}/P@1")] == [1, 1]
    assert f"mean of {len(others)}/" in "".join(found)


def test_bad_input(tmp_path):
    _, encode = n_way(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"retrieval needs its directory.*NTREX"):
        Retrieval()(encode)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no parallel files in .*empty.*FLORES"):
        Retrieval()(encode, tmp_path / "empty")
    with pytest.raises(ValueError, match="'spa' is none of the languages there: deu, eng, fra"):
        Retrieval(languages=("spa",))(encode, tmp_path)
    with pytest.raises(ValueError, match="no file of spa among"):
        Retrieval(pivot="spa")(encode, tmp_path)
    with pytest.raises(ValueError, match="`margin`"):
        Retrieval(margin="mean")(encode, tmp_path)
    write(tmp_path / "fra.txt", ["fra 0", "fra 1"])
    with pytest.raises(ValueError, match=r"eng\.txt has 200 lines, but .*fra\.txt has 2"):
        Retrieval()(encode, tmp_path)
    write(tmp_path / "eng.txt.gz", [])
    with pytest.raises(ValueError, match=r"both eng\.txt and eng\.txt\.gz are of eng"):
        Retrieval()(encode, tmp_path)
