"""Kaggle's metadata, read by the `kaggle` command's own code."""

import dataclasses
import json
import types

import pytest

from labse_tf.model_card import Claims
from labse_tf.model_card.kaggle import metadata
from tests.model_card.test_card import CLAIMS

PAGE = "# Module a/b/1\nOf it.\n\n<!-- task: x -->\n\n## Overview\n\nIt is.\n\n"
ENCODER = PAGE + "## Example use\n\nSo.\n\n## Metrics\n\nGood.\n\n## Change log\n\nNew.\n"
PREPROCESSOR = PAGE + "## Example use\n\nOr so.\n"


def facts(split):
    return types.SimpleNamespace(split=split, model=types.SimpleNamespace(dim=16))


def kaggle_reads(folder, instances):
    """What the command would send, of the model and of its instances; nothing is sent."""
    from kaggle.api.kaggle_api_extended import KaggleApi

    sent = []

    class Client:
        def __enter__(self):
            send = types.SimpleNamespace(
                create_model=sent.append, create_model_instance=sent.append
            )
            return types.SimpleNamespace(models=types.SimpleNamespace(model_api_client=send))

        def __exit__(self, *exception):
            pass

    api = KaggleApi()
    api.build_kaggle_client = Client
    api.upload_files = lambda *arguments: None
    api.with_retry = lambda call: call
    api.model_create_new(str(folder))
    for name in instances:
        api.model_instance_create(str(folder / name))
    return sent


@pytest.mark.parametrize("instances", [["release"], ["encoder", "preprocessor"]])
def test_what_the_kaggle_command_takes(tmp_path, instances):
    files = metadata(facts(len(instances) == 2), Claims(**CLAIMS), ENCODER, PREPROCESSOR)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
        json.loads(text)
    model, *sent = kaggle_reads(tmp_path / "kaggle", instances)
    assert (model.owner_slug, model.slug, model.title) == ("some-one", "labse-small", "small")
    assert model.is_private is True
    assert model.description.splitlines()[0] == "## Overview"
    assert "Metrics" in model.description and "<!--" not in model.description
    assert len(files) == 1 + len(sent) == 1 + len(instances)
    for request, name in zip(sent, instances, strict=True):
        body = request.body
        assert (request.owner_slug, request.model_slug) == (model.owner_slug, model.slug)
        assert body.instance_slug == name and body.license_name == "Apache 2.0"
        assert body.framework.name == "MODEL_FRAMEWORK_TENSOR_FLOW_2"
        assert body.fine_tunable == (name != "preprocessor")
        assert ("Or so." if name == "preprocessor" else "New.") in body.usage
        assert "Metrics" not in body.usage
    assert sent[0].body.training_data == list(CLAIMS["datasets"])


def test_a_license_that_kaggle_has_not():
    claims = dataclasses.replace(Claims(**CLAIMS), license="other")
    with pytest.raises(ValueError, match=r"`license` \(='other'\) is none that Kaggle knows: ap"):
        metadata(facts(False), claims, ENCODER, PREPROCESSOR)
