"""The page of the experiments says what the programs printed, and that is what was measured."""

import json
import statistics
from pathlib import Path

import pytest

from training.experiments.report import render_table

FOLDER = Path(__file__).parents[2] / "training" / "experiments"
EXPERIMENTS = ("pretraining", "margin", "cross_replica", "hard_negatives", "growing")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_table_is_of_its_results(name):
    results = json.loads((FOLDER / "results" / name / "results.json").read_text())
    table = (FOLDER / "results" / name / "table.md").read_text()
    assert render_table(results) + "\n" == table
    assert results["command"].startswith(f"python -m training.experiments.{name} ")
    assert len(results["languages"]) >= 13 and len(results["seeds"]) >= 2
    rows = table.split("\n\n")[1]
    page = (FOLDER / "README.md").read_text()
    assert rows in page and f"](results/{name}/plot.png)" in page
    lines = [line.strip("|").split("|") for line in rows.splitlines()[2:]]
    assert len(lines) == len(results["runs"])
    # The first column anew, from the languages.
    for line, run in zip(lines, results["runs"], strict=True):
        means = [100 * statistics.mean(m["languages"].values()) for m in run["measured"]]
        assert line[0].strip() == run["name"] and len(means) == len(results["seeds"])
        mean, spread = map(float, line[1].split("±"))
        assert mean == pytest.approx(statistics.mean(means), abs=0.006)
        assert spread == pytest.approx(statistics.stdev(means), abs=0.006)
    png = (FOLDER / "results" / name / "plot.png").read_bytes()
    assert png.startswith(b"\x89PNG\r\n") and len(png) < 100_000
