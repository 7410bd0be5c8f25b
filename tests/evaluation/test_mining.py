"""Bitext mining: figures by hand and by trying all thresholds; BUCC's files."""

import numpy as np
import pytest

from labse_tf.evaluation import Mining
from labse_tf.evaluation.benchmarks.mining import Ranked, _tuned_on
from labse_tf.evaluation.benchmarks.mining_files import read_set
from labse_tf.evaluation.observer import Observer
from tests.planted import cosines, planted, write

DIM = 24


def mining_set(folder, name, seed, count=300, gold=100, with_ids=True):
    """Sentences of which the first `gold` on either side are pairs, in another order."""
    rng = np.random.default_rng(seed)
    one, other = name.split(".")[0].split("-")
    order = rng.permutation(count)
    sides = {one: [f"{name} s{i}" for i in range(count)]}
    sides[other] = [f"{name} t{i}" for i in order]
    table = {f"{name} s{i}": rng.normal(size=DIM) for i in range(count)}
    for i in range(count):
        noise = rng.normal(size=DIM)
        table[f"{name} t{i}"] = noise + 1.2 * table[f"{name} s{i}"] if i < gold else noise
    for side, sentences in sides.items():
        lines = [f"{side}-{row}\t{s}" for row, s in enumerate(sentences)] if with_ids else sentences
        write(folder / f"{name}.{side}", lines)
    places = {i: row for row, i in enumerate(order)}
    pairs = [(i, places[i]) for i in range(gold)]
    form = f"{one}-{{}}\t{other}-{{}}".format if with_ids else lambda a, b: f"{a + 1}\t{b + 1}"
    write(folder / f"{name}.gold", [form(*pair) for pair in pairs])
    return sides, table, set(pairs)


def greedily(matrix, pairs):
    """LASER's: the best pair, then the best of those that share no sentence with it..."""
    kept = []
    while pairs:
        kept.append(max(pairs, key=matrix.__getitem__))
        pairs = {(i, j) for i, j in pairs if i != kept[-1][0] and j != kept[-1][1]}
    return kept


def ranked_by_definition(matrix, gold, direction):
    """Scores and correctness of the candidates by cosine."""
    forward = {(i, int(j)) for i, j in enumerate(matrix.argmax(axis=1))}
    backward = {(int(i), j) for j, i in enumerate(matrix.argmax(axis=0))}
    pairs = {
        "forward": forward,
        "backward": backward,
        "mutual": forward & backward,
        "max": greedily(matrix, forward | backward),
    }[direction]
    return sorted((matrix[p], p in gold) for p in pairs)


def f1_above(candidates, gold, threshold):
    found = [right for score, right in candidates if score >= threshold]
    right = sum(found)
    precision, recall = right / max(len(found), 1), right / len(gold)
    return 2 * precision * recall / (precision + recall), precision, recall


@pytest.mark.parametrize("direction", ["forward", "backward", "mutual", "max"])
def test_figures_are_the_definitions(tmp_path, direction):
    made = {name: mining_set(tmp_path, name, i) for i, name in enumerate(["de-en", "fr-en"])}
    encode = planted(*(table for _, table, _ in made.values()))
    found = Mining(directions=(direction,))(encode, tmp_path)
    candidates, best = {}, {}
    for name, (sides, _, gold) in made.items():
        matrix = cosines(encode, *sides.values())
        candidates[name] = ranked_by_definition(matrix, gold, direction)
        # Of all thresholds there are: each score.
        best[name] = max(f1_above(candidates[name], gold, s)[0] for s, _ in candidates[name])
        part = f"{name}, cosine, {direction}"
        assert found[f"{part}/best F1"] == pytest.approx(best[name])
        tuned = found[f"{part}/best threshold"]
        assert f1_above(candidates[name], gold, tuned)[0] == pytest.approx(best[name])
    for name, other in (("de-en", "fr-en"), ("fr-en", "de-en")):
        part = f"{name}, cosine, {direction}"
        threshold = found[f"{part}/threshold"]
        assert threshold == found[f"{other}, cosine, {direction}/best threshold"]
        expected = f1_above(candidates[name], made[name][2], threshold)
        got = [found[f"{part}/{metric}"] for metric in ("F1", "precision", "recall")]
        assert got == pytest.approx(expected) and 0.3 < got[0] <= best[name]


def test_text_that_occurs_twice_is_mined_once_and_is_no_candidate(tmp_path):
    """By LASER's rule, worked out by hand, for an aligner that makes no error."""
    table = {f"{side}{i}": np.eye(DIM)[i] for side in "st" for i in range(6)}
    write(tmp_path / "de-en.de", ["s0", "s1", "s2", "s3", "s2", "s4"])  # s2 twice
    write(tmp_path / "de-en.en", ["t0", "t3", "t1", "t2", "t3", "t5"])  # t3 twice
    # s0 t0, s1 t1, s2 t2, s3 t3, and s4 with nothing; lines from 1.
    write(tmp_path / "de-en.gold", ["1\t1", "2\t3", "3\t4", "4\t5"])
    asked = []

    def encode(sentences):
        asked.append(sentences)
        return planted(table)(sentences)

    found = Mining(margins=("absolute",))(encode, tmp_path)
    assert asked == [["s0", "s1", "s2", "s3", "s4"], ["t0", "t3", "t1", "t2", "t5"]]
    # Candidates: s0 t0 and s1 t1 are right, of 4 right pairs: precision 1, recall 1/2. Those of s2
    # and of t3 are none.
    for direction in ("forward", "backward", "mutual", "max"):
        assert found[f"de-en, cosine, {direction}/best F1"] == pytest.approx(2 / 3)
    (tmp_path / "de-en.gold").write_text("1\t1\n2\t3\n")
    found = Mining(margins=("absolute",), directions=("max",))(encode, tmp_path)
    assert found["de-en, cosine, max/best F1"] == 1


def test_ratio_by_definition(tmp_path):
    sides, table, gold = mining_set(tmp_path, "de-en", 3)
    found = Mining(margins=("ratio",), directions=("mutual",))(planted(table), tmp_path)
    m = cosines(planted(table), *sides.values())
    means = np.sort(m, axis=1)[:, -4:].mean(axis=1), np.sort(m, axis=0)[-4:].mean(axis=0)
    margins = m / ((means[0][:, None] + means[1]) / 2)
    near = (np.argsort(np.argsort(-m, axis=axis), axis=axis) < 4 for axis in (1, 0))
    forward, backward = (np.where(n, margins, -9).argmax(1 - i) for i, n in enumerate(near))
    pairs = [(i, j) for i, j in enumerate(forward) if backward[j] == i]
    candidates = [(margins[pair], pair in gold) for pair in pairs]
    best = max(f1_above(candidates, gold, s)[0] for s, _ in candidates)
    assert found["de-en, ratio, mutual/best F1"] == pytest.approx(best)
    assert "de-en, ratio, mutual/F1" not in found  # there is no other set to tune on


def test_ranked_by_hand():
    # Right, wrong, right, right, wrong; 4 right pairs in all.
    ranked = Ranked(np.array([0.5, 0.9, 0.7, 0.6, 0.8]), np.array([0, 1, 1, 1, 0], bool), 4)
    # F1 of the first n: 2/5, 2/6, 4/7, 6/8, 6/9: best after 4, between 0.6 and 0.5.
    assert ranked.best() == (pytest.approx(0.55), pytest.approx(0.75))
    assert ranked.at(0.6) == pytest.approx({"F1": 0.75, "precision": 0.75, "recall": 0.75})
    assert ranked.at(0.75) == pytest.approx({"F1": 2 / 6, "precision": 0.5, "recall": 0.25})
    assert ranked.at(1.0) == {"F1": 0, "precision": 1, "recall": 0}
    curve = ranked.curve()
    assert curve["threshold"][0] == 0.5 and curve["threshold"][-1] == 0.9
    assert curve["F1"][0] == pytest.approx(6 / 9) and curve["recall"][-1] == 0.25
    assert {len(column) for column in curve.values()} == {101}


def test_no_candidates_are_an_error_of_their_part_alone():
    with pytest.raises(ValueError, match="no candidates"):
        Ranked(np.zeros([0]), np.zeros([0], bool), 4).best()


def test_candidates_of_equal_score_are_found_together():
    ranked = Ranked(np.array([0.9, 0.5, 0.5, 0.5]), np.array([1, 1, 0, 0], bool), 2)
    # After the first: 2/3; after all four: 4/6. Two alone (F1 1) cannot be had.
    threshold, f1 = ranked.best()
    assert f1 == pytest.approx(2 / 3) and 0.5 < threshold < 0.9
    assert ranked.at(threshold)["F1"] == pytest.approx(f1)


def test_what_thresholds_are_tuned_on():
    bare = ["de-en", "fr-en", "ru-en"]
    assert _tuned_on("de-en", bare) == ["fr-en", "ru-en"]
    splits = ["de-en.test", "de-en.training", "fr-en.test", "fr-en.training"]
    assert _tuned_on("de-en.test", splits) == ["de-en.training"]
    assert _tuned_on("de-en.training", splits) == []
    assert _tuned_on("de-en", ["de-en"]) == []


def test_a_threshold_of_the_training_split_is_applied_to_the_test(tmp_path):
    tables = [mining_set(tmp_path, f"de-en.{s}", i)[1] for i, s in enumerate(["training", "test"])]
    tables.append(mining_set(tmp_path, "fr-en.test", 9)[1])
    found = Mining(margins=("absolute",), directions=("forward",))(planted(*tables), tmp_path)
    own = found["de-en.training, cosine, forward/best threshold"]
    assert found["de-en.test, cosine, forward/threshold"] == own
    assert "de-en.training, cosine, forward/F1" not in found


def test_sentences_without_ids_have_their_line_numbers(tmp_path):
    sides, _, gold = mining_set(tmp_path, "de-en", 0, with_ids=False)
    paths = tuple(str(tmp_path / f"de-en.{end}") for end in ("de", "en", "gold"))
    read = read_set(paths, Observer())
    assert (read.sources, read.targets) == tuple(sides.values()) and read.gold == gold
    mining_set(tmp_path, "de-en", 0)
    assert read_set(paths, Observer()) == read


def test_bad_input(tmp_path):
    _, table, _ = mining_set(tmp_path, "de-en", 0)

    def run(**options):
        return Mining(**options)(planted(table), tmp_path)

    with pytest.raises(ValueError, match=r"`margins` \(='cosine'\)"):
        run(margins=("cosine",))
    with pytest.raises(ValueError, match=r"`directions` \(='both'\)"):
        run(directions=("both",))
    good = (tmp_path / "de-en.gold").read_text()
    write(tmp_path / "de-en.gold", ["de-0\ten-9999"])
    with pytest.raises(ValueError, match=r"de-en\.gold:1: .*de-en\.en has no sentence 'en-9999'"):
        run()
    write(tmp_path / "de-en.gold", ["de-0\ten-0", "de-0"])
    with pytest.raises(ValueError, match=r"de-en\.gold:2: expected id TAB id, but got 'de-0'"):
        run()
    (tmp_path / "de-en.gold").write_text(good)
    write(tmp_path / "de-en.de", ["de-0\ta", "no tab"])
    with pytest.raises(ValueError, match=r"de-en\.de:2: expected id TAB sentence"):
        run()
    write(tmp_path / "de-en.de", ["de-0\ta", "de-0\tb"])
    with pytest.raises(ValueError, match=r"de-en\.de:2: the id 'de-0' occurs twice"):
        run()
    write(tmp_path / "de-en.de", [])
    with pytest.raises(ValueError, match=r"de-en\.de: the file is empty"):
        run()
    (tmp_path / "de-en.de").unlink()
    with pytest.raises(FileNotFoundError, match=r"no file .*de-en\.de'.*BUCC"):
        run()
    (tmp_path / "de-en.gold").unlink()
    with pytest.raises(FileNotFoundError, match=r"no \*\.gold in"):
        run()
