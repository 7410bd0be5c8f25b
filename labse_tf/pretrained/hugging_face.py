"""Models of transformers and sentence-transformers: read and written.

A directory holds one of

- a BertModel with its pooler (setu4993/LaBSE): config.json, model.safetensors, tokenizer files;
- a SentenceTransformer (sentence-transformers/LaBSE, intfloat/multilingual-e5-small): modules.json,
  which names the folders of a BertModel or XLMRobertaModel, of Pooling ([CLS] or mean), of Dense
  (tanh; after [CLS]) and of Normalize.

The tokenizer is BERT's WordPiece or XLM-RoBERTa's SentencePiece. What is written is a BertModel: an
encoder that was read from an XLMRobertaModel counts its positions from 0, as BertModel does.
"""

from __future__ import annotations

import dataclasses
import json
import os

from labse_tf.encoder.config import EncoderConfig
from labse_tf.encoder.encoder import Encoder
from labse_tf.extras import install_hint
from labse_tf.files.atomic import atomic_directory
from labse_tf.pretrained import bert_files
from labse_tf.pretrained.safetensors_files import FILE, StoredTensor, write_tensors
from labse_tf.pretrained.sentence_transformer_files import MODULES, read_modules, write_modules
from labse_tf.pretrained.tokenizer_files import model_max_length, read_tokenizer, write_tokenizer
from labse_tf.tokenization.choices import SENTENCEPIECE
from labse_tf.tokenization.preprocessing import DEFAULT_SEQ_LENGTH, Preprocessor

_PADDED_TO = (8, 16, 32, 64, 128)  # rows of a word table, for faster matmuls


def is_hugging_face(path: str | os.PathLike) -> bool:
    """Whether `path` is a directory that looks like a model of Hugging Face."""
    return any(os.path.isfile(os.path.join(path, name)) for name in (bert_files.CONFIG, MODULES))


def download(repo_id: str) -> str:
    """The directory to which a model of huggingface.co was fetched, now or before.

    Only JSON, text and safetensors files are: no pickle, and no code.

    Raises:
        FileNotFoundError: there is no such repository, or not for this user.
        ImportError: huggingface_hub is not installed.
        OSError: it could not be fetched, as when the machine is offline.
    """
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import RepositoryNotFoundError
    except ImportError as error:
        raise ImportError(
            f"{repo_id!r} is no directory here; fetching it from Hugging Face needs "
            f"huggingface_hub: {install_hint('hugging-face')}"
        ) from error
    try:
        return snapshot_download(
            repo_id, allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model"]
        )
    except RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"{repo_id!r} is neither a directory here nor a repository on Hugging Face that this "
            "user may read. If it is a private one, log in with `hf auth login`."
        ) from error
    except Exception as error:  # the errors of its HTTP library, which differs between versions
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise OSError(
            f"Cannot fetch {repo_id!r} from Hugging Face: {reason} Is this machine online?"
        ) from error


def read(path: str | os.PathLike, seq_length: int | None = None) -> tuple[Preprocessor, Encoder]:
    """Reads a directory of either layout.

    Args:
        path: the directory.
        seq_length: longest sequence in tokens. None: a SentenceTransformer's own; for a BertModel,
            which has none, the Preprocessor's default; at most `max_positions` in both cases.

    Raises:
        FileNotFoundError: the directory or a file of it is missing.
        ImportError: safetensors is not installed.
        ValueError: it is not a whole model, or not one that is computed as LaBSE is; the message
            has the file, what was found, and what to do. No weight is ever left random.
    """
    path = os.fspath(path)
    if not os.path.isdir(path):
        raise FileNotFoundError(f"There is no directory {path!r}.")
    if not is_hugging_face(path):
        raise ValueError(
            f"{path!r} is no model of Hugging Face: it has neither {bert_files.CONFIG} nor "
            f"{MODULES}. It holds: {sorted(os.listdir(path))[:10]}."
        )
    bert, pooling, dense, own_length = path, "cls", None, DEFAULT_SEQ_LENGTH
    lower_cases, prompts, default_prompt_name = False, {}, None
    if os.path.isfile(os.path.join(path, MODULES)):
        modules = read_modules(path)
        bert, pooling, dense = modules.transformer, modules.pooling, modules.dense
        lower_cases, prompts = modules.do_lower_case, modules.prompts
        default_prompt_name = modules.default_prompt_name
        own_length = modules.max_seq_length or model_max_length(bert)
    config_file = os.path.join(bert, bert_files.CONFIG)
    config = bert_files.read_config(config_file, pooling)
    if seq_length is None:
        seq_length = min(own_length or config.max_positions, config.max_positions)
    if seq_length > config.max_positions:
        raise ValueError(
            f"`seq_length` (={seq_length}) must be at most the `max_position_embeddings` "
            f"(={config.max_positions}) of {config_file!r}."
        )
    tensors = bert_files.read_bert(bert, pooling, dense)
    preprocessor = read_tokenizer(bert, seq_length).with_prompts(prompts, default_prompt_name)
    is_sentencepiece = preprocessor.tokenization == SENTENCEPIECE
    config, tensors = _without_padding(config, tensors, preprocessor.vocab_size, is_sentencepiece)
    encoder = bert_files.unfilled(config, tensors, bert)
    if preprocessor.vocab_size != config.vocab_size:
        raise ValueError(
            f"{bert!r}: the vocabulary has {preprocessor.vocab_size} tokens, but the table of word "
            f"embeddings has {config.vocab_size} rows. One of them is another model's."
        )
    if lower_cases and not preprocessor.lower_case:
        raise ValueError(
            f"{path!r}: sentence_bert_config.json has do_lower_case, but the tokenizer has not. "
            "Text would be lower-cased and keep its accents, which is not supported."
        )
    bert_files.fill(encoder, tensors)
    return preprocessor, encoder


def _without_padding(
    config: EncoderConfig,
    tensors: dict[str, StoredTensor],
    vocab_size: int,
    is_sentencepiece: bool,
) -> tuple[EncoderConfig, dict[str, StoredTensor]]:
    """Drop the rows at the end of the embedding matrix that no token has.

    They round the size up; in models with XLM-RoBERTa's tokenizer there may be any number of them
    (intfloat/multilingual-e5-small has 250,037 rows for 250,002 tokens).
    """
    rows, table = config.vocab_size, tensors.get(bert_files.WORDS)
    rounded_up = rows in {-(-vocab_size // multiple) * multiple for multiple in _PADDED_TO}
    is_padded = rounded_up or (is_sentencepiece and rows > vocab_size)
    if rows == vocab_size or not is_padded or table is None or table.shape[:1] != [rows]:
        return config, tensors
    table = dataclasses.replace(table, shape=[vocab_size, *table.shape[1:]])
    config = dataclasses.replace(config, vocab_size=vocab_size)
    return config, {**tensors, bert_files.WORDS: table}


def write(path: str | os.PathLike, preprocessor: Preprocessor, encoder: Encoder) -> None:
    """Writes a directory that SentenceTransformer and transformers.BertModel load, and `read`.

    With pooling "cls" the dense layer stands in it twice, as BertModel's pooler and as the Dense
    of the SentenceTransformer. It is written whole or not at all, and tensor by tensor.

    Raises:
        FileExistsError: `path` exists.
        OSError: it could not be written, as on a full disk.
        ValueError: the vocabulary is not the encoder's.
    """
    path = os.path.abspath(path)
    if os.path.lexists(path):
        raise FileExistsError(f"{path!r} exists. Choose another path.")
    config = encoder.config
    if preprocessor.vocab_size != config.vocab_size:
        raise ValueError(
            f"The vocabulary has {preprocessor.vocab_size} tokens, but the encoder's `vocab_size` "
            f"is {config.vocab_size}."
        )
    with atomic_directory(path) as unfinished:
        with open(os.path.join(unfinished, bert_files.CONFIG), "w", encoding="utf-8") as file:
            file.write(
                json.dumps(bert_files.config_to_write(config, preprocessor.padding_id), indent=2)
                + "\n"
            )
        write_tokenizer(unfinished, preprocessor)
        tensors = bert_files.tensors_to_write(encoder)
        write_tensors(os.path.join(unfinished, FILE), tensors)
        if dense := write_modules(
            unfinished,
            config,
            preprocessor.seq_length,
            preprocessor.prompts,
            preprocessor.default_prompt_name,
        ):
            write_tensors(os.path.join(dense, FILE), bert_files.dense_to_write(tensors))
