"""The recipe of labse-mini, small: its stages, one after the other and after an interruption."""

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

import labse_tf
from tests.running import untraced
from training import recipe as shared
from training.labse_mini import __main__ as program
from training.labse_mini import stages
from training.labse_mini.development import means, measure
from training.labse_mini.settings import DataSettings, Settings, VocabularySettings
from training.labse_mini.sources import SHIPPED

FULL = Settings()
SMALL = dataclasses.replace(
    FULL,
    data=DataSettings(dictionary_entries=5, development_share=0.2),
    vocabulary=VocabularySettings(size=120),
    seq_length=16,
    hidden_size=16,
    num_layers=1,
    table=dataclasses.replace(FULL.table, steps=2, batch_size=16, warmup_steps=0),
    layers=dataclasses.replace(FULL.layers, steps=2, batch_size=8, warmup_steps=0),
)


@pytest.fixture(scope="module")
def workdir(corpora, tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "mini"
    with pytest.MonkeyPatch.context() as patch, untraced():
        patch.setattr(program, "Settings", lambda: SMALL)
        arguments = ["--data", str(corpora), "--workdir", str(path)]
        program.main([*arguments, "--until", "table"])
        program.main([*arguments, "--until", "layers"])
    return path


def test_what_the_stages_leave(workdir):
    table, layers = (labse_tf.load(workdir / name) for name in ("table", "layers"))
    assert (table.encoder.config.num_layers, layers.encoder.config.num_layers) == (0, 1)
    for model, name in ((table, "table"), (layers, "layers")):
        assert model.preprocessor.tokenization == "hugging-face"
        assert model.preprocessor.max_word_characters is None
        written = json.loads((workdir / f"{name}.json").read_text())
        assert written["means"] == pytest.approx(means(measure(model, str(workdir / "data"))))


def test_reserved_dimensions_alone_are_constant(workdir, corpora):
    """The scale is not trained, though all other weights are."""
    table = labse_tf.load(workdir / "table")
    scale = table.encoder.embeddings.layer_norm.scale.numpy()
    np.testing.assert_array_equal(scale, [0.0] + [1.0] * 15)
    recipe = stages.MiniRecipe(str(corpora), str(workdir), SMALL)
    recipe._check_dimensions(table)
    table.encoder.embeddings.layer_norm.scale.assign([0.0] * 3 + [1.0] * 13)
    with pytest.raises(ValueError, match=r"Dimensions \[0, 1, 2\] .* constant.*nothing is rele"):
        recipe._check_dimensions(table)


def test_the_measure_by_hand(workdir):
    model = labse_tf.load(workdir / "table")
    rows = {}
    for code in ("deu", "fra"):
        path = workdir / "data" / "development" / "everyday" / f"{code}-eng.tsv"
        rows[code] = [line.split("\t") for line in path.read_text().splitlines()]
    english = sorted({target for pairs in rows.values() for _, target in pairs})
    for code, pairs in rows.items():
        cosines = model.encode([s for s, _ in pairs]) @ model.encode(english).T
        right = [english[np.argmax(row)] == pair[1] for row, pair in zip(cosines, pairs)]
        found = measure(model, str(workdir / "data"))["everyday"][code]
        assert found == pytest.approx(np.mean(right))


def test_a_table_begins_the_same_every_time(workdir, corpora, monkeypatch):
    begun = []
    monkeypatch.setattr(stages.MiniRecipe, "_train", lambda self, model, *_: begun.append(model))
    for _ in range(2):
        stages.MiniRecipe(str(corpora), str(workdir), SMALL).stages["table"]()
    first, second = (model.encoder.embeddings.word.numpy() for model in begun)
    np.testing.assert_array_equal(first, second)
    assert first.std() > 0.01


def test_without_layers_the_table_is_released(workdir, corpora):
    recipe = stages.MiniRecipe(str(corpora), str(workdir), dataclasses.replace(SMALL, num_layers=0))
    assert "layers" not in recipe.stages and "layers" in stages.MiniRecipe("", "", SMALL).stages
    recipe.stages["release"]()
    assert labse_tf.load(workdir / "labse-mini").encoder.config.num_layers == 0
    shutil.rmtree(workdir / "labse-mini")


def test_the_release_is_in_int8(workdir, corpora, capsys):
    recipe = stages.MiniRecipe(str(corpora), str(workdir), SMALL)
    recipe.run("release")
    assert labse_tf.load(workdir / "labse-mini").encoder.config.num_layers == 1
    assert "layers: finished before" in capsys.readouterr().out
    served = tf.saved_model.load(str(workdir / "labse-mini"))
    assert tf.int8 in {variable.dtype for variable in served.encoder.variables}


def test_evaluation_and_card(workdir, corpora, monkeypatch):
    """Which files are evaluated, and what the card is told; both have tests of their own."""
    asked = {}

    def evaluate(arguments):
        asked["evaluation"] = arguments
        with open(arguments[arguments.index("--output") + 1], "w") as file:
            file.write("{}")

    monkeypatch.setattr(shared, "labse", evaluate)
    monkeypatch.setattr(shared, "model_card", lambda arguments: asked.update(card=arguments))
    recipe = stages.MiniRecipe(str(corpora), str(workdir), SMALL)
    recipe.run("card")
    assert asked["evaluation"][:3] == ["evaluate", str(workdir / "labse-mini"), "tatoeba"]
    assert f"retrieval={corpora}/eval/ntrex" in asked["evaluation"]
    assert os.path.exists(workdir / "evaluation.json")
    card = " ".join(asked["card"])
    assert all(source.title in card and source.licence in card for source in SHIPPED)
    assert "--languages afr amh" in card and "CeCILL" not in card
