"""Every command and every piece of Python in a README runs, small; what READMEs name is there.

A command is taken as it stands: bash reads it, and the program's own parser its flags; their
numbers are then made small (tests/readme/shrinking.py). tests/readme/not_run.py lists what is not
run.
"""

import configparser
import importlib
import importlib.util
import re
from pathlib import Path

import pytest

from labse_tf.commands.main import main as labse
from labse_tf.serving.directory import add_version
from tests.benchmark.speed_report import check_markers
from tests.readme.inputs import write_inputs
from tests.readme.not_run import NOT_RUN, RUN_ON_ITS_PAGE
from tests.readme.pages import ROOT, blocks, commands, links, named, pages
from tests.readme.sandbox import Sandbox, words_of
from tests.running import call
from tests.serving.model_server import Models, ModelServer

README = Path("README.md")
# What a page takes for granted, and another page tells how to make.
BEFORE = {
    "export/README.md": "python -m training.dual_encoder --pairs dev.tsv --init release "
    "--workdir run",
    "labse_tf/conversion/README.md": "cp -r release labse",
}


@pytest.fixture(scope="module")
def server(release, tmp_path_factory):
    directory = tmp_path_factory.mktemp("served")
    add_version(release, directory)
    with ModelServer(Models(directory)) as server:
        yield server


@pytest.mark.parametrize("page", pages(), ids=str)
def test_code_runs(page, release, server, tmp_path, monkeypatch):
    write_inputs(tmp_path, release)
    sandbox = Sandbox(tmp_path, server, monkeypatch, page)
    if before := BEFORE.get(str(page)):
        sandbox.shell(before)
    for block in blocks(page):
        try:
            output = getattr(sandbox, block.language)(block.text)
        except Exception as error:
            pytest.fail(f"{block.place}:\n{block.text}\n{type(error).__name__}: {error}")
        if block.output is not None:
            assert words_of(output) == words_of(block.output), block.place


def test_what_is_not_run_occurs_and_is_elsewhere():
    occurring = [command for page in pages() for _, command in commands(page)]
    for entry in NOT_RUN:
        assert any(command.startswith(entry.begins) for command in occurring), entry
        assert entry.text in (ROOT / entry.where).read_text(encoding="utf-8"), entry
    of_root = [command for _, command in commands(README)]
    for begin in RUN_ON_ITS_PAGE:
        assert any(command.startswith(begin) for command in of_root), begin
    benchmarks = {command.split()[2] for command in occurring if " tests.benchmark" in command}
    in_makefile = re.findall(r"-m (tests\.benchmark\S*)", (ROOT / "Makefile").read_text())
    assert benchmarks <= set(in_makefile) and "tests.benchmark.speed" in benchmarks


def test_each_row_of_the_root_has_its_command_on_its_page():
    rows = re.findall(r"^\| .* \| `(.*)` \| \[.*\]\((.*)\) \|$", (ROOT / README).read_text(), re.M)
    assert len(rows) > 15
    for command, page in rows:
        if command != 'hub.load("release")':
            programs = [program_of(other) for _, other in commands(Path(page))]
            assert program_of(command) in programs, command


def program_of(command):
    """As ["labse", "encode"] or ["python", "-m", "training.pretrain"]."""
    return command.split()[: 3 if command.startswith("python -m") else 2]


def test_links_and_names_exist():
    for page in pages():
        for place, target in links(page):
            assert (ROOT / page.parent / target).exists(), f"{place}: {target}"
        for place, path in named(page, "path"):
            assert list(ROOT.glob(path.rstrip("/"))), f"{place}: {path}"
        for place, name in named(page, "module"):
            assert resolves(name), f"{place}: {name}"


def resolves(name):
    """Whether it is a module, or an attribute in one."""
    module, parts = name.split(".")[0], name.split(".")[1:]
    while parts and importlib.util.find_spec(f"{module}.{parts[0]}"):
        module = f"{module}.{parts.pop(0)}"
        if not importlib.util.find_spec(module).submodule_search_locations:
            break
    if not parts:
        return True
    found = importlib.import_module(module)
    for part in parts:
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


def test_flags_exist():
    programs = [
        f"{folder.replace('/', '.')}.{path.stem}"
        for folder in (
            "training",
            "training/experiments",
            "training/labse_mini",
            "training/labse_small",
            "export",
        )
        for path in (ROOT / folder).glob("*.py")
        if "run_program(main)" in path.read_text(encoding="utf-8")
    ]
    assert len(programs) > 10
    helps = [call(importlib.import_module(program).main, "--help") for program in programs]
    for command in (
        "encode",
        "client",
        "evaluate",
        "mine",
        "crawl",
        "similarity",
        "convert",
        "prune",
    ):
        helps.append(call(labse, command, "--help"))
    known = {flag for text in helps for flag in re.findall(r"--[a-z][\w-]*", text)}
    for page in pages():
        for place, flag in named(page, "flag"):
            assert flag in known, f"{place}: {flag}"


def test_extras_exist():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    known = setup["options.extras_require"]
    for page in pages():
        for extra in re.findall(r"\.\[([\w-]+)\]'", (ROOT / page).read_text(encoding="utf-8")):
            assert extra in known, f"{page}: {extra}"


def test_the_root_is_one_screen():
    assert len((ROOT / README).read_text(encoding="utf-8").splitlines()) <= 200


def test_the_speed_benchmark_finds_its_page():
    (page,) = re.findall(r"--readme (\S+)", (ROOT / "Makefile").read_text())
    check_markers(ROOT / page)


def test_nothing_is_overlooked(tmp_path):
    page = tmp_path / "README.md"
    text = "`labse encode a.txt`\n\n```shell\nmake \\\n  x\n```\n\n```python\nprint(1)\n```\n"
    text += "\n```text\n1\n```\n\n```console\n$ labse prune \\\n    a\nb\n```\n"
    page.write_text(text)
    found = [(b.place.rpartition(":")[2], b.language, b.text, b.output) for b in blocks(page)]
    assert found == [
        ("1", "shell", "labse encode a.txt\n", None),
        ("3", "shell", "make \\\n  x\n", None),
        ("8", "python", "print(1)\n", "1\n"),
        ("16", "shell", "labse prune \\\n    a\n", "b\n"),
    ]
    assert [c for _, c in commands(page)] == ["labse encode a.txt", "make x", "labse prune a"]
    page.write_text("```text\n$ labse encode a\n```\n")
    with pytest.raises(ValueError, match=r"a command in a block of text: .* labse enc"):
        blocks(page)
    page.write_text("```\nlabse encode a\n```\n")
    with pytest.raises(ValueError, match="a block of '', which is none of"):
        blocks(page)


@pytest.mark.parametrize(
    "command, message",
    [
        ("python -m export.absent x", "No module named 'export.absent'"),
        ("labse encode a --no-such-flag", "unrecognized arguments|required: --output"),
        ("python -m training.dual_encoder --pairs x --init release --workdir r --margin -1",
         r"`margin` \(=-1.0\) must be"),
        ("git status now", "cannot run this; nor is it in"),
        ("false | cat", "status 1"),
        ("curl-of-tests", "command not found"),
    ],
)  # fmt: skip
def test_what_does_not_run_fails(command, message, tmp_path, monkeypatch, server):
    with pytest.raises(AssertionError, match=message):
        Sandbox(tmp_path, server, monkeypatch, README).shell(command)
