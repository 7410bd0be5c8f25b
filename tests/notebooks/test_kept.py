"""The notebooks of colab/ as they are kept, without running them (that is `make notebooks`)."""

import importlib.machinery
import json
import re
from pathlib import Path

import pytest

from tests.notebooks.comparing import STABLE, text_of

ROOT = Path(__file__).parents[2]
PATHS = sorted((ROOT / "colab").glob("*.ipynb"))
LARGEST = 600_000  # bytes of a file, most of which are pictures


def cells(path, kind):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def source(cell):
    return "".join(cell["source"])


def test_there_are_four():
    names = ["embed_and_search", "fine_tune", "mine_bitext", "serve"]
    assert [path.stem for path in PATHS] == names


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
class TestNotebook:
    def test_the_badge_opens_this_file(self, path):
        badge = re.findall(r"colab\.research\.google\.com/github/\S+(?=\))", source(
            cells(path, "markdown")[0]
        ))  # fmt: skip
        assert len(badge) == 1 and badge[0].endswith(f"/blob/main/colab/{path.name}")

    def test_outputs_are_kept(self, path):
        code = cells(path, "code")
        assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
        stable = [cell for cell in code if STABLE in cell["metadata"].get("tags", ())]
        assert len(stable) >= 3 and all(text_of(cell) for cell in stable)
        kinds = {output["output_type"] for cell in code for output in cell["outputs"]}
        names = {output.get("name") for cell in code for output in cell["outputs"]}
        assert "error" not in kinds and "stderr" not in names
        assert path.stat().st_size < LARGEST

    def test_links_lead_to_files(self, path):
        text = "\n".join(map(source, cells(path, "markdown")))
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            assert target.startswith("https://") or (path.parent / target).exists(), target


def test_the_install_cell_is_the_same():
    first = {source(cells(path, "code")[0]) for path in PATHS}
    assert len(first) == 1
    (code,) = first
    (repository,) = re.findall(r'REPOSITORY = "https://github\.com/(.+)"', code)
    badges = [source(cells(path, "markdown")[0]) for path in PATHS]
    assert all(f"/github/{repository}/blob/" in badge for badge in badges)
    pinned = re.findall(r"tensorflow ~=(\S+)", (ROOT / "setup.cfg").read_text(encoding="utf-8"))
    assert set(re.findall(r"~=(\d+\.\d+\.\d+)", code)) == set(pinned)


@pytest.mark.parametrize("folder", ["colab", "elsewhere"])
def test_the_install_cell_finds_the_sample_after_an_installation(folder, tmp_path, monkeypatch):
    """`pip install .` copies labse_tf to a place that has no training/sample."""
    (code,) = {source(cells(path, "code")[0]) for path in PATHS}
    repository, site = tmp_path / "clone", tmp_path / "site-packages"
    for where in (repository / "colab", repository / "training" / "sample", tmp_path / "elsewhere"):
        where.mkdir(parents=True)
    spec = importlib.machinery.ModuleSpec("labse_tf", None)
    spec.origin = str(site / "labse_tf" / "__init__.py")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    commands = []
    monkeypatch.setattr("subprocess.run", lambda command, **_: commands.append(command))
    monkeypatch.chdir(repository / "colab" if folder == "colab" else tmp_path / "elsewhere")
    names = {}
    exec(code, names)
    if folder == "colab":
        assert names["SAMPLE"] == repository / "training" / "sample" and not commands
    else:
        assert names["SAMPLE"] == tmp_path / "elsewhere" / "labse-tf" / "training" / "sample"
        (command,) = commands
        assert command[:2] == ["git", "clone"] and command[-1] == names["CLONE"]
