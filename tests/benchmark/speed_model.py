"""The model and the sentences of the speed benchmark, in every format that a system of it reads.

python -m tests.benchmark.speed_model FOLDER base release hugging-face ...

LaBSE's layers with random weights. The vocabulary is the demo's, of 16,000 word pieces where LaBSE
has 501,153: that is fair, as a row is looked up at the same cost in a table of any size, and
everything behind it is as large as LaBSE's. Or labse-mini itself. All formats hold the very same
weights, and what is in the folder already is kept.
"""

import gzip
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

import labse_tf
from labse_tf.conversion.quantized_releases import quantize
from labse_tf.encoder import weights
from labse_tf.files.atomic import atomic_directory
from labse_tf.models import NAME
from labse_tf.pretrained import hugging_face, model_garden

ROOT = Path(__file__).parents[2]
VOCABULARY = ROOT / "build" / "demo" / "vocab.txt"
SAMPLE = ROOT / "training" / "sample"
SIZES = {  # of LaBSE; the model of the package; and for trying the benchmark itself
    "base": {},
    NAME: None,
    "tiny": dict(hidden_size=64, num_layers=2, num_heads=4, intermediate_size=256),
}


def write_release(path, size):
    if SIZES[size] is None:
        return labse_tf.load(size).save(path)
    preprocessor = labse_tf.Preprocessor(VOCABULARY)
    config = labse_tf.EncoderConfig(preprocessor.vocab_size, **SIZES[size])
    encoder = weights.unfilled_encoder(config)
    rng = np.random.default_rng(0)
    for weight in encoder.weights:
        kind = weight.name.removesuffix(":0").split("/")[-1]
        # No bias is zero and no norm the identity. What every sentence has in common, positions
        # and types, is small and the kernels keep the variance (0.036 in LaBSE's width), so that
        # different sentences' embeddings differ: with BERT's 0.02 their cosines are about 0.97.
        scale = {
            "kernel": weight.shape[0] ** -0.5, "word": 0.05, "position": 0.01, "type": 0.01,
            "scale": 0.1, "offset": 0.02, "bias": 0.02,
        }[kind]  # fmt: skip
        mean = 1 if kind == "scale" else 0

        def fill(array, scale=scale, mean=mean):
            array[...] = rng.standard_normal(array.shape, np.float32) * np.float32(scale) + mean

        weights.assign(weight, fill)
    labse_tf.LaBSE(preprocessor, encoder).save(path)


def write_release_bfloat16(path, model):
    model.save(path, compute_dtype="bfloat16")


def write_release_int8(path, model):
    """Calibrated on the training sentences of the sample, not on those that are embedded."""
    corpus = sorted(SAMPLE.glob("*.train.tsv.gz"))
    quantize(path.parent / "release", path, corpus)


def write_hugging_face(path, model):
    hugging_face.write(path, model.preprocessor, model.encoder)


def write_tf_hub(path, model):
    """What the Model Garden's export_tfhub.py writes: the interface of google/LaBSE/2."""
    from official.nlp.modeling.networks import BertEncoder

    from tests.model_garden import export_for_tf_hub

    def gelu(x):  # LaBSE's, while the Model Garden's own default is the approximation by tanh
        return tf_keras.activations.gelu(x, approximate=False)

    config = model.encoder.config
    encoder = BertEncoder(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        num_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        max_sequence_length=config.max_positions,
        type_vocab_size=config.type_vocab_size,
        inner_dim=config.intermediate_size,
        inner_activation=gelu,
        dict_outputs=True,
    )
    with atomic_directory(path) as unfinished, tempfile.TemporaryDirectory() as temporary:
        checkpoint = Path(temporary) / "checkpoint"
        model_garden.write(checkpoint, model.preprocessor, model.encoder)
        restored = tf.train.Checkpoint(encoder=encoder).read(str(checkpoint / "bert_model.ckpt"))
        restored.assert_consumed()
        vocabulary = path.parent / "release" / "assets" / "vocab.txt"
        export_for_tf_hub(encoder, vocabulary, unfinished)


def write_onnx_int8(path, model):
    """transformers' BertModel through torch.onnx, then ONNX Runtime's dynamic quantisation."""
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from transformers import BertModel

    names = ["input_ids", "attention_mask", "token_type_ids"]

    class Pooled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            # Eager attention is matmuls and a softmax, which the exporter knows how to write.
            self.bert = BertModel.from_pretrained(
                path.parent / "hugging-face", attn_implementation="eager"
            )

        def forward(self, *inputs):
            return self.bert(**dict(zip(names, inputs))).pooler_output

    axes = {**{name: {0: "batch", 1: "width"} for name in names}, "pooled": {0: "batch"}}
    example = torch.ones([3, 2, 7], dtype=torch.long)
    example[1, 1, 4:] = 0  # with padding: a mask of ones alone might be traced as none
    with atomic_directory(path) as unfinished:
        float32, int8 = (os.path.join(unfinished, name) for name in ("float32.onnx", "model.onnx"))
        # Not by torch.export (dynamo), which needs onnxscript besides.
        torch.onnx.export(
            Pooled().eval(), tuple(example), float32, input_names=names, output_names=["pooled"],
            dynamic_axes=axes, opset_version=17, dynamo=False,
        )  # fmt: skip
        quantize_dynamic(float32, int8, weight_type=QuantType.QInt8)
        os.remove(float32)


FORMATS = {
    "release-bfloat16": write_release_bfloat16,
    "release-int8": write_release_int8,
    "hugging-face": write_hugging_face,
    "tf-hub": write_tf_hub,
    "onnx-int8": write_onnx_int8,
}


def write_sentences(path, preprocessor):
    """The held-out sentences of the 13 languages and as many English ones, in random order."""
    languages = {}
    for file_name in sorted(SAMPLE.glob("*.heldout.tsv.gz")):
        with gzip.open(file_name, "rt", encoding="utf-8") as file:
            pairs = [line.rstrip("\n").split("\t")[:2] for line in file]
        languages[file_name.name[:3]] = [source for source, _ in pairs]
        languages.setdefault("eng", [target for _, target in pairs])
    found = [sentence for sentences in languages.values() for sentence in sentences]
    found = [found[i] for i in np.random.default_rng(0).permutation(len(found))]
    pieces = preprocessor.word_pieces(tf.constant(found))
    tokens = [int(n) + 2 for n in pieces.row_lengths()]  # with [CLS] and [SEP]
    contents = {"languages": len(languages), "sentences": found, "tokens": tokens}
    path.write_text(json.dumps(contents), encoding="utf-8")


def main(folder, size, *formats):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    release = folder / "release"
    if not release.exists():
        write_release(release, size)
    if not (folder / "sentences.json").exists():
        write_sentences(folder / "sentences.json", labse_tf.load(release).preprocessor)
    missing = [name for name in formats if name != "release" and not (folder / name).exists()]
    if missing:
        model = labse_tf.load(release)
        for name in missing:
            print(f"writing {name}", file=sys.stderr, flush=True)
            FORMATS[name](folder / name, model)


if __name__ == "__main__":
    main(*sys.argv[1:])
