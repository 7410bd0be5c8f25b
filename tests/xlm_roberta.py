"""Directories of Hugging Face with XLM-RoBERTa's tokenizer and random weights."""

import json

from safetensors.numpy import save_file

from tests.numpy_bert import random_tensors

PADDING_ROWS = 5  # of the embedding matrix, more than there are tokens


def write_directory(folder, preprocessor, model_type, pooling):
    """A SentenceTransformer of random weights; returns its configuration and tensors."""
    is_xlm_roberta = model_type == "xlm-roberta"
    config = {
        "model_type": model_type,
        "vocab_size": preprocessor.vocab_size + PADDING_ROWS,
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 40,
        "max_position_embeddings": 34,
        "type_vocab_size": 1 if is_xlm_roberta else 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
        "pad_token_id": 1,
    }
    tensors = random_tensors(config, pooler=is_xlm_roberta)
    prefix = "roberta." if is_xlm_roberta else ""
    (folder / "1_Pooling").mkdir(parents=True)
    save_file({prefix + name: x for name, x in tensors.items()}, folder / "model.safetensors")
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate({"": "Transformer", "1_Pooling": "Pooling"}.items())
    ]
    files = {
        "config.json": config,
        "modules.json": modules,
        "sentence_bert_config.json": {"max_seq_length": 20},
        "1_Pooling/config.json": {f"pooling_mode_{pooling}": True},
        "tokenizer_config.json": {"tokenizer_class": "XLMRobertaTokenizer"},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "sentencepiece.bpe.model").write_bytes(preprocessor.vocabulary)
    return config, tensors
