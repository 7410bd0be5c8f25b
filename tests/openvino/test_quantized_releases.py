"""labse quantize: from a release and text to a release with kernels in 8 bits."""

import os
import shutil
import tarfile

import numpy as np
import pytest

import labse_tf
from labse_tf.commands.main import main
from labse_tf.conversion import quantized_releases
from labse_tf.conversion.formats import convert
from labse_tf.conversion.quantized_releases import quantize
from labse_tf.inference.light import LightLaBSE
from labse_tf.inference.model import LaBSE
from labse_tf.openvino.kernel_file import KERNEL_FILE
from labse_tf.pretrained import hugging_face
from tests.conftest import SENTENCES
from tests.models import SEQ_LENGTH
from tests.running import call

pytestmark = pytest.mark.filterwarnings("ignore:.*(were cut|nothing but)")
TEXTS = [f"{a} {b}" for a in SENTENCES for b in ("Tom", "the cat", "green", "What time is it?")]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "corpus.txt"
    path.write_text("\n".join([*TEXTS, "", *TEXTS]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def quantized(release, corpus, tmp_path_factory):
    path = tmp_path_factory.mktemp("quantized") / "release"
    quantize(release, path, [corpus])
    return path


def are_close(rows, expected):
    cosines = np.sum(rows * expected, axis=1)
    return cosines.min() > 0.98 and np.median(cosines) > 0.999


def test_the_command(model, release, corpus, tmp_path, capsys):
    target = tmp_path / "int8"
    main(["quantize", str(release), str(target), "--corpus", str(corpus), "--sentences", "24"])
    assert "in int8: cosine with float32: mean 0.99" in capsys.readouterr().out
    assert sorted(os.listdir(target)) == sorted([*os.listdir(release), KERNEL_FILE])
    # In TensorFlow it is the release that it was.
    np.testing.assert_array_equal(labse_tf.load(target).encode(TEXTS), model.encode(TEXTS))


def test_embeddings(model, release, quantized):
    light = labse_tf.load(quantized, backend="openvino", precision="int8")
    assert isinstance(light, LightLaBSE)
    rows, expected = light.encode(TEXTS), model.encode(TEXTS)
    # Of 24 sentences, the ranges of a layer of 16 are not those of every other one.
    assert are_close(rows, expected)
    plain = labse_tf.load(release, backend="openvino", precision="int8").encode(TEXTS)
    assert np.abs(rows - plain).max() > 1e-4
    np.testing.assert_allclose(light.encode(TEXTS, precision="float32"), expected, atol=1e-5)


def test_of_another_format(model, release, vocab_file, corpus, tmp_path):
    """In lower case, too, which is not for LightLaBSE. And quantized again, of what was."""
    lower = labse_tf.Preprocessor(vocab_file, SEQ_LENGTH, lower_case=True)
    hugging_face.write(tmp_path / "hugging-face", lower, model.encoder)
    cosines = quantize(tmp_path / "hugging-face", tmp_path / "a", [corpus])
    assert len(cosines) == len(set(TEXTS)) // 4 and cosines.min() > 0.98
    assert sorted(os.listdir(tmp_path / "a")) == sorted([*os.listdir(release), KERNEL_FILE])
    quantize(tmp_path / "a", tmp_path / "b", [corpus])
    a, b = ((tmp_path / name / KERNEL_FILE).read_bytes() for name in "ab")
    assert a == b
    fast = labse_tf.load(tmp_path / "b", backend="openvino", precision="int8")
    assert isinstance(fast, LaBSE) and fast.backend.calibrated is not None
    assert are_close(fast.encode(TEXTS), fast.encode(TEXTS, precision="float32"))


def kernels_of(path):
    with np.load(path / KERNEL_FILE) as file:
        return {name: file[name] for name in file.files}


def test_kernels_are_carried(quantized, corpus, tmp_path):
    """By convert, prune, save and archives, in another dtype too."""
    call(main, "convert", quantized, tmp_path / "converted", "--weights-dtype", "bfloat16")
    call(main, "prune", quantized, tmp_path / "pruned", "--corpus", corpus)
    light = labse_tf.load(quantized, backend="openvino")
    light.save(tmp_path / "saved")
    with tarfile.open(tmp_path / "release.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "converted", "release")
    expected = kernels_of(quantized)
    for name in ("converted", "pruned", "saved"):
        found = kernels_of(tmp_path / name)
        assert found.keys() == expected.keys()
        different = {n for n in found if not np.array_equal(found[n], expected[n])}
        # Half precision rounds the weights that the digest is of; the kernels stay.
        assert different == ({"layers_sha256"} if name == "converted" else set())
    rows = light.encode(TEXTS, precision="int8")
    for name in ("converted", "pruned", "release.tar.gz"):
        model = labse_tf.load(tmp_path / name, backend="openvino", precision="int8")
        assert model.backend.calibrated is not None
        assert np.sum(model.encode(TEXTS) * rows, axis=1).min() > 0.999, name
    # And again from there: the digest is of the weights as they were written.
    labse_tf.load(tmp_path / "release.tar.gz").save(tmp_path / "twice")
    assert kernels_of(tmp_path / "twice").keys() == expected.keys()


def test_kernels_that_do_not_fit_any_more_are_left_out(quantized, tmp_path):
    model = labse_tf.load(quantized)
    kernel = model.encoder.trainable_weights[-3]
    kernel.assign(kernel + 1e-4)
    with pytest.warns(UserWarning, match=r"int8\.npz is left out of .* Run `labse quantize`"):
        model.save(tmp_path / "trained")
    assert not (tmp_path / "trained" / KERNEL_FILE).exists()
    with pytest.warns(UserWarning, match="left out: hugging-face has no form for them"):
        convert(quantized, tmp_path / "hugging-face", "hugging-face")


def test_the_fingerprint_covers_kernels(release, quantized):
    plain, found = (
        {labse_tf.load(path, backend=b).fingerprint() for b in ("tensorflow", "openvino")}
        for path in (release, quantized)
    )
    assert len(plain) == len(found) == 1 and plain != found
    changed = labse_tf.load(quantized, backend="openvino")
    changed.backend.calibrated["layer_0/output/step"][0] *= 2
    assert changed.fingerprint() not in found


def test_refusals(release, quantized, corpus, tmp_path, monkeypatch):
    with pytest.raises(FileExistsError, match="exists"):
        quantize(release, quantized, [corpus])
    with pytest.raises(FileNotFoundError, match=r"no file 'nowhere.txt' of the corpus"):
        quantize(release, tmp_path / "x", ["nowhere.txt"])
    with pytest.raises(ValueError, match="no transformer layers"):
        quantize("labse-mini", tmp_path / "x", [corpus])
    with pytest.raises(ValueError, match=r"`sentences` \(=3\) must be at least 20"):
        quantize(release, tmp_path / "x", [corpus], sentences=3)
    (tmp_path / "short.txt").write_text("a\nb\na\n")
    with pytest.raises(ValueError, match="has 2 different sentences; at least 20"):
        quantize(release, tmp_path / "x", [tmp_path / "short.txt"])
    monkeypatch.setattr(quantized_releases, "LEAST_COSINE", 1.1)
    with pytest.raises(ValueError, match=r"below 1\.1: nothing is written"):
        quantize(release, tmp_path / "x", [corpus])
    assert sorted(os.listdir(tmp_path)) == ["short.txt"]


def test_files_that_do_not_fit(quantized, tmp_path):
    shutil.copytree(quantized, tmp_path / "release")
    kernels = tmp_path / "release" / KERNEL_FILE
    with np.load(kernels) as file:
        arrays = dict(file)
    kernels.write_bytes(kernels.read_bytes()[:1000])
    with pytest.raises(ValueError, match="not a file of kernels in 8 bits"):
        labse_tf.load(tmp_path / "release", backend="openvino")
    arrays["layer_1/output/step"] = arrays["layer_1/output/step"][:-1]
    np.savez(kernels, **arrays)
    with pytest.raises(ValueError, match=r"not of this encoder: 'layer_1/output/step' is \(\(23"):
        labse_tf.load(tmp_path / "release", backend="openvino")
