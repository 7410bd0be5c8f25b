"""The report of a run: its figures counted anew, its page read by an HTML parser."""

import html.parser
import re

import numpy as np
import pytest

from labse_tf.evaluation.report.histogram import histogram
from labse_tf.mining.mine_files import mine_files
from labse_tf.mining.options import MiningOptions
from labse_tf.mining.report.figures import figures_of
from labse_tf.mining.report.write import check_report
from labse_tf.mining.run import Input, mine_pairs
from tests.evaluation.test_mining import mining_set
from tests.planted import planted, write


@pytest.fixture
def files(tmp_path):
    _, table, _ = mining_set(tmp_path, "de-en", seed=0)
    return tmp_path / "de-en.de", tmp_path / "de-en.en", planted(table)


def test_figures_are_counts(files, tmp_path):
    (tmp_path / "work").mkdir()
    inputs = [Input(path.read_text().splitlines(), path.name) for path in files[:2]]
    found = mine_pairs(*inputs, str(tmp_path / "work"), files[2], MiningOptions())
    figures = figures_of(found, None, seed=0)
    scores = found.pairs.scores
    assert sum(figures.counts) == len(scores) == sum(band.pairs for band in figures.bands)
    for low, high, count in zip(figures.edges, figures.edges[1:], figures.counts):
        assert abs(np.sum((scores >= low) & (scores < high)) - count) <= 1
    for row in figures.thresholds:
        assert row.pairs == np.sum(scores.astype(np.float64) >= row.score)
        assert row.share == row.pairs / len(scores)
    assert figures.thresholds[-1].share == 1
    for band in figures.bands:
        assert len(band.samples) == min(10, band.pairs)
        assert all(band.low - 1e-6 <= sample[0] <= band.high + 1e-6 for sample in band.samples)
    texts = {sample[2:] for band in figures.bands for sample in band.samples}
    assert texts == {s[2:] for band in figures_of(found, None, 0).bands for s in band.samples}
    assert texts != {s[2:] for band in figures_of(found, None, 1).bands for s in band.samples}


class Page(html.parser.HTMLParser):
    """Cells of tables, and what is open at the end."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.open, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        assert not any(name in ("src", "href") and "//" in (v or "") for name, v in attributes)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)
        self.texts.append(data)


def test_page_and_table(files, tmp_path):
    text = files[0].read_text().replace("de-en s3\n", "<b>de-en & s3\n")
    files[0].write_text(text)
    encode = lambda s: files[2]([x.replace("<b>de-en & s3", "de-en s3") for x in s])  # noqa: E731
    facts = mine_files(
        *files[:2], tmp_path / "out.tsv", encode, gold=tmp_path / "de-en.gold",
        report=tmp_path / "report", command="labse mine <a> b", options=MiningOptions(k=5),
    )  # fmt: skip
    page = Page((tmp_path / "report" / "index.html").read_text(encoding="utf-8"))
    assert page.open == [] and "labse mine <a> b" in page.texts
    assert ["threshold", "pairs", "share, %", "F1, %", "precision, %", "recall, %"] in page.rows
    assert f"{facts['gold']['best F1']:.2%} at a threshold" in "".join(page.texts)
    lines = (tmp_path / "report" / "report.md").read_text(encoding="utf-8").splitlines()
    table = [re.split(r" *\| *", line)[1:-1] for line in lines if line.startswith("| ")]
    assert table[0][:3] == ["threshold", "pairs", "share"] and len(table) == 22
    gold = set(
        map(tuple, (x.split("\t") for x in (tmp_path / "de-en.gold").read_text().split("\n")))
    )
    meta = [x.split("\t") for x in (tmp_path / "out.meta.tsv").read_text().splitlines()[1:]]
    kept = [(row[2], row[3]) in gold for row in meta if float(row[0]) >= float(table[10][0])]
    assert abs(int(table[10][1]) - len(kept)) <= 1
    assert float(table[10][4].rstrip("%")) == pytest.approx(100 * np.mean(kept), abs=1)


def test_bars_are_as_high_as_their_counts():
    svg = histogram("t", "score", [0.0, 0.5, 1.0], [30, 120])
    heights = [float(h) for h in re.findall(r'<rect .*? height="([\d.]+)"', svg)]
    assert heights[1] == pytest.approx(4 * heights[0], abs=0.1)
    assert all(f">{tick}</text>" in svg for tick in (0, 50, 100, 150, 200))


def test_what_is_in_the_way(files, tmp_path):
    (tmp_path / "report").mkdir()
    write(tmp_path / "report" / "a.txt", ["of the user"])
    with pytest.raises(FileExistsError, match="report' exists"):
        check_report(tmp_path / "report", False)
    # A folder of the user, a site with a page of that name, and a report with a file beside it.
    folders = {"a.txt": "x"}, {"index.html": "<p>My site"}, {"index.html": "", "report.md": ""}
    for i, contents in enumerate(folders):
        (tmp_path / str(i)).mkdir()
        for name, text in contents.items():
            (tmp_path / str(i) / name).write_text(text)
    mine_files(*files[:2], tmp_path / "out.tsv", files[2], report=tmp_path / "new")
    check_report(tmp_path / "new", True)
    write(tmp_path / "new" / "notes.txt", ["of the user"])
    for name in ("report", "0", "1", "2", "new"):
        with pytest.raises(FileExistsError, match=r"is not an earlier report \(index.html and"):
            mine_files(
                *files[:2], tmp_path / "out.tsv", files[2], report=tmp_path / name, overwrite=True
            )
    assert (tmp_path / "new" / "notes.txt").exists()


def test_a_report_of_no_pairs(files, tmp_path):
    options = {"options": MiningOptions(min_score=99.0), "gold": tmp_path / "de-en.gold"}
    for _ in range(2):  # and in place of an earlier report
        facts = mine_files(
            *files[:2], tmp_path / "out.tsv", files[2], report=tmp_path / "report",
            overwrite=True, **options,
        )  # fmt: skip
    assert facts["pairs"] == 0 and (tmp_path / "out.tsv").read_text() == ""
    page = Page((tmp_path / "report" / "index.html").read_text(encoding="utf-8"))
    assert page.open == [] and any("No pairs are left." in text for text in page.texts)
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "No pairs are left." in text and "score below" in text
