"""What a notebook printed against what it prints: which differences are found, and how told."""

import copy

import pytest

from tests.notebooks.comparing import differences, text_of


def code(ident, *outputs, tags=("stable",)):
    return {
        "cell_type": "code",
        "id": ident,
        "metadata": {"tags": list(tags)} if tags else {},
        "source": "run()",
        "outputs": list(outputs),
    }


def stream(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": text}


def shown(**data):
    data = {name.replace("_", "/"): value for name, value in data.items()}
    return {"output_type": "display_data", "metadata": {}, "data": data}


@pytest.fixture
def kept():
    text = {"cell_type": "markdown", "id": "title", "metadata": {}, "source": "# Title"}
    picture = shown(image_png="AAAA", text_plain="<Figure size 640x480 with 1 Axes>")
    return {
        "cells": [
            text,
            code("load", stream("one\ntwo\nthree\n")),
            code("time", stream("1.2 s\n"), tags=()),
            code("shown", shown(text_markdown="a | b", text_plain="<Markdown>"), picture),
        ]
    }


def changed(notebook, cell, outputs):
    new = copy.deepcopy(notebook)
    new["cells"][cell]["outputs"] = outputs
    return new


def test_a_changed_line_is_told_with_its_cell(kept):
    new = changed(kept, 1, [stream("one\n2\nthree\n")])
    (diff,) = differences(kept, new, "colab/x.ipynb")
    assert diff.splitlines() == [
        "--- colab/x.ipynb, cell 'load', as kept",
        "+++ colab/x.ipynb, cell 'load', as run",
        "@@ -1,3 +1,3 @@",
        " one",
        "-two",
        "+2",
        " three",
    ]


def test_every_changed_cell_is_told(kept):
    new = changed(kept, 1, [])
    new = changed(new, 3, [shown(text_markdown="a | c"), kept["cells"][3]["outputs"][1]])
    first, second = differences(kept, new, "x")
    assert "-three" in first and "+" not in first.split("@@")[2]
    assert "-a | b" in second and "+a | c" in second


@pytest.mark.parametrize(
    "cell, outputs",
    [
        (1, [stream(["one\n", "two\n", "three\n"])]),  # a file's list of lines
        (1, [stream("one\n"), stream("two\nthree\n")]),  # flushed in two parts
        (1, [stream("a warning\n", "stderr"), stream("one\ntwo\nthree\n")]),
        (2, [stream("99 s\n")]),  # not tagged
        (3, [
            shown(text_markdown="a | b", text_plain="<Other>"),
            shown(image_png="BBBB", text_plain="<Figure size 640x480 with 1 Axes>"),
        ]),  # another picture of the same kind
    ],
)  # fmt: skip
def test_what_is_no_difference(kept, cell, outputs):
    assert differences(kept, changed(kept, cell, outputs), "x") == []


def test_a_notebook_without_stable_cells_is_refused(kept):
    for cell in kept["cells"]:
        cell["metadata"] = {}
    with pytest.raises(ValueError, match=r"x\.ipynb: no cell has the tag 'stable'"):
        differences(kept, kept, "x.ipynb")


def test_text_of_what_is_shown(kept):
    assert text_of(kept["cells"][3]) == "a | b\n<Figure size 640x480 with 1 Axes>\n"
    assert text_of(code("x", {"output_type": "error", "ename": "E", "evalue": ""})) == ""
