"""The package itself: what importing it costs, and what it offers."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import labse_tf


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
