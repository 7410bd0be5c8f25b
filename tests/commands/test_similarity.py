"""labse similarity: its table, the nearest sentences, the picture."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import labse_tf
from labse_tf.commands.heat_map import LARGEST, heat_map
from labse_tf.commands.main import main
from tests.planted import write
from tests.running import call

A = ["The cat sat on the mat.", "猫坐在垫子上。"]
B = ["Tom likes green apples, and so do I!", "The cat sat on the mat.", "<&>"]


@pytest.fixture
def files(tmp_path):
    write(tmp_path / "a.txt", A)
    write(tmp_path / "b.txt", B)
    return f"@{tmp_path / 'a.txt'}", f"@{tmp_path / 'b.txt'}"


def test_nearest_and_picture(release, files, tmp_path):
    picture = tmp_path / "x.svg"
    said = call(
        main, "similarity", *files, "--model", release, "--nearest", 2, "--heat-map", picture
    )
    model = labse_tf.load(release)
    cosines = model.encode(A) @ model.encode(B).T
    lines = [line.split("\t") for line in said.splitlines()]
    for row, sentence in enumerate(A):
        order = np.argsort(-cosines[row])[:2]
        for place, line in zip(order, lines[2 * row : 2 * row + 2]):
            assert line[1:] == [sentence, B[place]]
            assert float(line[0]) == pytest.approx(cosines[row, place], abs=1e-4)
    titles = [e.text for e in ElementTree.parse(picture).iter("{http://www.w3.org/2000/svg}title")]
    assert len(titles) == 6 and titles[1].startswith("1.0000: The cat sat on the mat. / The cat")
    assert titles[5].endswith("/ <&>")
    table = call(main, "similarity", *files, "--model", release)
    found = [[float(cell) for cell in line.split("\t")] for line in table.splitlines()]
    np.testing.assert_allclose(found, cosines, atol=1e-4)
    again = call(main, "similarity", *files, "--heat-map", picture, status=2)
    assert "x.svg" in again and "exists" in again


def test_colours_are_of_the_cosines():
    svg = heat_map(np.array([[1.0, -0.5], [0.25, 1.0]], np.float32), ["a", "b"], ["c", "d"])
    # From -0.5, viridis' first colour, to 1, its last; 0.25 is its middle.
    fills = re.findall(r'<rect x="[^"]*" y="[^"]*" width="34" height="34" fill="(#\w+)"', svg)
    assert fills == ["#fde725", "#440154", "#21918c", "#fde725"]
    assert "−0.50" in svg and "-0.50<" not in svg


def test_long_sentences_are_truncated():
    long = heat_map(np.ones([1, 1]), ["猫" * 40], ["e\u0301" * 61])
    assert "猫" * 29 + "…<" in long and "e\u0301" * 59 + "…<" in long
    assert "猫" * 30 + "</text>" in heat_map(np.ones([1, 1]), ["猫" * 30], ["x"])
    # Neither the time nor the picture grows with the square of the length.
    picture = heat_map(np.ones([20, 20]), ["a" * 10**6] * 20, ["b" * 300] * 20)
    assert len(picture) < 500_000 and "b" * 300 + "</title>" in picture


def test_characters_that_xml_does_not_allow():
    texts = ["a\x00b\x0b\ufffe", "\x1b[1m", "tab\tand\nline"]
    svg = ElementTree.fromstring(heat_map(np.ones([3, 3]), texts, texts[::-1]))
    shown = [element.text for element in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert "a\ufffdb\ufffd\ufffd" in shown and "\ufffd[1m" in shown and texts[2] in shown


def test_tabs_do_not_add_columns(release, tmp_path):
    write(tmp_path / "a.txt", ["Tom\tlikes", "x\ry"])
    said = call(main, "similarity", f"@{tmp_path / 'a.txt'}", "a\nb\tc", "--model", release,
                "--nearest", 1)  # fmt: skip
    assert [line.split("\t")[1:] for line in said.split("\n")[:-1]] == [
        ["Tom likes", "a b c"], ["x y", "a b c"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--nearest", "4"], r"--nearest \(=4\) must be from 1 to the 3 of B"),
        (["--nearest", "0"], r"--nearest \(=0\) must be from 1"),
        (["--model", "no/where/else"], "no file or directory"),
    ],
)
def test_errors(files, flags, message):
    assert re.search(message, call(main, "similarity", *files, *flags, status=2))


def test_a_picture_of_too_many(files, tmp_path):
    write(tmp_path / "many.txt", ["x"] * (LARGEST + 1))
    arguments = f"@{tmp_path / 'many.txt'}", files[1], "--heat-map", tmp_path / "y.svg"
    assert "at most 100 sentences a side, not 101 and 3" in call(
        main, "similarity", *arguments, status=2
    )
    assert not (tmp_path / "y.svg").exists()
    with pytest.raises(ValueError, match="not of 101 and 1"):
        heat_map(np.ones([101, 1]), ["x"] * 101, ["y"])
