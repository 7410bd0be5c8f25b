"""EncoderConfig against hand-worked numbers and Python's own json."""

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labse_tf.encoder.config import EncoderConfig


def number_of_parameters(config: EncoderConfig) -> int:
    """Weights of a BERT encoder of this shape, with LaBSE's pooler when pooling is "cls"."""
    width, inner = config.hidden_size, config.intermediate_size
    layer_norm = 2 * width
    embeddings = (config.vocab_size + config.max_positions + config.type_vocab_size) * width
    attention = 4 * (width * width + width)  # query, key, value, output
    feed_forward = width * inner + inner + inner * width + width
    layer = attention + feed_forward + 2 * layer_norm
    pooler = width * width + width if config.pooling == "cls" else 0
    return embeddings + layer_norm + config.num_layers * layer + pooler


def test_base_has_the_shape_of_google_labse():
    # The variables of google/LaBSE/2:
    #   word embeddings  501,153 x 768                                     384,885,504
    #   positions            512 x 768                                         393,216
    #   segment types          2 x 768                                           1,536
    #   layer norm             2 x 768                                           1,536
    #   12 layers:  attention      4 x (768 x 768 + 768)      2,362,368
    #               feed-forward   768 x 3072 + 3072
    #                            + 3072 x 768 + 768            4,722,432
    #               layer norms    2 x 2 x 768                    3,072
    #                                                       12 x 7,087,872      85,054,464
    #   pooler           768 x 768 + 768                                         590,592
    #                                                                        470,926,848
    config = EncoderConfig.base()
    assert number_of_parameters(config) == 470_926_848
    # What the number of weights does not tell:
    assert (config.num_heads, config.head_size) == (12, 64)
    assert config.pooling == "cls"
    assert config.dropout == 0.1
    assert config.layer_norm_epsilon == 1e-12
    assert config.initializer_range == 0.02


def test_the_defaults_are_those_of_base():
    assert EncoderConfig(vocab_size=501_153) == EncoderConfig.base()
    assert EncoderConfig.base(1000, dropout=0.0) == EncoderConfig(vocab_size=1000, dropout=0.0)


def test_small():
    # 1,000 word pieces, 128 positions and 2 types of 256:            1,130 x 256 =   289,280
    # layer norm                                                          2 x 256 =       512
    # 2 layers: 4 x (256 x 256 + 256) + 2 x 256 x 1024 + 1024 + 256 + 2 x 2 x 256
    #           = 263,168 + 525,568 + 1,024 = 789,760                         x 2 = 1,579,520
    # mean pooling has no weights                                           total   1,869,312
    config = EncoderConfig.small(1000)
    assert number_of_parameters(config) == 1_869_312
    assert (config.pooling, config.num_heads, config.head_size) == ("mean", 4, 64)
    changed = EncoderConfig.small(1000, num_layers=0, pooling="cls")
    assert changed == dataclasses.replace(config, num_layers=0, pooling="cls")


@st.composite
def configs(draw):
    heads = draw(st.integers(1, 16))
    size = st.integers(1, 10**6)
    rate = st.floats(0, 1, exclude_max=True)
    positive = st.floats(0, 10, exclude_min=True)
    return EncoderConfig(
        vocab_size=draw(size),
        hidden_size=heads * draw(st.integers(1, 128)),
        num_layers=draw(st.integers(0, 48)),
        num_heads=heads,
        intermediate_size=draw(size),
        max_positions=draw(st.integers(3, 4096)),
        type_vocab_size=draw(st.integers(1, 4)),
        pooling=draw(st.sampled_from(["cls", "mean"])),
        activation=draw(st.sampled_from(["gelu", "gelu_tanh", "relu"])),
        dropout=draw(rate),
        layer_norm_epsilon=draw(positive),
        initializer_range=draw(positive),
    )


@given(configs())
@settings(deadline=None)
def test_json_round_trip(config):
    written = config.to_json()
    fields = json.loads(written)
    assert fields == {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    # Read again as another program would write it: other order, other white space.
    rewritten = json.dumps(dict(reversed(fields.items())), separators=(",", ":"))
    for text in (written, rewritten):
        read = EncoderConfig.from_json(text)
        assert read == config
        assert all(type(getattr(read, name)) is type(value) for name, value in fields.items())


def test_json_holds_plain_values_under_the_documented_names():
    config = EncoderConfig.small(64, dropout=0.25)
    assert json.loads(config.to_json()) == {
        "vocab_size": 64,
        "hidden_size": 256,
        "num_layers": 2,
        "num_heads": 4,
        "intermediate_size": 1024,
        "max_positions": 128,
        "type_vocab_size": 2,
        "pooling": "mean",
        "activation": "gelu",
        "dropout": 0.25,
        "layer_norm_epsilon": 1e-12,
        "initializer_range": 0.02,
    }


def test_json_needs_only_the_vocabulary_size():
    assert EncoderConfig.from_json('{"vocab_size": 501153}') == EncoderConfig.base()


OUT_OF_RANGE = [
    ("vocab_size", 0),
    ("vocab_size", -1),
    ("hidden_size", 0),
    ("num_layers", -1),
    ("num_heads", 0),
    ("intermediate_size", 0),
    ("max_positions", 2),
    ("type_vocab_size", 0),
    ("num_heads", 7),  # does not divide 768
    ("hidden_size", 100),  # not a multiple of 12
    ("pooling", "max"),
    ("pooling", None),
    ("activation", "gelu_new"),
    ("dropout", -0.1),
    ("dropout", 1.0),
    ("dropout", float("nan")),
    ("layer_norm_epsilon", 0.0),
    ("layer_norm_epsilon", -1e-12),
    ("layer_norm_epsilon", float("nan")),
    ("initializer_range", 0),
    ("initializer_range", -0.02),
    ("initializer_range", float("nan")),
]


@pytest.mark.parametrize(("name", "value"), OUT_OF_RANGE)
def test_a_value_out_of_range_is_named(name, value):
    with pytest.raises(ValueError) as error:
        EncoderConfig(**{"vocab_size": 1000, name: value})
    assert f"`{name}` (={value!r})" in str(error.value)


def test_both_sides_of_the_division_are_named():
    with pytest.raises(ValueError) as error:
        EncoderConfig(vocab_size=1000, hidden_size=100, num_heads=7)
    assert "`hidden_size` (=100)" in str(error.value)
    assert "`num_heads` (=7)" in str(error.value)


INT_FIELDS = [
    "vocab_size",
    "hidden_size",
    "num_layers",
    "num_heads",
    "intermediate_size",
    "max_positions",
    "type_vocab_size",
]
FLOAT_FIELDS = ["dropout", "layer_norm_epsilon", "initializer_range"]


@pytest.mark.parametrize(
    ("name", "value"),
    # A bool is an int in Python, and True a legal number of layers; here it is a mistake.
    [(name, value) for name in INT_FIELDS for value in (True, 12.0, "12", None)]
    + [(name, value) for name in FLOAT_FIELDS for value in (True, "0.5", None)],
)
def test_a_value_of_a_wrong_type_is_named(name, value):
    with pytest.raises(TypeError) as error:
        EncoderConfig(**{"vocab_size": 1000, name: value})
    assert f"`{name}`" in str(error.value)
    assert repr(value) in str(error.value)


@pytest.mark.parametrize(("name", "value"), [("vocab_size", True), ("num_layers", 2.0)])
def test_a_value_of_a_wrong_type_in_json_is_named(name, value):
    fields = {"vocab_size": 1000, name: value}
    with pytest.raises((TypeError, ValueError)) as error:
        EncoderConfig.from_json(json.dumps(fields))
    assert f"`{name}`" in str(error.value)
    assert repr(value) in str(error.value)


def test_limits_are_legal():
    config = EncoderConfig(
        vocab_size=1,
        hidden_size=1,
        num_layers=0,
        num_heads=1,
        intermediate_size=1,
        max_positions=3,
        type_vocab_size=1,
        dropout=0,
    )
    assert config.num_layers == 0
    # Embeddings (1 + 3 + 1), layer norm (2), pooler (1 + 1): no layer.
    assert number_of_parameters(config) == 9
    assert EncoderConfig.from_json(config.to_json()) == config


def test_an_unknown_field_is_named():
    with pytest.raises(ValueError, match="hidden_sise") as error:
        EncoderConfig.from_json('{"vocab_size": 1000, "hidden_sise": 768}')
    assert "hidden_size" in str(error.value)  # what was meant stands among the known


def test_a_missing_vocabulary_size_is_named():
    with pytest.raises(ValueError, match="lacks `vocab_size`"):
        EncoderConfig.from_json('{"hidden_size": 768}')
    with pytest.raises(TypeError, match="vocab_size"):
        EncoderConfig()


@pytest.mark.parametrize("text", ["", "vocab_size: 1000", '{"vocab_size": 1000', "{1000}"])
def test_what_is_not_json(text):
    with pytest.raises(ValueError, match="is not JSON") as error:
        EncoderConfig.from_json(text)
    assert isinstance(error.value.__cause__, json.JSONDecodeError)


@pytest.mark.parametrize("text", ["1000", "null", '"vocab_size"', '[["vocab_size", 1000]]'])
def test_json_that_is_no_object(text):
    with pytest.raises(ValueError, match="must be a JSON object"):
        EncoderConfig.from_json(text)


def test_frozen():
    config = EncoderConfig(vocab_size=1000)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.num_layers = 3
    assert config.num_layers == 12
    # Frozen and compared by value, so a configuration can be a key.
    assert {config: "a"}[EncoderConfig(vocab_size=1000)] == "a"
    with pytest.raises(ValueError, match="num_layers"):
        dataclasses.replace(config, num_layers=-1)
