"""Every command with every backend, precision and case: it works, or says what to do instead."""

import itertools
import json
import warnings

import numpy as np
import pytest

import labse_tf
from labse_tf.commands.main import main
from labse_tf.inference.light import LightLaBSE
from labse_tf.openvino.fastest import choose_precision
from labse_tf.openvino.kernel_file import KERNEL_FILE
from tests.conftest import SENTENCES
from tests.models import SEQ_LENGTH, make_model
from tests.planted import write
from tests.running import call

BACKENDS, PRECISIONS = ("tensorflow", "openvino"), ("float32", "bfloat16", "int8")
CASES = ("cased", "lower-cased")
SUPPORTED = [c for c in itertools.product(BACKENDS, PRECISIONS) if c != ("tensorflow", "int8")]
LOWEST_COSINE = {"float32": 1 - 1e-5, "bfloat16": 0.999, "int8": 0.98}
SOURCES = [*SENTENCES[:7], "THE CAT", "Tom sat", "the mat"]
TARGETS = [s + "." for s in SOURCES[::-1]]
pytestmark = pytest.mark.filterwarnings("ignore:.*(were cut|nothing but)")


@pytest.fixture(scope="module")
def models(vocab_file, vocab_size, tmp_path_factory):
    """A model of one layer and its release, by case."""
    folder, made = tmp_path_factory.mktemp("models"), {}
    for case in CASES:
        encoder = make_model(vocab_file, vocab_size, num_layers=1).encoder
        preprocessor = labse_tf.Preprocessor(vocab_file, SEQ_LENGTH, case == "lower-cased")
        made[case] = labse_tf.LaBSE(preprocessor, encoder)
        made[case].save(folder / case)
    return {case: (model, folder / case) for case, model in made.items()}


@pytest.fixture
def files(tmp_path):
    write(tmp_path / "a.txt", SOURCES)
    write(tmp_path / "b.txt", TARGETS)
    write(tmp_path / "pairs.tsv", ["\t".join(pair) for pair in zip(SOURCES, TARGETS[::-1])])
    return tmp_path


def arguments(command, release, files):
    """A command line without the flags of the matrix, and the file that it writes."""
    output = files / "output"
    mine = ["mine", "--model", release, "--k", 2, "--output", output]
    texts = [files / "a.txt", files / "b.txt"]
    return {
        "encode": ["encode", texts[0], "--model", release, "--output", output],
        "evaluate": ["evaluate", release, "tatoeba", "--languages", "tzl", "--output", output],
        "similarity": ["similarity", *(f"@{text}" for text in texts), "--model", release],
        "mine": [*mine, *texts],
        "mine --score": [*mine, "--score", files / "pairs.tsv"],
        "mine --dry-run": [*mine, "--dry-run", *texts],
    }[command]


COMMANDS = ("encode", "evaluate", "similarity", "mine", "mine --score", "mine --dry-run")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("backend, precision", SUPPORTED)
def test_embedding_commands(models, files, backend, precision, case):
    model, release = models[case]
    flags = ["--backend", backend, "--precision", precision]
    lowest, said = LOWEST_COSINE[precision], {}
    for command in COMMANDS:
        (files / "output").unlink(missing_ok=True)
        (files / "output.meta.tsv").unlink(missing_ok=True)
        said[command] = call(main, *arguments(command, release, files), *flags)
        globals()[f"check_{command.replace(' --', '_').replace('-', '_')}"](
            model, files / "output", said[command], backend, precision, lowest
        )


def check_encode(model, output, said, backend, precision, lowest):
    rows = np.load(output)
    assert said == f"{output}: float32 [{len(SOURCES)}, 16]\n"
    assert np.sum(rows * model.encode(SOURCES), axis=1).min() > lowest
    if model.preprocessor.lower_case:
        the_cat = model.encode(["the cat"])[0]
        assert rows[SOURCES.index("THE CAT")] @ the_cat > lowest


def check_evaluate(model, output, said, backend, precision, lowest):
    found = json.loads(output.read_text())["model"]
    assert (found["backend"], found["precision"]) == (backend, precision)
    assert (found["dim"], found["seq_length"]) == (16, SEQ_LENGTH)
    if (backend, precision) != ("tensorflow", "bfloat16"):  # which holds other weights
        assert found["fingerprint"] == model.fingerprint()


def check_similarity(model, output, said, backend, precision, lowest):
    found = [[float(cell) for cell in line.split("\t")] for line in said.splitlines()]
    expected = model.encode(SOURCES) @ model.encode(TARGETS).T
    np.testing.assert_allclose(found, expected, atol=max(1e-4, 10 * (1 - lowest)))


def check_mine(model, output, said, backend, precision, lowest):
    pairs = [line.split("\t") for line in output.read_text().splitlines()]
    assert f"pairs: {len(pairs)}" in said and len(pairs) >= 5
    meta = output.with_name(f"{output.name}.meta.tsv").read_text().splitlines()
    names, *lines = (line.split("\t") for line in meta)
    cosines = [float(line[names.index("cosine")]) for line in lines]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sources, targets = (model.encode([pair[i] for pair in pairs]) for i in (1, 2))
    expected = np.sum(sources * targets, axis=1)
    np.testing.assert_allclose(cosines, expected, atol=max(1e-4, 10 * (1 - lowest)))


def check_mine_score(model, output, said, backend, precision, lowest):
    assert said == f"{output}: {len(SOURCES)} pairs\n"
    pairs = [line.split("\t")[1:] for line in output.read_text().splitlines()]
    assert pairs == [list(pair) for pair in zip(SOURCES, TARGETS[::-1])]


def check_mine_dry_run(model, output, said, backend, precision, lowest):
    assert f"sources: {len(SOURCES)} sentences" in said and "16 numbers each" in said
    assert not output.exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_cased_model_is_read_once(models, files, command, monkeypatch):
    def read_again(path):
        raise AssertionError(f"{path} was read by TensorFlow as well")

    monkeypatch.setattr("labse_tf.inference.model.read_model", read_again)
    call(main, *arguments(command, models["cased"][1], files), "--backend", "openvino")


@pytest.mark.parametrize("backend", BACKENDS)
def test_auto_is_a_precision_of_the_backend(models, files, backend):
    line = arguments("evaluate", models["cased"][1], files)
    call(main, *line, "--precision", "auto", "--backend", backend)
    found = json.loads((files / "output").read_text())["model"]
    assert found["precision"] == choose_precision("auto", backend, 1, False)


def test_auto_by_instructions():
    def chosen(flags, backend="openvino", num_layers=12, is_prepared=False):
        return choose_precision("auto", backend, num_layers, is_prepared, frozenset(flags.split()))

    amx = "avx512_vnni avx512_bf16 amx_bf16 amx_int8"
    assert (chosen(amx), chosen(amx, is_prepared=True)) == ("bfloat16", "int8")
    assert chosen("avx512_vnni avx512_bf16") == chosen("avx_vnni") == "int8"
    assert chosen("avx2", is_prepared=True) == chosen(amx, num_layers=0) == "float32"
    assert (chosen(amx, "tensorflow"), chosen("avx_vnni", "tensorflow")) == ("bfloat16", "float32")
    assert choose_precision("int8", "openvino", 0, False) == "int8"


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("command", COMMANDS)
def test_int8_names_its_backend(models, files, command, case):
    line = arguments(command, models[case][1], files)
    said = call(main, *line, "--precision", "int8", status=2)
    assert "`precision` (='int8') must be one of" in said
    assert said.endswith('Add backend="openvino" (--backend openvino) for int8.')
    assert not (files / "output").exists()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("weights_dtype", PRECISIONS)
def test_commands_that_write_a_release(models, files, weights_dtype, case):
    """Their releases embed on both backends, and a quantized one in int8."""
    model, release = models[case]
    command = (
        ("prune", release, "--corpus", files / "a.txt") if case == "cased" else ("convert", release)
    )
    call(main, *command[:2], files / "written", *command[2:], "--weights-dtype", weights_dtype)
    write(files / "corpus.txt", [f"{a} {b}" for a in SOURCES for b in ("Tom", "green", "mat")])
    call(main, "quantize", files / "written", files / "quantized", "--corpus", files / "corpus.txt")
    assert (files / "quantized" / KERNEL_FILE).exists()
    expected = model.encode(SOURCES)
    lowest = LOWEST_COSINE[weights_dtype]
    for name, backend in itertools.product(("written", "quantized"), BACKENDS):
        found = labse_tf.load(files / name, backend=backend)
        assert isinstance(found, labse_tf.Embedder)
        assert isinstance(found, LightLaBSE) == (backend == "openvino" and case == "cased")
        assert np.sum(found.encode(SOURCES) * expected, axis=1).min() > lowest, name
    int8 = found.encode(SOURCES, precision="int8")
    assert np.sum(int8 * expected, axis=1).min() > LOWEST_COSINE["int8"]


@pytest.mark.parametrize("case", CASES)
def test_one_interface(models, case):
    model, release = models[case]
    found = [labse_tf.load(release, backend=backend) for backend in BACKENDS]
    for embedder in found:
        assert isinstance(embedder, labse_tf.Embedder)
        assert (embedder.dim, embedder.seq_length) == (16, SEQ_LENGTH)
        assert embedder.fingerprint() == model.fingerprint()
        cosines = embedder.similarity(SENTENCES[:2], SENTENCES[2:5])
        np.testing.assert_allclose(
            cosines, model.similarity(SENTENCES[:2], SENTENCES[2:5]), atol=1e-5
        )
        pairs = labse_tf.mine(SOURCES, TARGETS, embedder, k=2)
        assert [p[1:3] for p in pairs] == [
            p[1:3] for p in labse_tf.mine(SOURCES, TARGETS, model, k=2)
        ]
