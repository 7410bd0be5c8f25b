"""Whether sentence-transformers and transformers see in a directory the model that we wrote.

Not a test of pytest's: it needs a Python with sentence-transformers (and torch), which is no
dependency of this project. In a Python with labse_tf, for a `model` and a list of `sentences`:

    hugging_face.write("DIR", model.preprocessor, model.encoder)
    packed = model.preprocessor(tf.constant(sentences))
    pooled = model.encoder(packed)["default"]
    np.savez("expected.npz", embeddings=model.encode(sentences), pooled=pooled, **packed)

and then, with one sentence a line:

    python tests/interchange/with_sentence_transformers.py DIR sentences.txt expected.npz
"""

import os
import sys

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer, BertModel
from transformers.utils import logging

logging.disable_progress_bar()


def main(directory: str, sentences_file: str, expected_file: str) -> bool:
    with open(sentences_file, encoding="utf-8") as file:
        sentences = file.read().removesuffix("\n").split("\n")
    expected = np.load(expected_file)
    width = expected["input_word_ids"].shape[1]

    model = SentenceTransformer(directory, device="cpu")
    cosines = (model.encode(sentences) * expected["embeddings"]).sum(axis=1)
    print(f"{len(sentences)} sentences, modules: {', '.join(type(m).__name__ for m in model)}")
    print(f"min cosine        {cosines.min():.8f}")
    good = cosines.min() > 0.99999 and model.max_seq_length == width

    packed = AutoTokenizer.from_pretrained(directory)(
        sentences, padding="max_length", truncation=True, max_length=width, return_tensors="np"
    )
    differ = (packed["input_ids"] != expected["input_word_ids"]).any(axis=1)
    print(f"rows of other ids {differ.sum()}")
    for index in np.flatnonzero(differ)[:5]:
        print("   ", repr(sentences[index]))
    good = good and not differ.any()

    bert, report = BertModel.from_pretrained(directory, output_loading_info=True)
    bert.eval()
    inputs = {
        theirs: torch.tensor(expected[ours], dtype=torch.long)
        for theirs, ours in (
            ("input_ids", "input_word_ids"),
            ("attention_mask", "input_mask"),
            ("token_type_ids", "input_type_ids"),
        )
    }
    with torch.no_grad():
        outputs = bert(**inputs)
    if os.path.isdir(os.path.join(directory, "2_Dense")):
        pooled = outputs.pooler_output
        absent = set()
    else:
        mask = inputs["attention_mask"][:, :, None]
        pooled = (outputs.last_hidden_state * mask).sum(1) / mask.sum(1)
        absent = {"pooler.dense.weight", "pooler.dense.bias"}
    difference = np.abs(pooled.numpy() - expected["pooled"]).max()
    print(f"max difference    {difference:.2e} of pooled outputs")
    print(f"missing tensors   {sorted(report['missing_keys'])}")
    print(f"unused tensors    {sorted(report['unexpected_keys'])}")
    good = good and set(report["missing_keys"]) == absent and not report["unexpected_keys"]
    return good and difference < 1e-5


if __name__ == "__main__":
    sys.exit(0 if main(*sys.argv[1:]) else 1)
