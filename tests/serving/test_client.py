"""labse client and EmbeddingClient: against a server with TensorFlow Serving's services.

It is not TensorFlow Serving itself, but loads real releases and speaks its messages and statuses:
see tests/serving/model_server.py.
"""

import base64
import contextlib
import functools
import json
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from labse_tf.commands.main import main
from labse_tf.serving import client as client_module
from labse_tf.serving import errors, grpc_transport, rest_transport
from labse_tf.serving.client import EmbeddingClient
from labse_tf.serving.directory import add_version
from tests.conftest import SENTENCES
from tests.fresh import fresh
from tests.models import make_model
from tests.running import run
from tests.serving.model_server import Models, ModelServer, Refusal

MANY = [f"{i} {sentence[:20]} \0 \u0301" for i in range(40) for sentence in SENTENCES]
WAYS = ("grpc", "rest")


@pytest.fixture(scope="module")
def second(vocab_file, vocab_size, tmp_path_factory):
    """Another model, and its release."""
    model = make_model(vocab_file, vocab_size, seed=2)
    path = tmp_path_factory.mktemp("second") / "release"
    model.save(path)
    return model, path


@pytest.fixture(scope="module")
def directory(release, tmp_path_factory):
    path = tmp_path_factory.mktemp("client") / "models"
    add_version(release, path)
    return path


@pytest.fixture(scope="module")
def loaded(directory):
    return Models(directory)


@pytest.fixture
def server(loaded):
    loaded.delay = 0.0
    with ModelServer(loaded) as server:
        yield server


def labse(*arguments):
    return run(main, *arguments)


@pytest.mark.parametrize("way", WAYS)
def test_embeddings(server, model, way):
    """More sentences than a request holds, of several requests at once, come in their order."""
    expected = model.encode(MANY)
    before = server.models.answered
    with EmbeddingClient(getattr(server, way), batch_size=7, connections=3) as client:
        found = client.encode(iter(MANY))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
        assert server.models.answered - before == -(-len(MANY) // 7)
        assert client.encode([]).shape == (0, 16)
        assert [len(rows) for rows in client.stream(MANY[:16])] == [7, 7, 2]


@pytest.mark.parametrize("way", WAYS)
def test_sentences_that_are_none(server, way):
    with EmbeddingClient(getattr(server, way)) as client:
        with pytest.raises(TypeError, match="Put it in a list"):
            client.encode("one")
        with pytest.raises(TypeError, match="Sentence 1 is not a string, but int"):
            client.encode(["one", 2])
        with pytest.raises(ValueError, match="Sentence 1 cannot be written as UTF-8"):
            client.encode(["one", "\ud800"])


def test_bad_arguments():
    for address in ("localhost", "localhost:x", "ftp://localhost:8500", "a b:1", ""):
        with pytest.raises(ValueError, match="must be HOST:PORT"):
            EmbeddingClient(address)
    for name in ("batch_size", "connections", "timeout"):
        with pytest.raises(ValueError, match=f"`{name}`"):
            EmbeddingClient("localhost:1", **{name: 0})
    with pytest.raises(ValueError, match="`retries`"):
        EmbeddingClient("localhost:1", retries=-1)


@pytest.mark.parametrize("way", WAYS)
def test_a_model_that_is_missing(server, way):
    address = getattr(server, way)
    with EmbeddingClient(address, model="other") as client:
        with pytest.raises(errors.ModelMissing, match=r"'other'.*Servable not found"):
            client.encode(["one"])
    with EmbeddingClient(address, version=7) as client:
        with pytest.raises(errors.ModelMissing, match=r"version 7 .*version 1 is AVAILABLE"):
            client.encode(["one"])


@pytest.mark.parametrize("way", WAYS)
def test_a_request_that_is_refused(server, way):
    with EmbeddingClient(getattr(server, way), batch_size=40) as client:
        with pytest.raises(errors.RequestRefused, match=r"Task size 40 is larger .*max_batch_size"):
            client.encode(MANY)


@pytest.fixture
def short_delays(monkeypatch):
    """Between attempts."""
    for module in (client_module, grpc_transport):
        monkeypatch.setattr(module, "FIRST_DELAY", 0.01)
        monkeypatch.setattr(module, "LONGEST_DELAY", 0.1)


@pytest.mark.parametrize("way", WAYS)
def test_a_full_queue(directory, model, short_delays, way):
    """Refused at once without retries; with them, each of many requests has its turn."""
    with ModelServer(Models(directory, delay=0.02, queue=1)) as server:
        address = getattr(server, way)
        with EmbeddingClient(address, batch_size=1, connections=8, retries=0) as client:
            with pytest.raises(errors.QueueFull, match=r"queue to which this task.*is full"):
                client.encode(MANY[:20])
        time.sleep(0.2)
        with EmbeddingClient(address, batch_size=1, connections=4, retries=40) as client:
            found = client.encode(MANY[:20])
    np.testing.assert_allclose(found, model.encode(MANY[:20]), rtol=0, atol=1e-6)


@pytest.fixture
def refusing(loaded, monkeypatch):
    """A function that has the next requests refused, and gives a list to count them by."""

    def refuse(count, code="UNAVAILABLE"):
        predict, requests = Models.predict, []

        def refused(models, *request):
            requests.append(request)
            if len(requests) <= count:
                raise Refusal(code, "the queue is full")
            return predict(models, *request)

        monkeypatch.setattr(loaded, "predict", functools.partial(refused, loaded))
        return requests

    return refuse


@pytest.mark.parametrize("way", WAYS)
def test_as_often_as_asked_for(server, model, refusing, short_delays, way):
    for retries in (0, 1, 4):
        requests = refusing(9)
        with EmbeddingClient(getattr(server, way), retries=retries) as client:
            with pytest.raises(errors.QueueFull):
                client.encode(["one"])
        assert len(requests) == retries + 1
    for retries in (9, 11):
        requests = refusing(9)
        with EmbeddingClient(getattr(server, way), retries=retries) as client:
            found = client.encode(["one"])
        assert len(requests) == 10
        np.testing.assert_allclose(found, model.encode(["one"]), rtol=0, atol=1e-6)
    # Over gRPC five at a time.
    requests = refusing(100)
    with EmbeddingClient(getattr(server, way), retries=6) as client:
        with pytest.raises(errors.QueueFull):
            client.encode(["one"])
    assert len(requests) == (10 if way == "grpc" else 7)
    # What will not pass is not repeated.
    requests = refusing(1, "INVALID_ARGUMENT")
    with EmbeddingClient(getattr(server, way), retries=4) as client:
        with pytest.raises(errors.RequestRefused):
            client.encode(["one"])
    assert len(requests) == 1


@pytest.mark.parametrize("way", WAYS)
def test_large_requests_are_repeated(server, refusing, way):
    requests = refusing(1)
    with EmbeddingClient(getattr(server, way), retries=1) as client:
        assert client.encode(["a" * 1_000_000]).shape == (1, 16)
    assert len(requests) == 2


@pytest.mark.parametrize("way", WAYS)
def test_a_full_queue_is_no_timeout(server, refusing, way):
    """However little time there is, the delays between attempts leave some."""
    refusing(100)
    with EmbeddingClient(getattr(server, way), timeout=0.5, retries=3) as client:
        with pytest.raises(errors.QueueFull):
            client.encode(["one"])


@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_comes_back(loaded, model, way):
    with ModelServer(loaded) as server:
        pass
    with contextlib.ExitStack() as later:
        thread = threading.Timer(
            0.3, lambda: later.enter_context(ModelServer(loaded, server.ports))
        )
        thread.start()
        with EmbeddingClient(getattr(server, way), retries=30) as client:
            found = client.encode(["one"])
        thread.join()
    np.testing.assert_allclose(found, model.encode(["one"]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_a_login_is_sent_with_each_request(server, tmp_path, way):
    (tmp_path / "login").write_text("Authorization: Bearer s3cret\n\nX-Team: nlp\n")
    address = getattr(server, way)
    found = labse("client", address, "--header", f"@{tmp_path / 'login'}", "one")
    assert found.returncode == 0, found.stderr
    assert server.models.headers["authorization"] == "Bearer s3cret"
    assert server.models.headers["x-team"] == "nlp"
    wrong = labse("client", address, "--header", "s3cret", "one")
    assert wrong.returncode == 2 and "s3cret" not in wrong.stderr
    if way == "rest":
        with EmbeddingClient(address.replace("//", "//anna:p%40ss@")) as client:
            client.encode(["one"])
        login = base64.b64decode(server.models.headers["authorization"].removeprefix("Basic "))
        assert login == b"anna:p@ss" and client.address == address


@pytest.mark.parametrize("way", WAYS)
def test_a_proxy_of_the_environment_is_named(monkeypatch, way):
    """gRPC's own message names neither the proxy nor that there is one (serving#387)."""
    monkeypatch.setenv("http_proxy", "http://anna:s3cret@localhost:1")
    monkeypatch.setenv("no_proxy", "")
    address = {"grpc": "example.org:8500", "rest": "http://example.org:8501"}[way]
    with EmbeddingClient(address, retries=0, timeout=2) as client:
        with pytest.raises(
            errors.ServingError, match=r"http_proxy .* proxy http://localhost:1; .*no_proxy"
        ) as error:
            client.encode(["one"])
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize("way", WAYS)
def test_no_answer_in_time(server, way):
    with EmbeddingClient(getattr(server, way), timeout=0.3, retries=1) as client:
        client.versions()
        server.models.delay = 2.0
        started = time.monotonic()
        with pytest.raises(errors.RequestTimedOut, match=r"no answer by model 'labse'.* in 0.3 s"):
            client.encode(["one"])
        assert 0.6 <= time.monotonic() - started < 2  # an attempt and a repetition
        server.models.delay = 0.0


def test_another_server(server):
    """Each port knows the other's protocol for what it is not; nothing listens on port 1."""
    rest_to_grpc = f"http://{server.grpc}"
    grpc_to_rest = server.rest.removeprefix("http://")
    for address in (rest_to_grpc, grpc_to_rest, "localhost:1", "http://localhost:1"):
        with EmbeddingClient(address, retries=1, timeout=2) as client:
            with pytest.raises(errors.ServerUnreachable, match="No TensorFlow Serving answers at"):
                client.encode(["one"])


@pytest.mark.parametrize("way", WAYS)
def test_a_model_that_is_being_loaded(directory, model, way):
    waiting = Models(directory, load=False)
    with ModelServer(waiting) as server:
        with EmbeddingClient(getattr(server, way), retries=0) as client:
            with pytest.raises(errors.ModelLoading, match="still loading model 'labse'"):
                client.encode(["one"])
        thread = threading.Timer(0.5, waiting.load)
        thread.start()
        with EmbeddingClient(getattr(server, way), retries=30) as client:
            np.testing.assert_allclose(
                client.encode(["one"]), model.encode(["one"]), rtol=0, atol=1e-6
            )
        thread.join()


@pytest.mark.parametrize("way", WAYS)
def test_versions_are_not_mixed(directory, model, second, tmp_path, way):
    """A version that is added while a client runs is for the next one."""
    models_directory = shutil.copytree(directory, tmp_path / "models")
    served = Models(models_directory)
    with ModelServer(served) as server:
        address = getattr(server, way)
        with EmbeddingClient(address, batch_size=5) as client:
            rows = client.stream(MANY[:50])
            found = [next(rows)]
            other, release = second
            add_version(release, models_directory)
            served.load()
            assert [(v.version, v.state) for v in client.versions()] == [
                (2, "AVAILABLE"),
                (1, "AVAILABLE"),
            ]
            found = np.concatenate([*found, *rows])
            np.testing.assert_allclose(found, model.encode(MANY[:50]), rtol=0, atol=1e-6)
            assert served.versions_of_requests == {1} and client.version == 1
            served.unload("labse", 1)
            with pytest.raises(errors.ModelMissing, match=r"version 2 is AVAILABLE, version 1 is"):
                client.encode(["one"])
        with EmbeddingClient(address) as client:
            newest = client.encode(["one"])
            np.testing.assert_allclose(newest, other.encode(["one"]), rtol=0, atol=1e-6)


@contextlib.contextmanager
def process(*arguments):
    """A server in a process of its own; gives its addresses."""
    command = [sys.executable, "-m", "tests.serving.model_server", *map(str, arguments)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            yield server.stdout.readline().split()
        finally:
            server.stdin.close()


def test_a_server_without_the_operations(directory):
    """TensorFlow's own error, of a process without tensorflow_text."""
    with process(directory, "--no-text") as addresses:
        for address in addresses:
            with EmbeddingClient(address) as client:
                with pytest.raises(
                    errors.OperationMissing,
                    match=r"Op type not registered 'RegexSplitWithOffsets'.*from 2\.12",
                ):
                    client.encode(["one"])
                ((version, state, _),) = client.versions()
                assert (version, state) == (1, "END")


def test_a_release_that_is_broken(directory, tmp_path):
    models_directory = shutil.copytree(directory, tmp_path / "models")
    (models_directory / "labse" / "1" / "variables" / "variables.index").unlink()
    with ModelServer(Models(models_directory)) as server:
        # Python's loader does not miss the file; the first request does, as a failure in the graph.
        with EmbeddingClient(server.grpc, retries=0) as client:
            with pytest.raises(errors.ServingError):
                client.encode(["one"])
    (models_directory / "labse" / "1" / "assets" / "vocab.txt").unlink()
    with ModelServer(Models(models_directory)) as server:
        for address in (server.grpc, server.rest):
            with EmbeddingClient(address) as client:
                with pytest.raises(errors.ModelBroken, match="could not load model 'labse'"):
                    client.encode(["one"])


@pytest.mark.parametrize("way", WAYS)
def test_command(server, model, tmp_path, way):
    address = getattr(server, way)
    text = tmp_path / "text.txt"
    text.write_text("".join(f"sentence {i}\n" for i in range(100)))
    printed = labse("client", address, "--batch-size", 2, "Hello", f"@{text}", "the cat")
    assert printed.returncode == 0, printed.stderr
    rows = np.array([json.loads(line) for line in printed.stdout.splitlines()], np.float32)
    sentences = ["Hello", *(f"sentence {i}" for i in range(100)), "the cat"]
    np.testing.assert_allclose(rows, model.encode(sentences), rtol=0, atol=1e-6)

    output = tmp_path / "rows.npy"
    written = labse("client", address, "--output", output, "Hello", f"@{text}", "the cat")
    assert written.stdout == f"{output}: float32 [102, 16]\n", written.stderr
    np.testing.assert_array_equal(np.load(output).argmax(1), rows.argmax(1))
    again = labse("client", address, "--output", output, "Hello")
    assert again.returncode == 2 and "exists" in again.stderr


def test_command_goes_on(server, model, tmp_path):
    """What was embedded before a failure is kept, and other sentences are not taken for it."""
    text, output = tmp_path / "text.txt", tmp_path / "rows.npy"
    sentences = [SENTENCES[i % 4] for i in range(50)]
    text.write_bytes("\n".join(sentences[:40]).encode() + b"\n\xff\n")
    broken = labse("client", server.rest, f"@{text}", "--output", output, "--batch-size", 8)
    assert broken.returncode == 2 and "resume with --resume" in broken.stderr, broken.stderr
    assert "text.txt:41:" in broken.stderr.splitlines()[-1]
    kept = len(np.load(f"{output}.unfinished"))
    assert 0 < kept <= 40 and not output.exists()

    text.write_text("\n".join(reversed(sentences)))
    other = labse("client", server.rest, f"@{text}", "--output", output, "--resume")
    assert other.returncode == 2 and "are not the same as in the interrupted" in other.stderr
    assert "--resume" not in other.stderr  # which has just been refused

    text.write_text("\n".join(sentences))
    before = server.models.answered
    resumed = labse(
        "client", server.rest, f"@{text}", "--output", output, "--resume", "--batch-size", 1
    )
    assert resumed.returncode == 0, resumed.stderr
    assert server.models.answered - before == 1 + 2 + 50 - kept  # the width, two rows, the others
    assert not (tmp_path / "rows.npy.unfinished.jsonl").exists()
    np.testing.assert_allclose(np.load(output), model.encode(sentences), rtol=0, atol=1e-6)


def test_command_says_what_is_wrong(server):
    missing = labse("client", server.rest, "--model", "other", "one")
    assert missing.returncode == 2
    assert missing.stderr.startswith("error: The server has no model 'other'"), missing.stderr
    assert len(missing.stderr.splitlines()) == 1
    # In processes of their own, where warnings of the libraries are on stderr too.
    code = "from labse_tf.commands.main import main; main()"
    command = [sys.executable, "-c", code, "client", "http://localhost:1", "--retries", "2", "one"]
    over_grpc = fresh("-c", code, "client", "localhost:1", "--retries", 2, "one")
    for lost in (subprocess.run(command, capture_output=True, text=True), over_grpc):
        assert lost.returncode == 2 and len(lost.stderr.splitlines()) == 1, lost.stderr
        assert lost.stderr.startswith("error: No TensorFlow Serving answers at ")


def test_rest_needs_no_tensorflow(server):
    code = (
        "import sys; from labse_tf.serving.client import EmbeddingClient;"
        f"print(EmbeddingClient({server.rest!r}).encode(['one']).shape);"
        "assert 'tensorflow' not in sys.modules and 'grpc' not in sys.modules"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout == "(1, 16)\n", found.stderr


def test_flags_and_sentences_that_are_missing(server, tmp_path):
    (tmp_path / "empty.txt").touch()
    for arguments, said in (
        (["x", "--resume"], "--resume continues an --output"),
        ([f"@{tmp_path / 'empty.txt'}", "--output", tmp_path / "x.npy"], "no sentences"),
    ):
        process = labse("client", server.grpc, *arguments)
        assert process.returncode == 2 and said in process.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty.txt"]


def test_answers_that_are_no_embeddings(server, monkeypatch):
    rest = rest_transport.Rest
    for answer, said in (
        ({"outputs": [["a"]]}, "no rows of numbers in the answer"),
        ({"outputs": [[1.0], [2.0]]}, r"1 sentences were answered with float32 \[2, 1\]"),
    ):
        monkeypatch.setattr(rest, "_call", lambda *_, answer=answer: answer)
        with (
            EmbeddingClient(server.rest, version=1, retries=0) as client,
            pytest.raises(errors.ServingError, match=said),
        ):
            client.encode(["x"])
