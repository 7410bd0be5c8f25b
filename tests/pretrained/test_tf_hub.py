"""TF-Hub's LaBSE, written by the Model Garden's own code: the same numbers here."""

import http.server
import os
import subprocess
import tarfile
import threading

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import labse_tf
from labse_tf.pretrained import hugging_face
from tests import model_garden as garden
from tests.conftest import SENTENCES


def erf_gelu(x):
    return tf_keras.activations.gelu(x, approximate=False)


@pytest.fixture(scope="module")
def config(vocab_size):
    return garden.bert_config(vocab_size)


def as_list(inputs):
    return [inputs[name] for name in garden.INPUTS]


def assert_same_numbers(ours, path, vocab_file, lower_case=False):
    """Ours against the SavedModel as TensorFlow itself loads and runs it."""
    theirs = tf.saved_model.load(str(path))
    inputs = garden.packed(SENTENCES, vocab_file, lower_case=lower_case)
    for name, ids in ours.preprocessor(tf.constant(SENTENCES)).items():
        np.testing.assert_array_equal(ids, inputs[name])
    inputs = garden.with_both_types(inputs)
    assert {0, 1} == set(inputs["input_type_ids"].numpy().ravel())
    expected, outputs = theirs(as_list(inputs)), ours.encoder(inputs)
    if isinstance(expected, list):
        expected = dict(zip(("pooled_output", "sequence_output"), expected, strict=True))
    assert np.ptp(expected["pooled_output"].numpy(), axis=0).max() > 0.1
    np.testing.assert_allclose(
        outputs["sequence_output"], expected["sequence_output"], atol=1e-5, rtol=0
    )
    pooled = [tf.math.l2_normalize(x["pooled_output"], axis=1) for x in (outputs, expected)]
    np.testing.assert_allclose(*pooled, atol=1e-5, rtol=0)
    return outputs["pooled_output"], expected["pooled_output"]


def test_version_2(hub_model, vocab_file, vocab_size):
    model = labse_tf.load(hub_model)
    config = model.encoder.config
    assert config == labse_tf.EncoderConfig(
        vocab_size=vocab_size, hidden_size=24, num_layers=2, num_heads=4, intermediate_size=40,
        max_positions=32, activation="gelu_tanh",
    )  # fmt: skip
    np.testing.assert_allclose(
        *assert_same_numbers(model, hub_model, vocab_file), atol=1e-5, rtol=0
    )
    # What a user of TF-Hub computes, normalised, is what `encode` gives.
    theirs = tf.saved_model.load(str(hub_model))
    inputs = model.preprocessor(tf.constant(SENTENCES))
    expected = tf.math.l2_normalize(theirs(as_list(inputs))["pooled_output"], axis=1)
    np.testing.assert_allclose(model.encode(SENTENCES), expected, atol=1e-5, rtol=0)


def test_normalized_is_normalised_once(config, vocab_file, tmp_path):
    encoder = garden.make_encoder(config)
    garden.export_for_tf_hub(encoder, vocab_file, tmp_path / "model", normalize=True)
    model = labse_tf.load(tmp_path / "model")
    _, expected = assert_same_numbers(model, tmp_path / "model", vocab_file)
    np.testing.assert_allclose(np.linalg.norm(expected, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(model.encode(SENTENCES), axis=1), 1, atol=1e-6)


def test_version_1(config, vocab_file, tmp_path):
    garden.export_as_version_1(garden.make_encoder(config), vocab_file, tmp_path / "model")
    assert_same_numbers(labse_tf.load(tmp_path / "model"), tmp_path / "model", vocab_file)


@pytest.mark.parametrize(("activation", "name"), [(erf_gelu, "gelu"), (tf.nn.relu, "relu")])
def test_other_activations_are_seen_in_the_graph(
    config, vocab_file, tmp_path, activation, name, monkeypatch
):
    monkeypatch.setattr(garden.bert_models.tf_utils, "get_activation", lambda _: activation)
    garden.export_for_tf_hub(garden.make_encoder(config), vocab_file, tmp_path / "model")
    model = labse_tf.load(tmp_path / "model")
    assert model.encoder.config.activation == name
    assert_same_numbers(model, tmp_path / "model", vocab_file)


def test_unknown_activation(config, vocab_file, tmp_path, monkeypatch):
    monkeypatch.setattr(garden.bert_models.tf_utils, "get_activation", lambda _: tf.nn.elu)
    garden.export_for_tf_hub(garden.make_encoder(config), vocab_file, tmp_path / "model")
    with pytest.raises(ValueError, match="activation is neither gelu"):
        labse_tf.load(tmp_path / "model")


def test_lower_case(config, vocab_file, tmp_path):
    encoder = garden.make_encoder(config)
    garden.export_for_tf_hub(encoder, vocab_file, tmp_path / "model", do_lower_case=True)
    model = labse_tf.load(tmp_path / "model")
    assert model.preprocessor.lower_case
    assert_same_numbers(model, tmp_path / "model", vocab_file, lower_case=True)


def test_norm_first_is_refused(config, vocab_file, tmp_path):
    from official.nlp.modeling.networks import BertEncoder

    encoder = BertEncoder(
        vocab_size=config.vocab_size, hidden_size=24, num_layers=1, num_attention_heads=4,
        max_sequence_length=32, type_vocab_size=2, inner_dim=40, norm_first=True,
    )  # fmt: skip
    garden.export_for_tf_hub(encoder, vocab_file, tmp_path / "model")
    with pytest.raises(ValueError, match="norm_first"):
        labse_tf.load(tmp_path / "model")


def test_a_model_without_its_parts(config, vocab_file, hub_model, tmp_path):
    def broken(name, *command):
        subprocess.run(["cp", "-r", str(hub_model), str(tmp_path / name)], check=True)
        subprocess.run(["sh", "-c", " ".join(command)], cwd=tmp_path / name, check=True)
        return tmp_path / name

    for name, command, said in (
        ("graph", "truncate -s 5000 saved_model.pb", "not a whole SavedModel"),
        (
            "data",
            "truncate -s -99 variables/variables.data*",
            "not a whole TensorFlow 2 checkpoint",
        ),
        (
            "byte",
            "printf x | dd of=$(ls variables/variables.data*) bs=1 seek=5000 conv=notrunc",
            "cannot read",
        ),
        ("index", "rm variables/variables.index", "not a whole TensorFlow 2 checkpoint"),
    ):
        with pytest.raises(ValueError, match=said) as error:
            labse_tf.load(broken(name, command))
        assert str(tmp_path / name) in str(error.value)
    with pytest.raises(FileNotFoundError, match=r"vocab.*txt"):
        labse_tf.load(broken("vocabulary", "rm assets/*"))
    model = labse_tf.load(tmp_path / "vocabulary", vocab_file=vocab_file)
    with open(vocab_file, "rb") as file:
        assert model.preprocessor.vocabulary == file.read()
    short = tmp_path / "short.txt"
    short.write_text("".join(open(vocab_file, encoding="utf-8").readlines()[:-3]))
    with pytest.raises(ValueError, match=f"{config.vocab_size - 3} tokens.*{config.vocab_size}"):
        labse_tf.load(hub_model, vocab_file=short)


def test_no_encoder_of_ours(tmp_path):
    model = tf_keras.Sequential([tf_keras.layers.Dense(3, input_shape=[2])])
    model.save(str(tmp_path / "model"), save_format="tf")
    with pytest.raises(ValueError, match=r"one variable 'word_embeddings/embeddings'.*dense"):
        labse_tf.load(tmp_path / "model")


# Archives and handles.


@pytest.fixture(scope="module")
def archive(hub_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "labse.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(hub_model, arcname=".")
    return path


def test_an_archive(archive, hub_model, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    model = labse_tf.load(archive)
    np.testing.assert_array_equal(
        model.encode(SENTENCES), labse_tf.load(hub_model).encode(SENTENCES)
    )
    # Of what was unpacked nothing stays, and the model can be written.
    assert not list(tmp_path.glob("labse_tf-*"))
    hugging_face.write(tmp_path / "written", model.preprocessor, model.encoder)


def add_member(path, name, kind=tarfile.REGTYPE):
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member)


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("../outside", tarfile.REGTYPE, "leads out"),
        ("a/../../outside", tarfile.REGTYPE, "leads out"),
        ("/tmp/labse_tf-outside", tarfile.REGTYPE, "leads out"),
        ("link", tarfile.SYMTYPE, "neither file nor directory"),
        ("link", tarfile.LNKTYPE, "neither file nor directory"),
        ("pipe", tarfile.FIFOTYPE, "neither file nor directory"),
    ],
)
def test_an_archive_cannot_write_outside(tmp_path, monkeypatch, name, kind, said):
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(inside))
    add_member(tmp_path / "evil.tar.gz", name, kind)
    with pytest.raises(ValueError, match=said):
        labse_tf.load(tmp_path / "evil.tar.gz")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["evil.tar.gz", "inside"]
    assert not os.path.lexists("/tmp/labse_tf-outside")


def test_a_python_without_extraction_filters(archive, monkeypatch):
    monkeypatch.delattr(tarfile, "data_filter")
    with pytest.raises(ImportError, match=r"needs .* Python 3\.10\.12, 3\.11\.4 or newer"):
        labse_tf.load(archive)


def test_half_an_archive(archive, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    whole = archive.read_bytes()
    for share in (0, 0.1, 0.5, 0.99):
        (tmp_path / "half.tar.gz").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ValueError, match=r"half\.tar\.gz"):
            labse_tf.load(tmp_path / "half.tar.gz")
    assert [p.name for p in tmp_path.iterdir()] == ["half.tar.gz"]


@pytest.fixture
def server(archive, tmp_path, monkeypatch):
    """A server on this machine with an archive, half of one, and nothing else."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    whole = archive.read_bytes()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            path = self.path.split("?")[0]
            if path not in ("/labse", "/half"):
                return self.send_error(404)
            self.send_response(200)
            self.send_header("Content-Length", str(len(whole)))
            self.end_headers()
            self.wfile.write(whole if path == "/labse" else whole[: len(whole) // 2])

        def log_message(self, *_):
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, args=[0.02])
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def test_a_handle(server, hub_model, tmp_path):
    model = labse_tf.load(f"{server}/labse")
    np.testing.assert_array_equal(
        model.encode(SENTENCES), labse_tf.load(hub_model).encode(SENTENCES)
    )
    assert list((tmp_path / "cache").glob("*/saved_model.pb"))


def test_a_handle_that_fails(server, tmp_path):
    with pytest.raises(OSError, match=r"/absent.*404"):
        labse_tf.load(f"{server}/absent")
    with pytest.raises(OSError, match="/half"):
        labse_tf.load(f"{server}/half")
    with pytest.raises(OSError, match="/half"):  # nothing half of it was kept
        labse_tf.load(f"{server}/half")
    with pytest.raises(OSError, match=r"127.0.0.1:9/.*online"):
        labse_tf.load("http://127.0.0.1:9/labse")  # nobody listens there
