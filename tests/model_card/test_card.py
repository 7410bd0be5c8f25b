"""export.model_card: the pages say what is true, their examples run, bad input leaves nothing."""

import collections
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from huggingface_hub import ModelCard

import labse_tf
from export import model_card
from labse_tf.evaluation.benchmarks.tatoeba import Tatoeba, bundled
from labse_tf.evaluation.results import measure
from labse_tf.model_card import Claims, example, write_cards
from labse_tf.model_card.facts import read_facts
from labse_tf.model_card.metrics import (
    languages_of,
    metrics,
    of_languages,
    read_evaluations,
    weakest,
)
from labse_tf.release.saved_model import write_split
from labse_tf.tokenization.scripts import canonical_code, scripts_of
from tests.fresh import fresh
from tests.models import SEQ_LENGTH
from tests.report_results import result
from tests.running import call

COMMAND = "labse evaluate MODEL tatoeba=DIR --output x.json"
CODES = ("deu", "cmn", "spa", "jpn")
CLAIMS = {
    "publisher": "some-one",
    "name": "labse/small",
    "license": "apache-2.0",
    "languages": ("deu", "cmn", "sw"),
    "asset_paths": ("https://example.org/a.tar.gz",),
    "datasets": ("Wikipedia", "our own pairs", "owner/pairs"),
}
MODEL_PAGE = "some-one/models/labse/small/1.md"
PREPROCESSOR_PAGE = "some-one/models/labse/small-preprocess/1.md"
HANDLE = "https://tfhub.dev/some-one/labse/small/1"
PREPROCESSOR_HANDLE = "https://tfhub.dev/some-one/labse/small-preprocess/1"
PAGES = (MODEL_PAGE, PREPROCESSOR_PAGE, "README.md")


def evaluate(path, folder, tatoeba, **said):
    model = labse_tf.load(path)
    known = {"name": str(path), "fingerprint": model.fingerprint(), "precision": "float32"}
    found = measure(
        model.encode,
        [(Tatoeba(languages=CODES), tatoeba), (Tatoeba(languages=("rus",)), tatoeba)],
        model={**known, **said},
        command=COMMAND,
        output=folder / "results.json",
    )
    return folder / "results.json", found


@pytest.fixture(scope="module")
def tatoeba(tmp_path_factory):
    """40 sentences a language; of rus one side has a line too few."""
    folder = tmp_path_factory.mktemp("tatoeba")
    for code in (*CODES, "rus"):
        for side in (code, "eng"):
            name = f"tatoeba.{code}-eng.{side}"
            lines = bundled()[name][: 39 if side == "rus" else 40]
            (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


Written = collections.namedtuple("Written", "model paths evaluation results pages")


@contextlib.contextmanager
def quick_examples(run=fresh):
    """Examples run in processes that start quickly."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(example, "_fresh_process", run)
        yield


@pytest.fixture(scope="module")
def plain(release, tatoeba, tmp_path_factory):
    """A release, what was measured of it, and the pages."""
    folder = tmp_path_factory.mktemp("plain")
    evaluation, results = evaluate(release, folder, tatoeba)
    with quick_examples():
        write_cards(release, [evaluation], Claims(**CLAIMS), folder / "card")
    pages = {name: (folder / "card" / name).read_text(encoding="utf-8") for name in PAGES}
    paths = dict.fromkeys((HANDLE, PREPROCESSOR_HANDLE), release)
    return Written(release, paths, evaluation, results, pages)


@pytest.fixture(scope="module")
def split(model, tatoeba, tmp_path_factory):
    """The same of two SavedModels that compute in bfloat16, by the program."""
    folder = tmp_path_factory.mktemp("split")
    write_split(folder / "parts", model.preprocessor, model.encoder, compute_dtype="bfloat16")
    evaluation, results = evaluate(folder / "parts" / "encoder", folder, tatoeba)
    (folder / "changes.md").write_text("- All is *new*.\n")
    archives = ["https://example.org/encoder.tar.gz", "https://example.org/preprocessor.tar.gz"]
    with quick_examples():
        said = call(
            model_card.main, folder / "parts", "--evaluation", evaluation,
            "--output", folder / "card", "--publisher", "some-one", "--name", "labse/small",
            "--license", "cc-by-4.0", "--languages", "deu", "cmn", "sw",
            "--asset-path", *archives, "--change-log", folder / "changes.md",
            "--sentences", "Tom ```likes``` \"it\".", "the cat",
            "--repository", "else-one/small.model", "--description", "Small & *new*.",
            "--test-sets-excluded", "--limitation", "Bad at *verse*.", "Bad at sums.",
        )  # fmt: skip
    assert said.splitlines() == [str(folder / "card" / name) for name in PAGES]
    pages = {name: (folder / "card" / name).read_text(encoding="utf-8") for name in PAGES}
    parts = folder / "parts"
    paths = {HANDLE: parts / "encoder", PREPROCESSOR_HANDLE: parts / "preprocessor"}
    return Written(parts, paths, evaluation, results, pages)


@pytest.fixture(params=["plain", "split"])
def written(request):
    return request.getfixturevalue(request.param)


def blocks(page):
    """The fenced blocks, as (language, text)."""
    return re.findall(r"^(?:```+)(\w*)\n(.*?)\n```+$", page, re.MULTILINE | re.DOTALL)


def headings(page):
    """The headings with what stands under each, without the code."""
    page = re.sub(r"^(```+)(\w*)\n.*?\n\1$", "(code)", page, flags=re.MULTILINE | re.DOTALL)
    parts = re.split(r"^(#+ .*)$", page, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def tables(text):
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return [row for row in rows if not row[0].startswith("---")]


def comments(page):
    """The metadata that TF-Hub's validator reads, by its pattern, as lists."""
    found = collections.defaultdict(list)
    for key, value in re.findall(r"^<!--([\w\s-]+):(.+)-->$", page, re.MULTILINE):
        found[key.strip()].append(value.strip())
    return dict(found)


def test_form_of_the_pages(written):
    """As tools/validator.py of tensorflow/tfhub.dev wants them."""
    archives = CLAIMS["asset_paths"] * 2
    if written.paths[HANDLE] != written.model:
        archives = ["https://example.org/encoder.tar.gz", "https://example.org/preprocessor.tar.gz"]
    license = "apache-2.0" if "apache-2.0" in written.pages[MODEL_PAGE] else "custom"
    for name, handle, archive, task, tunable in (
        (MODEL_PAGE, HANDLE, archives[0], "text-embedding", "true"),
        (PREPROCESSOR_PAGE, PREPROCESSOR_HANDLE, archives[1], "text-preprocessing", "false"),
    ):
        first, description, empty, *_ = written.pages[name].splitlines()
        pattern = r"# Module [a-z\d-]+/[\w.-]+(/[\w.-]+)*/\d+"
        assert re.fullmatch(pattern, first) and handle.endswith(first.removeprefix("# Module "))
        assert description and not description.startswith("<!--") and not empty
        found = comments(written.pages[name])
        assert found.pop("dataset", None) in (None, ["wikipedia", "other"])
        assert found.pop("network-architecture", ["bert"]) == ["bert"]
        assert found == {
            "asset-path": [archive],
            "task": [task],
            "fine-tunable": [tunable],
            "format": ["saved_model_2"],
            "license": [license],
            "language": ["de", "zh-cn", "multilingual"],  # sw is none of TF-Hub's
        }
    assert PREPROCESSOR_HANDLE in written.pages[MODEL_PAGE]
    assert f"({HANDLE})" in written.pages[PREPROCESSOR_PAGE]


def test_no_heading_is_empty(written):
    for name, page in written.pages.items():
        found = headings(page.split("\n---\n")[-1])
        assert all(text.strip() for text in found.values()), name
        wanted = ["Overview", "Example use", "Limitations", "Change log", "References"]
        wanted += ["Metrics"] * (name != PREPROCESSOR_PAGE)
        wanted += ["Output details"] * (name != "README.md")
        assert {f"## {heading}" for heading in wanted} <= found.keys()


def test_every_figure_is_measured(written):
    run, failed = written.results["benchmarks"]
    figures = {key: f"{100 * value:.1f}" for key, value in run["figures"].items()}
    for name in (MODEL_PAGE, "README.md"):
        text = written.pages[name].partition("## Metrics\n")[2].partition("\n## ")[0]
        (head, *rows) = tables(text)
        assert [row[0].strip("*") for row in rows] == ["mean of 4", "deu", "cmn"]  # as claimed
        for row in rows:
            for metric, cell in zip(head[2:], row[2:], strict=True):
                assert cell == figures[f"{row[0].strip('*')}/{metric}"]
        assert COMMAND in text and written.results["date"][:10] in text
        assert written.results["model"]["fingerprint"] in text
        assert f"tensorflow {written.results['system']['tensorflow']}" in text
        assert failed["failures"]["rus"].rpartition("/")[2] in text and "**rus**: " in text
        assert f"### tatoeba ({os.path.basename(run['data']['directory'])})" in text


def test_limitations(plain, split):
    figures = plain.results["benchmarks"][0]["figures"]
    lowest = min(("deu", "cmn"), key=lambda code: figures[f"{code}/accuracy"])
    for name in (MODEL_PAGE, "README.md"):
        text = headings(plain.pages[name])["## Limitations"]
        assert f"cut at {SEQ_LENGTH} tokens" in text
        assert "though 2 more were measured: es, ja." in text
        assert "without a figure of their own: sw." in text
        assert f"accuracy: {lowest} {100 * figures[f'{lowest}/accuracy']:.1f}." in text
        assert "Failed when it was measured: tatoeba, rus: " in text
        assert "names no training data" not in text and "bfloat16" not in text
        assert "trained on was not checked" in text and "publisher says that no" not in text
        text = headings(split.pages[name])["## Limitations"]
        assert "names no training data" in text and "rounded to bfloat16" in text
        assert ("computes in bfloat16" in text) == (name == MODEL_PAGE)
        assert "publisher says that no sentence of the benchmarks" in text
        assert r"Bad at \*verse\*." in text and "Bad at sums." in text
        assert "was not checked" not in text
    assert "- All is *new*." in headings(split.pages[MODEL_PAGE])["## Change log"]
    assert split.pages[MODEL_PAGE].splitlines()[1] == r"Small &amp; \*new\*."


def test_card_for_hugging_face(written, tmp_path):
    (tmp_path / "README.md").write_text(written.pages["README.md"], encoding="utf-8")
    card = ModelCard.load(tmp_path / "README.md")
    said = card.data.to_dict()
    assert said["language"] == ["de", "zh", "sw"]
    assert said["pipeline_tag"] == "sentence-similarity"
    repository = re.search(r'labse_tf\.load\("(.*?)"\)', card.text)[1]
    own = repository == "some-one/labse-small"
    assert own or repository == "else-one/small.model"
    assert said["license"] == ("apache-2.0" if own else "cc-by-4.0")
    assert said.get("datasets") == (["owner/pairs"] if own else None)
    (index,) = said["model-index"]
    assert index["name"] == repository.partition("/")[2]
    found = {
        f"{one['dataset']['config']}/{metric['name']}": metric["value"]
        for one in index["results"]
        for metric in one["metrics"]
    }
    figures = written.results["benchmarks"][0]["figures"]
    parts = ("deu", "cmn", "mean of 4")
    assert found == {k: v for k, v in figures.items() if k.rpartition("/")[0] in parts}
    assert len(found) == 9


def test_examples_print_what_they_say(written, tmp_path):
    """Each page's code, cut from the page, in a process without labse_tf; one in a true one."""

    def start(code):
        if name == MODEL_PAGE and written.model == written.paths[HANDLE]:
            command = [sys.executable, "-"]
            return subprocess.run(command, input=code, capture_output=True, text=True, cwd=tmp_path)
        return fresh("-c", code, cwd=tmp_path)

    for name in (MODEL_PAGE, PREPROCESSOR_PAGE):
        (language, code), (_, output), *_ = blocks(written.pages[name])
        assert language == "python" and "labse_tf" not in code
        for handle, path in written.paths.items():
            code = code.replace(f'"{handle}"', f'"{path}"')
        process = start("import sys\nsys.modules['labse_tf'] = None\n" + code)
        assert process.returncode == 0, process.stderr[-3000:]
        assert process.stdout.rstrip("\n") == output


def test_examples_are_of_this_model(written):
    """The printed cosines are those of labse_tf, and the ids those of its preprocessor."""
    encoder = written.paths[HANDLE]
    model = labse_tf.load(encoder)
    for name in (MODEL_PAGE, "README.md"):
        (_, code), (_, output), *_ = blocks(written.pages[name])
        sentences = [json.loads(text) for text in re.findall(r"^    (\".*\"),$", code, re.M)]
        embeddings = model.encode(sentences)
        shape, _, cosines = output.partition("\n")
        assert shape == str(embeddings.shape)
        printed = np.array(re.findall(r"-?\d+\.\d*", cosines), float)
        tolerance = 0.006 if written.model == encoder or name == "README.md" else 0.03  # bfloat16
        expected = embeddings @ embeddings.T
        np.testing.assert_allclose(printed, expected.ravel(), atol=tolerance)
        assert np.ptp(expected) > 0.05
    (_, _), (_, output), *_ = blocks(written.pages[PREPROCESSOR_PAGE])
    ids = model.preprocessor(sentences)["input_word_ids"].numpy()
    assert f"input_word_ids int32 ({len(ids)}, {SEQ_LENGTH})" in output
    printed = np.array(re.findall(r"\d+", output.partition("[[")[2]), int)
    np.testing.assert_array_equal(printed, ids[:, :8].ravel())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"publisher": "Some One"}, r"`publisher` \(='Some One'\) may hold small letters"),
        ({"name": "a/../../b"}, "nothing but dots"),
        ({"version": 2}, "what changed since version 1"),
        ({"version": 0}, "at least 1"),
        ({"license": "Apache-2.0"}, r"`license` \(='Apache-2.0'\).*small letters"),
        ({"languages": ()}, "`languages` is empty"),
        ({"languages": ("deu", "german")}, r"'german'.*ISO 639"),
        ({"languages": ("deu", "dex")}, r"'dex' is not the code of one.*no evaluation has it"),
        ({"asset_paths": ("build/a.tar.gz",)}, "must be the address of a .tar.gz"),
        ({"asset_paths": ("https://github.com/a/b/releases/download/1/a.tar.gz",)}, "GitHub"),
        ({"asset_paths": ("https://x.org/a.tar.gz",) * 2}, "must be of one, the release"),
        ({"description": " "}, "`description`"),
        ({"datasets": ("<!-- x -->",)}, "`datasets`"),
        ({"change_log": "# New"}, "begins with #"),
        ({"change_log": "\n"}, "change log is empty"),
        ({"repository": "small"}, "must be OWNER/NAME"),
        ({"languages": ("sw",)}, "Give `sentences`"),
    ],
)
def test_wrong_claims_are_refused(plain, changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_cards(
            plain.model, [plain.evaluation], Claims(**{**CLAIMS, **changes}), tmp_path / "card"
        )
    assert os.listdir(tmp_path) == []


def test_what_is_of_another_model_is_refused(plain, split, tmp_path):
    claims, output = Claims(**CLAIMS), tmp_path / "card"
    mine, others = (w.results["model"]["fingerprint"] for w in (plain, split))
    assert mine != others
    with pytest.raises(ValueError, match=f"its fingerprint is '{others}', this model's is '{mine}"):
        write_cards(plain.model, [plain.evaluation, split.evaluation], claims, output)
    for name, change, message in (
        ("precision", {"model": {**plain.results["model"], "precision": "bfloat16"}}, "is of ano"),
        ("format", {"format": "else"}, "the format is 'else'"),
        ("figures", {"benchmarks": []}, "has no figure"),
    ):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({**plain.results, **change}))
        with pytest.raises(ValueError, match=message):
            write_cards(plain.model, [path], claims, output)
        path.unlink()
    with pytest.raises(ValueError, match="is one part of two"):
        write_cards(split.model / "encoder", [split.evaluation], claims, output)
    with pytest.raises(ValueError, match="neither a release"):
        write_cards(tmp_path, [split.evaluation], claims, output)
    with pytest.raises(ValueError, match=r"`sentences`.*two or more"):
        write_cards(plain.model, [plain.evaluation], claims, output, sentences=["one"])
    assert os.listdir(tmp_path) == []
    output.mkdir()
    with pytest.raises(FileExistsError, match="card' exists"):
        write_cards(plain.model, [plain.evaluation], claims, output)
    assert os.listdir(output) == []


@pytest.fixture
def no_examples():
    """Cards without the processes that the examples take."""
    with quick_examples(lambda *start, **_: subprocess.CompletedProcess(start, 0, "out", "")):
        yield


def test_written_whole_or_not_at_all(plain, no_examples, tmp_path):
    claims = Claims(
        **{**CLAIMS, "name": "x" * 250}
    )  # with "-preprocess" too long for a file system
    with pytest.raises(OSError, match="too long"):
        write_cards(plain.model, [plain.evaluation], claims, tmp_path / "card")
    assert os.listdir(tmp_path) == []


def test_an_example_that_fails(tmp_path):
    with pytest.raises(ValueError, match=r"example failed on \['/a'\].*ZeroDivisionError"):
        example.run_example('print(1 / 0, "x")', {"x": "/a"})
    with pytest.raises(ValueError, match=r"import of labse_tf halted"):
        example.run_example("import labse_tf", {})


def test_an_example_that_runs(tmp_path):
    code = 'import sys\nprint(sys.flags.utf8_mode, "é", "x")'
    assert example.run_example(code, {"x": "/ä"}) == "1 é /ä"


def test_an_evaluation_in_bfloat16_is_this_models(plain, tatoeba, no_examples, tmp_path):
    model = labse_tf.load(plain.model, precision="bfloat16")
    evaluation, _ = evaluate(
        plain.model, tmp_path, tatoeba, fingerprint=model.fingerprint(), precision="bfloat16"
    )
    paths = write_cards(plain.model, [evaluation], Claims(**CLAIMS), tmp_path / "card")
    with open(paths[0], encoding="utf-8") as file:
        assert "weights computed in bfloat16 by labse_tf" in headings(file.read())["## Limitations"]


def test_the_pages_that_need_no_hugging_face(plain, no_examples, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    arguments = plain.model, [plain.evaluation], Claims(**CLAIMS)
    with pytest.raises(ImportError, match=r"--pages tf-hub kaggle"):
        write_cards(*arguments, tmp_path / "card")
    with pytest.raises(ValueError, match=r"`pages` \(=\['x'\]\) must be of"):
        write_cards(*arguments, tmp_path / "card", pages=["x"])
    paths = write_cards(*arguments, tmp_path / "card", pages=["tf-hub", "kaggle"])
    kaggle = ["kaggle/model-metadata.json", "kaggle/release/model-instance-metadata.json"]
    assert [os.path.relpath(path, tmp_path / "card") for path in paths] == [*PAGES[:2], *kaggle]
    assert all(os.path.getsize(path) for path in paths)


def test_the_program_tells_in_a_line(plain, tmp_path):
    process = fresh(
        "-m", "export.model_card", plain.model, "--evaluation", tmp_path / "absent.json",
        "--output", tmp_path / "card", "--publisher", "a", "--name", "b", "--license", "mit",
        "--languages", "de", "--asset-path", "https://example.org/a.tar.gz",
    )  # fmt: skip
    assert process.returncode == 2
    last = process.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and "absent.json" in last
    assert os.listdir(tmp_path) == []


def test_what_is_published_is_marked():
    shown = of_languages(result(), ["de", "fr", "ja"])
    text = metrics([shown])
    head, mean, *rows = tables(text.partition("### tatoeba")[2].partition("###")[0])
    assert head[-2] == "accuracy, LaBSE: as published, not measured here"
    assert mean[0] == "**mean of 5**" and mean[-2] == "83.7"
    assert [row[0] for row in rows] == ["deu", "fra", "jpn"]
    grid = tables(text.partition("P@1: rows are sources")[2].partition("###")[0])
    assert grid[0] == ["deu", "fra", "jpn"]
    assert weakest([shown])[:2] == ["tatoeba, accuracy: jpn 60.0", "retrieval (ntrex), "
        "P@1 to eng: deu 50.0"]  # fmt: skip


@pytest.mark.parametrize(
    ("part", "codes"),
    [
        ("deu", ["de"]),
        ("zho_Hant", ["zh"]),
        ("eng-US", ["en"]),
        ("en-de", ["en", "de"]),
        ("deu>swh", ["de", "sw"]),
        ("fr-en.training, ratio, mutual", ["fr", "en"]),
        ("ast", ["ast"]),
        ("SST-2", []),
        ("mean of 36 (XTREME)", []),
    ],
)
def test_languages_of_parts(part, codes):
    assert languages_of(part) == codes


def test_one_code_a_language():
    for codes in (
        ("zh", "zho", "cmn", "zh-TW", "zh_Hant_TW"), ("fa", "fas", "pes"), ("sw", "swa", "swh"),
        ("haw",), ("nn", "nno"), ("pt", "pt-BR", "PT"), ("he", "iw"), ("id", "in"), ("yi", "ji"),
    ):  # fmt: skip
        assert {canonical_code(code) for code in codes} == {codes[0]}
        assert all(scripts_of(code) == scripts_of(codes[0]) for code in codes)
    assert canonical_code("ast") == "ast"


def test_no_model_and_no_evaluation(release, tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no directory"):
        read_facts(tmp_path / "absent")
    with pytest.raises(ValueError, match="There is no evaluation"):
        read_evaluations([], read_facts(release))


def test_parts_of_two_models(release, tmp_path):
    for part in ("encoder", "preprocessor"):
        shutil.copytree(release, tmp_path / part)
    with open(tmp_path / "preprocessor" / "assets" / "vocab.txt", "a", encoding="utf-8") as file:
        file.write("more\n")
    with pytest.raises(ValueError, match="have different vocabularies"):
        read_facts(tmp_path)
