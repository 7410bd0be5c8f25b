"""The package itself: what importing it costs, and what it offers."""

import ast
import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

import labse_tf
from labse_tf.extras import install_hint
from training.labse_mini.sources import SHIPPED

ROOT = Path(labse_tf.__file__).parents[1]


@pytest.fixture(scope="module")
def metadata():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def test_hints_are_written_in_one_place(metadata):
    """No other message names a package that is on no index, nor an extra that does not exist."""
    extras = set(metadata["options.extras_require"])
    named = set()
    for room in ("labse_tf", "training", "export"):
        for path in (ROOT / room).rglob("*.py"):
            text = path.read_text()
            assert "labse_tf[" not in text, path
            named |= set(re.findall(r"""install_hint\(['"]([a-z-]+)['"]\)""", text))
    assert len(named) > 8 and named <= extras
    assert install_hint("serving").startswith("`pip install '.[serving]'`")


def test_the_wheel_has_the_licenses(metadata):
    files = metadata["metadata"]["license_files"].split()
    assert {"LICENSE", "NOTICE"} < set(files) and all((ROOT / name).is_file() for name in files)
    notice = (ROOT / "NOTICE").read_text().splitlines()
    assert [line for line in notice if line.startswith("- ")] == [
        f"- {source.title}: {source.licence}, {source.url}" for source in SHIPPED
    ]
    assert metadata["options.package_data"]["labse_tf"] == "py.typed"
    assert (ROOT / "labse_tf" / "py.typed").is_file()


@pytest.mark.parametrize(
    "found", [("Windows", "AMD64"), ("Linux", "aarch64"), ("Darwin", "x86_64")]
)
def test_another_platform(found, monkeypatch):
    monkeypatch.setattr(labse_tf.platform, "system", lambda: found[0])
    monkeypatch.setattr(labse_tf.platform, "machine", lambda: found[1])
    labse_tf._check_platform()  # tensorflow-text is installed
    monkeypatch.setattr(labse_tf.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=rf"Linux on x86-64 and macOS.*this is {found[0]} on"):
        labse_tf._check_platform()
    for supported in labse_tf._PLATFORMS:
        monkeypatch.setattr(labse_tf.platform, "system", lambda s=supported: s[0])
        monkeypatch.setattr(labse_tf.platform, "machine", lambda s=supported: s[1])
        labse_tf._check_platform()


def test_tensorflow_is_imported_when_it_is_needed():
    code = (
        "import sys, labse_tf, labse_tf.commands.main;"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules;"
        "assert labse_tf.EncoderConfig.__module__ == 'labse_tf.encoder.config';"
        "assert 'tensorflow' not in sys.modules;"
        "labse_tf.load; assert 'tensorflow' not in sys.modules;"
        "labse_tf.LaBSE; assert 'tensorflow' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names():
    """What a type checker reads is what is there."""
    tree = ast.parse(Path(labse_tf.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    declared = {alias.name: node.module for node in block.body for alias in node.names}
    assert {n: f"labse_tf.{m}" for n, m in labse_tf._MODULES.items()} == declared
    assert sorted(declared) == labse_tf.__all__ == sorted(set(dir(labse_tf)) & set(declared))
    for name, module in declared.items():
        assert getattr(labse_tf, name).__module__ == module
    with pytest.raises(AttributeError, match="no attribute 'encode'"):
        labse_tf.encode  # noqa: B018
