"""EmbeddingClient where a server refuses, loads or is busy: with a transport that does as told."""

import itertools
import json
import threading
import time
import warnings

import numpy as np
import pytest

from labse_tf.commands.main import main
from labse_tf.serving import client as client_module
from labse_tf.serving import errors
from labse_tf.serving.client import EmbeddingClient
from labse_tf.serving.rest_transport import Rest
from labse_tf.serving.transports import Failure, Version, find_proxy
from tests.running import run


class Transport:
    """Answers a sentence with the first of its bytes and the version; `tells` it as gRPC does."""

    def __init__(self, newest=1, tells=True):
        self.newest, self.tells = newest, tells
        self.asked, self.failures, self.states = [], {}, None

    def predict(self, batch, version):
        self.asked.append(version)
        for sentence in batch:
            if failure := self.failures.get(sentence):
                raise failure
        ran = self.newest if version is None else version
        rows = [[sentence[0] if sentence else 0, 1 + ran / 1000] for sentence in batch]
        return np.array(rows, np.float32), ran if self.tells else None

    def versions(self):
        if self.states is None:
            raise Failure("PERMISSION_DENIED", "403 Forbidden")
        return [Version(self.newest, next(self.states), "")]

    def close(self):
        pass


@pytest.fixture
def transport(monkeypatch):
    transport = Transport()
    monkeypatch.setattr(client_module, "Rest", lambda *_, **__: transport)
    monkeypatch.setattr(client_module, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(client_module, "LONGEST_DELAY", 0.002)
    return transport


def make(**options):
    return EmbeddingClient("http://localhost:1", batch_size=1, **options)


def test_the_version_of_the_first_answer_stays_where_the_status_is_refused(transport):
    rows = (client := make()).stream(list("abcdef"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = [next(rows)]
        transport.newest = 2
        found = np.concatenate([*found, *rows])
    assert transport.asked == [None, 1, 1, 1, 1, 1] and client.version == 1
    np.testing.assert_array_equal(found[:, 1], np.full(6, 1.001, np.float32))


def test_where_no_version_is_told_a_warning_says_so_once(transport):
    transport.tells = False
    with pytest.warns(UserWarning, match=r"does not tell .*Give `version`") as caught:
        client = make()
        client.encode(list("ab"))
        client.encode(list("cd"))
    assert len(caught) == 1 and client.version is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(version=3).encode(list("ab"))
    assert transport.asked[-2:] == [3, 3]


@pytest.mark.parametrize("code", ["PERMISSION_DENIED", "NOT_FOUND", "UNIMPLEMENTED"])
@pytest.mark.parametrize("metadata", [True, False])
def test_rest_behind_a_proxy_that_withholds_the_status(monkeypatch, code, metadata):
    asked = []

    def call(self, method, url, body=None):
        asked.append(url.removeprefix("http://localhost:1/v1/models/labse"))
        if asked[-1].endswith(":predict"):
            return {"outputs": [[1.0, 0.0] for _ in body["inputs"]["sentences"]]}
        if metadata and asked[-1] == "/metadata":  # as TensorFlow Serving has it
            return {"model_spec": {"name": "labse", "signature_name": "", "version": "3"}}
        raise Failure(code, "no")

    monkeypatch.setattr(Rest, "_call", call)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        (client := make()).encode(list("ab"))
    if metadata:
        assert client.version == 3 and not caught
        assert asked == ["", "/metadata", "/versions/3:predict", "/versions/3:predict"]
    else:
        assert client.version is None and "(--version)" in str(caught[0].message)
        assert asked[:2] == ["", "/metadata"] and asked[-2:] == [":predict"] * 2
    # A version that is given is in every address, and nothing else is asked for.
    asked.clear()
    make(version=4).encode(list("ab"))
    assert asked == ["/versions/4:predict"] * 2


def test_a_model_that_loads_for_long_is_waited_for(transport):
    transport.states = itertools.chain(["LOADING"] * 61, itertools.repeat("AVAILABLE"))
    client = make(retries=1)
    assert client.encode(["a"]).shape == (1, 2)
    assert client.version == 1 and transport.asked == [1]
    for options in ({"load_timeout": 0}, {"retries": 0}):
        transport.states = itertools.repeat("LOADING")
        with pytest.raises(errors.ModelLoading):
            make(**options).encode(["a"])


def test_a_server_that_is_restarted_is_waited_for(transport):
    """For as long as for a model that is being loaded, however few retries there are."""
    transport.states = itertools.repeat("AVAILABLE")
    predict, down = transport.predict, iter([])

    def restarting(batch, version):
        if batch == [b"b"] and next(down, None):
            raise Failure("UNAVAILABLE", "connection refused")
        return predict(batch, version)

    transport.predict, down = restarting, iter([True] * 61)
    assert make(retries=1).encode(["a", "b"]).shape == (2, 2)
    for options in ({"load_timeout": 0, "retries": 1}, {"retries": 0}):
        down = itertools.repeat(True)
        with pytest.raises(errors.ServerUnreachable):
            make(**options).encode(["a", "b"])
    # A server that has never answered may be a wrong address.
    transport.predict, calls = None, []
    transport.predict = lambda *call: calls.append(call) or restarting([b"b"], 1)
    with pytest.raises(errors.ServerUnreachable):
        make(version=1, retries=2).encode(["b"])
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("address", "options", "said"),
    [
        ("http://localhost:8501", {"tls": True}, r"`tls` .* is for gRPC.*https://localhost:8501"),
        ("http://anna:s3cret@localhost:8501", {"tls": True}, "https://localhost:8501"),
        ("anna:s3cret@localhost:8500", {}, r"'localhost:8500' with a login must .*--header"),
        ("anna:s3cret@localhost", {}, "'localhost' with a login must"),
    ],
)
def test_addresses_that_do_not_fit(address, options, said):
    with pytest.raises(ValueError, match=said) as error:
        EmbeddingClient(address, **options)
    assert "s3cret" not in str(error.value)


def test_a_password_is_in_no_message():
    with EmbeddingClient("http://anna:s3cret@localhost:1", retries=0) as client:
        with pytest.raises(errors.ServerUnreachable, match="at http://localhost:1: ") as error:
            client.encode(["one"])
    assert "s3cret" not in f"{error.value} {error.value.__cause__} {client.address}"


def test_proxies_of_the_environment(monkeypatch):
    names = "grpc https http all no no_grpc".split()
    for name in names:
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)
    assert find_proxy("server:8500") is None
    monkeypatch.setenv("HTTP_PROXY", "proxy:3128")
    assert "HTTP_PROXY" in find_proxy("http://server:1") and find_proxy("server:8500") is None
    monkeypatch.delenv("HTTP_PROXY")
    monkeypatch.setenv("https_proxy", "proxy:3128")
    assert "https_proxy" in find_proxy("server:8500")
    assert "https_proxy" in find_proxy("https://server/tf") and not find_proxy("http://server:1")
    monkeypatch.setenv("grpc_proxy", "other:3128")
    assert "grpc_proxy sends requests through the proxy other:3128" in find_proxy("server:8500")
    monkeypatch.setenv("no_proxy", "localhost,server")
    assert find_proxy("server:8500") is find_proxy("https://server/tf") is None
    monkeypatch.setenv("no_grpc_proxy", "localhost")
    assert find_proxy("server:8500")


def test_an_error_does_not_wait_for_requests_that_are_repeated(transport, monkeypatch):
    monkeypatch.setattr(client_module, "FIRST_DELAY", 60)
    monkeypatch.setattr(client_module, "LONGEST_DELAY", 60)
    transport.states = itertools.repeat("AVAILABLE")
    transport.failures = {
        b"slow": Failure("UNAVAILABLE", "the queue is full"),
        b"bad": Failure("INVALID_ARGUMENT", "no"),
    }
    before, begun = set(threading.enumerate()), time.monotonic()
    with pytest.raises(errors.RequestRefused):
        make().encode(["slow", "good", "bad"])
    for thread in set(threading.enumerate()) - before:  # nor does the end of the process
        thread.join(10)
        assert not thread.is_alive()
    assert time.monotonic() - begun < 10


def test_rows_before_an_error_are_given(transport):
    transport.states = itertools.repeat("AVAILABLE")
    transport.failures = {b"bad": Failure("INVALID_ARGUMENT", "no")}
    rows, found = make(connections=1).stream(["good", "good", "bad"]), []
    with pytest.raises(errors.RequestRefused):
        found.extend(rows)
    assert len(found) == 2


@pytest.mark.parametrize(
    ("message", "error", "attempts"),
    [
        ("Received message larger than max (5000000 vs. 4194304)", errors.RequestRefused, 1),
        ("OOM when allocating tensor with shape[32,128]", errors.RequestRefused, 1),
        ("429 Too Many Requests", errors.QueueFull, 3),
    ],
)
def test_what_is_exhausted(transport, message, error, attempts):
    transport.failures = {b"a": Failure("RESOURCE_EXHAUSTED", message)}
    with pytest.raises(error) as caught:
        make(version=1, retries=2).encode(["a"])
    assert message in str(caught.value) and len(transport.asked) == attempts
    assert ("too large" in str(caught.value)) == (attempts == 1)


def test_a_run_goes_on_with_its_version(transport, tmp_path):
    text, output = tmp_path / "text.txt", tmp_path / "rows.npy"
    journal = tmp_path / "rows.npy.unfinished.jsonl"
    arguments = ["client", "http://localhost:1", f"@{text}", "--output", output]
    transport.states = itertools.repeat("AVAILABLE")
    text.write_bytes(b"a\nb\n\xff\n")
    broken = run(main, *arguments, "--batch-size", 1, "--connections", 1)
    assert broken.returncode == 2
    settings = json.loads(journal.read_text().splitlines()[0])["settings"]
    assert settings == {"model": "labse", "version": 1}
    text.write_bytes(b"a\nb\nc\nd\n")
    transport.newest, transport.asked = 2, []
    other = run(main, *arguments, "--resume", "--version", 2)
    assert other.returncode == 2 and not transport.asked
    assert "version was 1 and is now 2" in other.stderr
    resumed = run(main, *arguments, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert set(transport.asked) == {1}
    np.testing.assert_allclose(np.load(output)[:, 0], list(b"abcd"))
    assert not journal.exists()
