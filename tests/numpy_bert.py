"""BERT in NumPy, from tensors under Hugging Face's names: nothing of labse_tf is in it."""

import math

import numpy as np

_ERF = np.vectorize(math.erf)

ACTIVATIONS = {
    "gelu": lambda x: x * 0.5 * (1 + _ERF(x / math.sqrt(2))),
    "gelu_new": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "relu": lambda x: np.maximum(x, 0),
}


def random_tensors(config, pooler=True, seed=0):
    """float32 tensors of a BertModel that tell every part apart; config: of config.json."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    shapes = {
        "embeddings.word_embeddings.weight": [config["vocab_size"], hidden],
        "embeddings.position_embeddings.weight": [config["max_position_embeddings"], hidden],
        "embeddings.token_type_embeddings.weight": [config["type_vocab_size"], hidden],
    }

    def dense(name, inputs, outputs):
        shapes.update({f"{name}.weight": [outputs, inputs], f"{name}.bias": [outputs]})

    def norm(name):
        shapes.update({f"{name}.LayerNorm.weight": [hidden], f"{name}.LayerNorm.bias": [hidden]})

    norm("embeddings")
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}"
        for part in ("query", "key", "value"):
            dense(f"{layer}.attention.self.{part}", hidden, hidden)
        dense(f"{layer}.attention.output.dense", hidden, hidden)
        norm(f"{layer}.attention.output")
        dense(f"{layer}.intermediate.dense", hidden, inner)
        dense(f"{layer}.output.dense", inner, hidden)
        norm(f"{layer}.output")
    if pooler:
        dense("pooler.dense", hidden, hidden)
    rng = np.random.default_rng(seed)
    return {
        name: (rng.normal(scale=0.3, size=shape) + ("LayerNorm.weight" in name)).astype(np.float32)
        for name, shape in shapes.items()
    }


def bert(tensors, config, ids, mask, types):
    """int [batch, width] three times -> sequence output, float64 [batch, width, hidden]."""
    tensors = {name: values.astype(np.float64) for name, values in tensors.items()}

    def dense(x, name):
        return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + config["layer_norm_eps"])
        return x * tensors[f"{name}.LayerNorm.weight"] + tensors[f"{name}.LayerNorm.bias"]

    batch, width = ids.shape
    heads = config["num_attention_heads"]

    def split(x):
        return x.reshape(batch, width, heads, -1).transpose(0, 2, 1, 3)

    x = tensors["embeddings.word_embeddings.weight"][ids]
    x = x + tensors["embeddings.position_embeddings.weight"][:width]
    x = norm(x + tensors["embeddings.token_type_embeddings.weight"][types], "embeddings")
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}"
        query, key, value = (
            split(dense(x, f"{layer}.attention.self.{part}")) for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 1, 3, 2) / math.sqrt(query.shape[-1])
        scores = np.where(mask[:, None, None, :] == 1, scores, -1e9)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        context = (weights @ value).transpose(0, 2, 1, 3).reshape(x.shape)
        x = norm(x + dense(context, f"{layer}.attention.output.dense"), f"{layer}.attention.output")
        y = ACTIVATIONS[config["hidden_act"]](dense(x, f"{layer}.intermediate.dense"))
        x = norm(x + dense(y, f"{layer}.output.dense"), f"{layer}.output")
    return x


def cls_pooled(sequence, weight, bias):
    """tanh(dense([CLS])), float64 [batch, hidden]."""
    return np.tanh(sequence[:, 0] @ weight.astype(np.float64).T + bias)


def mean_pooled(sequence, mask):
    """The mean of the tokens under the mask, float64 [batch, hidden]."""
    return (sequence * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
