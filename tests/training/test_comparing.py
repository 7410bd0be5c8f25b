"""What a run that is started again must share, and that it is alone in its directory."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import pytest

from labse_tf.files.locks import lock_directory
from labse_tf.training.comparing import differences
from labse_tf.training.fine_tuning import fine_tune
from labse_tf.training.run_directory import listed, settings_of
from tests.training.runs import CONFIG


def run_of(config, **files):
    return {"settings": json.loads(json.dumps(settings_of(config, **files))), "system": {}}


def test_one_path_needs_no_list(pairs):
    assert listed("a.tsv") == listed(Path("a.tsv")) == listed([Path("a.tsv")]) == ["a.tsv"]
    assert settings_of(CONFIG, pairs=pairs) == settings_of(CONFIG, pairs=[Path(pairs)])


def test_what_changes_no_weight_may_change(pairs, tmp_path):
    """And neither an older version, nor another place of the same files, is another run."""
    before = run_of(CONFIG, pairs=pairs, held_out=pairs)
    free = dict(
        checkpoint_every=1, keep_checkpoints=9, report_every=7, evaluate_every=1, chunk_size=2
    )
    moved = str(shutil.copy(pairs, tmp_path / "moved.tsv"))
    now = run_of(dataclasses.replace(CONFIG, **free), pairs=moved, held_out=())
    assert differences(before, now) == []
    # Where measurements decide the end, they are the run's.
    patient = run_of(dataclasses.replace(CONFIG, patience=1), pairs=pairs, held_out=pairs)
    rarely = dataclasses.replace(CONFIG, patience=1, evaluate_every=1)
    assert differences(patient, run_of(rarely, pairs=pairs, held_out=pairs)) == [
        "settings.evaluate_every was 500, now 1"
    ]
    older = json.loads(json.dumps(before))
    for name in ("bidirectional", "mask_duplicates", "evaluate_every", "checksums"):
        del older["settings"][name]
    older["settings"] |= {"row_sparse": True, "gone": False}
    assert differences(older, before) == []
    older["settings"] |= {"gone": 3}
    one_way = dataclasses.replace(CONFIG, bidirectional=False)
    assert differences(older, run_of(one_way, pairs=moved, held_out=pairs)) == [
        "settings.bidirectional was True, now False",
        "settings.gone was 3, now None",
        f"settings.pairs was {[os.path.abspath(pairs)]}, now {[moved]}",
    ]


def test_files_of_another_content_are_another_run(pairs, tmp_path):
    path = str(shutil.copy(pairs, tmp_path / "a.tsv"))
    before = run_of(CONFIG, pairs=[pairs, path])
    with open(path, "a") as file:
        file.write("the\tcat\n")
    now = run_of(CONFIG, pairs=[pairs, path])
    assert differences(before, now) == [f"settings.pairs: {path!r} has another content"]
    assert differences(before, run_of(CONFIG, pairs=[pairs])) == [
        f"settings.pairs was {[os.path.abspath(pairs), path]}, now {[os.path.abspath(pairs)]}"
    ]


def test_one_process_at_a_time(new_model, pairs, tmp_path):
    config = dataclasses.replace(CONFIG, steps=0)
    with (
        lock_directory(tmp_path, "trains"),
        pytest.raises(BlockingIOError, match=r"Another process trains in .*Wait until it ends"),
    ):
        fine_tune(new_model(0), pairs, config, tmp_path)
