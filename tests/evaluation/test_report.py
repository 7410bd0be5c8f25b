"""Reports: every figure of the results stands in them, and differences have the right sign."""

import errno
import html.parser
import re
import sys

import numpy as np
import pytest

from labse_tf.evaluation.report import write as report
from labse_tf.evaluation.report.write import write_report
from labse_tf.extras import install_hint
from labse_tf.files import atomic
from tests.report_results import CODES, result, written


def markdown_tables(text):
    """Of each heading `## ...`, the rows of its first table, as lists of cells."""
    tables = {}
    for block in text.split("\n## ")[1:]:
        rows = [line.strip("| ").split(" | ") for line in block.splitlines() if line[:1] == "|"]
        tables[block.splitlines()[0]] = rows
    return tables


class Cells(html.parser.HTMLParser):
    """Rows of the tables of figures, as (texts, data-value attributes, classes)."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.links, self._cell = [], [], None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.links += [attributes[a] for a in ("src", "href") if attributes.get(a)]
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td") and self.rows:
            self._cell = ["", attributes.get("data-value"), attributes.get("class", "")]
            self.rows[-1].append(self._cell)

    def handle_endtag(self, tag):
        if tag in ("th", "td"):
            self._cell = None

    def handle_data(self, data):
        if self._cell is not None:
            self._cell[0] += data


def first_rows(page):
    """Rows by part, of the first table that has it: the Tatoeba test's."""
    rows = {}
    for row in Cells(page).rows:
        rows.setdefault(row[0][0], row)
    return rows


def page_of(tmp_path, *results):
    names = write_report(written(tmp_path, *results), tmp_path / "report")
    assert names == [str(tmp_path / f"report.{ending}") for ending in ("html", "md", "png")]
    texts = [open(name, encoding="utf-8").read() for name in names[:2]]
    return texts[0], texts[1], names[2]


def test_every_figure_of_one_model(tmp_path):
    one = result()
    page, text, _ = page_of(tmp_path, one)
    rows = first_rows(page)
    table = markdown_tables(text)["tatoeba"]
    assert table[0] == ["part", "script", "accuracy", "accuracy, LaBSE", "to eng"]
    markdown = {row[0].strip("*"): row for row in table[2:]}
    figures = one["benchmarks"][0]["figures"]
    for code, script in CODES.items():
        accuracy, to = (figures[f"{code}/{metric}"] for metric in ("accuracy", "to eng"))
        shown = [f"{100 * accuracy:.1f}", "", f"{100 * to:.1f}"]
        assert markdown[code] == [code, script, *shown]
        assert [cell[0] for cell in rows[code]] == [code, script, *shown]
        assert float(rows[code][2][1]) == accuracy
    # 0.9, 0.8, 0.7, 0.6, 0.5; the published figure stands beside the mean.
    assert markdown["mean of 5"][2:4] == ["70.0", "83.7"]
    assert [cell[0] for cell in rows["mean of 5"]][2:4] == ["70.0", "83.7"]
    mining = markdown_tables(text)["mining"]
    assert mining[2] == ["de-en, ratio, mutual", "60.0", "1.2346"]


def test_differences_and_what_is_better(tmp_path):
    page, text, _ = page_of(tmp_path, result(), result("model two", shift=0.04))
    rows = first_rows(page)
    table = markdown_tables(text)["tatoeba"]
    assert table[0][2:6] == ["accuracy, A", "accuracy, B", "accuracy, B - A", "accuracy, LaBSE"]
    by_part = {row[0]: row for row in table[2:]}
    assert by_part["deu"][2:5] == ["90.0", "90.0", "0.0"]
    assert by_part["fra"][2:5] == ["80.0", "76.0", "-4.0"]
    assert "worse" in rows["fra"][4][2] and rows["fra"][4][0] == "−4.0"
    assert not re.search("worse|better", rows["deu"][4][2])
    (ntrex,) = (v for k, v in markdown_tables(text).items() if k == "retrieval (ntrex)")
    assert ntrex[0][4] == "xsim error to eng, A (lower is better)"
    part = next(row for row in ntrex if row[0] == "rus")
    assert part[1:] == ["60.0", "64.0", "+4.0", "40.0", "36.0", "-4.0"]
    last = [row for row in Cells(page).rows if row and row[0][0] == "rus"][1]
    assert "better" in last[3][2] and "better" in last[6][2]  # a smaller error is better


def test_a_figure_that_one_model_lacks(tmp_path):
    two = result("two")
    del two["benchmarks"][0]["figures"]["fra/accuracy"]
    two["benchmarks"].pop()
    page, text, _ = page_of(tmp_path, result(), two)
    by_part = {row[0]: row for row in markdown_tables(text)["tatoeba"][2:]}
    assert by_part["fra"][2:5] == ["80.0", "–", "–"]
    assert "Not measured: B." in text and "Not measured: B." in page


def test_directories_are_kept_apart_and_failures_are_told(tmp_path):
    page, text, _ = page_of(tmp_path, result())
    assert markdown_tables(text)["retrieval (flores)"][2] == ["deu", "25.0"]
    assert len(markdown_tables(text)["retrieval (ntrex)"]) > 2
    assert "**xyz**: tatoeba.xyz-eng.eng has 12 lines, but &lt;13&gt; were expected" in text
    assert "<b>xyz</b>: tatoeba.xyz-eng.eng has 12 lines, but &lt;13&gt; were" in page


def test_what_users_wrote_is_text(tmp_path):
    name = '<script>alert(1)</script> & | `x` "q"'
    page, text, _ = page_of(tmp_path, result(name))
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in text.replace("```", "").split("labse evaluate")[0]
    assert page.count("<script>") == 1 and "tee &lt;log&gt;" in page
    links = Cells(page).links
    assert links and all(link.startswith(("#", "data:")) for link in links)
    assert "http" not in re.sub(r"http-equiv", "", page)


def test_heat_map(tmp_path):
    page, text, _ = page_of(tmp_path, result())
    grid = markdown_tables(text)["retrieval (ntrex)"][-6:]
    assert grid[1:] != [] and [row[0] for row in grid[-5:]] == list(CODES)
    assert next(row for row in grid if row[0] == "rus")[1:] == ["20.0", "22.0", "–", "26.0", "28.0"]
    assert page.count('class="cells"') == 1
    other = result("other")
    other["benchmarks"][1]["figures"] = {"deu/P@1 to eng": 0.5}
    (tmp_path / "other").mkdir()
    assert page_of(tmp_path / "other", result(), other)[0].count('class="cells"') == 1
    large = result()
    codes = [f"l{i:02}" for i in range(30)]
    large["benchmarks"][1]["figures"] = {
        f"{a}>{b}/P@1": 0.5 for a in codes for b in codes if a != b
    }
    (tmp_path / "large").mkdir()
    _, text, _ = page_of(tmp_path / "large", large)
    assert "from 30 to 30 languages is not shown here" in text


def test_heat_maps_of_all_models_share_one_scale(tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    maps, imshow = [], Axes.imshow

    def recorded(*arguments, **options):
        maps.append(imshow(*arguments, **options))
        return maps[-1]

    monkeypatch.setattr(Axes, "imshow", recorded)
    two = result("two")
    figures = two["benchmarks"][1]["figures"]
    figures |= {key: value + 0.4 for key, value in figures.items() if ">" in key}
    page, _, _ = page_of(tmp_path, result(), two)
    values = [image.get_array() for image in maps]
    low, high = min(v.min() for v in values), max(v.max() for v in values)
    assert [image.get_clim() for image in maps] == [pytest.approx((low, high))] * 2
    # As on the page, whose scales' ends are told.
    ends = re.findall(r'class="scale"><span>([\d.]+)</span>.*?<span>([\d.]+)</span>', page)
    assert ends[:2] == [(f"{low:.1f}", f"{high:.1f}")] * 2


def test_picture_has_the_bars_colours(tmp_path):
    from matplotlib.image import imread

    _, _, name = page_of(tmp_path, result(), result("two", 0.04))
    pixels = np.round(imread(name)[:, :, :3] * 255).astype(int)
    assert pixels.shape[0] > 800 and pixels.shape[1] == 1430
    colours = {tuple(c) for c in pixels.reshape(-1, 3)}
    # Latin, Cyrillic, Greek and Han have a colour each, and the heat map's ends are there.
    for colour in ("0077bb", "cc5500", "117733", "aa4499", "440154", "fde725"):
        assert tuple(int(colour[i : i + 2], 16) for i in (0, 2, 4)) in colours, colour
    # The longest bar is of 90: 5 bars of Latin's colour are as wide as 90 and 80 are.
    blue = (pixels == (0x00, 0x77, 0xBB)).all(axis=2).sum(axis=1)
    widths = sorted({int(w) for w in blue if w > 300})
    assert widths[-1] / widths[0] == pytest.approx(90 / 80, rel=0.05)


def test_bad_input(tmp_path):
    with pytest.raises(ValueError, match="no results to report"):
        write_report([], tmp_path / "report")
    with pytest.raises(FileNotFoundError, match="no directory to write"):
        write_report(written(tmp_path, result()), tmp_path / "absent" / "report")


def test_nothing_is_overwritten_or_half_written(tmp_path, monkeypatch):
    paths = written(tmp_path, result())
    (tmp_path / "report.md").write_text("kept")
    with pytest.raises(FileExistsError, match=r"report\.md"):
        write_report(paths, tmp_path / "report")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.json", "report.md"]
    with monkeypatch.context() as patch:
        patch.setattr(report, "render_png", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write_report(paths, tmp_path / "report", overwrite=True)
    assert (tmp_path / "report.md").read_text() == "kept"
    write_report(paths, tmp_path / "report", overwrite=True)
    assert (tmp_path / "report.md").read_text().startswith("# Evaluation of model one")
    assert len(list(tmp_path.iterdir())) == 4


def test_a_full_disk_leaves_no_part_of_a_report(tmp_path, monkeypatch):
    paths, synced = written(tmp_path, result()), []

    def fsync(descriptor, path):
        synced.append(path)
        if len(synced) == 3:
            raise OSError(errno.ENOSPC, "No space left on device", path)

    monkeypatch.setattr(atomic, "_fsync", fsync)
    with pytest.raises(OSError, match=r"No space left on device: '.*report.png'"):
        write_report(paths, tmp_path / "report")
    assert [path.name for path in tmp_path.iterdir()] == ["0.json"]


def test_without_matplotlib_there_is_no_picture(tmp_path, monkeypatch, caplog):
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    names = write_report(written(tmp_path, result()), tmp_path / "report")
    assert names == [f"{tmp_path}/report.html", f"{tmp_path}/report.md"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.json", "report.html", "report.md"]
    assert "report.png" not in (tmp_path / "report.md").read_text()
    assert caplog.messages == [
        f"{tmp_path}/report.png is not written, since it needs matplotlib: "
        + install_hint("evaluation")
    ]
