"""SentencePiece models with the token ids of XLM-RoBERTa; does not import TensorFlow.

XLM-RoBERTa, multilingual E5, BGE-M3 and paraphrase-multilingual-* share one id layout: `<s>` 0,
`<pad>` 1, `</s>` 2, `<unk>` 3, piece i of the SentencePiece model at i + 1 (from i = 3 on), and
`<mask>` last (transformers.XLMRobertaTokenizer).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Sequence

import numpy as np
from google.protobuf.message import DecodeError
from sentencepiece import sentencepiece_model_pb2 as proto

START, PADDING, END, UNKNOWN, MASK = "<s>", "<pad>", "</s>", "<unk>", "<mask>"
START_ID, PADDING_ID, END_ID, UNKNOWN_ID = range(4)
OFFSET = 1  # from the index of a piece in the model to its token id; `<unk>`, piece 0, is 3
_MODEL_START = (UNKNOWN, START, END)  # first pieces of the model
_SPACE = "\u2581"  # a word that is not a piece is spelled behind it
_Piece = proto.ModelProto.SentencePiece


class SentencePieceModel:
    """A SentencePiece model and its vocabulary in XLM-RoBERTa's id layout.

    Args:
        serialized: Content of a `sentencepiece.bpe.model` or `spiece.model` file, a ModelProto.
        name: Name of the model in error messages, such as its path.

    Raises:
        ValueError: If `serialized` is not a SentencePiece model, or its first pieces are not
            `<unk>`, `<s>` and `</s>`.
    """

    def __init__(self, serialized: bytes, name: str = "The SentencePiece model"):
        self.serialized = serialized
        self._proto = proto.ModelProto()
        try:
            self._proto.ParseFromString(serialized)
        except DecodeError as error:
            raise ValueError(f"{name} is not a SentencePiece model: {error}.") from error
        first = tuple(piece.piece for piece in self._proto.pieces[:3])
        if first != _MODEL_START:
            raise ValueError(
                f"{name}: the first pieces are {first}, but XLM-RoBERTa's models start with "
                f"{_MODEL_START}. Other id layouts are not supported."
            )

    @classmethod
    def from_file(cls, path: str | os.PathLike) -> SentencePieceModel:
        """Read a model file.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is not a SentencePiece model in XLM-RoBERTa's layout.
        """
        path = os.fspath(path)
        if not os.path.isfile(path):
            raise FileNotFoundError(f"There is no vocabulary file {path!r}.")
        with open(path, "rb") as file:
            return cls(file.read(), repr(path))

    @classmethod
    def from_unigram(
        cls, vocabulary: Sequence[tuple[str, float]], normalization_map: bytes
    ) -> SentencePieceModel:
        """Build a unigram model from the vocabulary of a `tokenizer.json`.

        Args:
            vocabulary: Pairs of token and log probability in the order of the token ids.
            normalization_map: SentencePiece's `precompiled_charsmap`; b"" for no normalization.

        Raises:
            ValueError: If the tokens are not in XLM-RoBERTa's id layout.
        """
        tokens = [token for token, _ in vocabulary]
        special = (*tokens[:4], *tokens[-1:])
        if special != (START, PADDING, END, UNKNOWN, MASK):
            raise ValueError(
                f"The first four tokens and the last one are {special}, but XLM-RoBERTa's are "
                f"{(START, PADDING, END, UNKNOWN, MASK)}."
            )
        model = proto.ModelProto()
        for token in _MODEL_START:
            kind = _Piece.UNKNOWN if token == UNKNOWN else _Piece.CONTROL
            model.pieces.add(piece=token, score=0.0, type=kind)
        for token, score in vocabulary[4:-1]:
            model.pieces.add(piece=token, score=score, type=_Piece.NORMAL)
        trainer, normalizer = model.trainer_spec, model.normalizer_spec
        trainer.model_type, trainer.vocab_size = proto.TrainerSpec.UNIGRAM, len(model.pieces)
        trainer.unk_id, trainer.bos_id, trainer.eos_id, trainer.pad_id = 0, 1, 2, -1
        normalizer.precompiled_charsmap = normalization_map
        normalizer.add_dummy_prefix = normalizer.remove_extra_whitespaces = True
        normalizer.escape_whitespaces = True
        return cls(model.SerializeToString(deterministic=True))

    @property
    def vocab_size(self) -> int:
        """Number of token ids, special tokens included."""
        return len(self._proto.pieces) + 2  # <pad> and <mask> are not in the model

    @property
    def mask_id(self) -> int:
        """Token id of `<mask>`."""
        return self.vocab_size - 1

    @functools.cached_property
    def tokens(self) -> list[str]:
        """Tokens in the order of their ids."""
        pieces = [piece.piece for piece in self._proto.pieces[len(_MODEL_START) :]]
        return [START, PADDING, END, UNKNOWN, *pieces, MASK]

    @functools.cached_property
    def scores(self) -> np.ndarray:
        """Log probabilities of the tokens, float32 [vocab_size]; 0 for special tokens."""
        scores = [piece.score for piece in self._proto.pieces[len(_MODEL_START) :]]
        return np.array([0, 0, 0, 0, *scores, 0], np.float32)

    @property
    def normalization_map(self) -> bytes:
        """SentencePiece's `precompiled_charsmap`."""
        return self._proto.normalizer_spec.precompiled_charsmap

    @property
    def is_unigram(self) -> bool:
        """Whether the model segments by the unigram language model (not BPE)."""
        return self._proto.trainer_spec.model_type == proto.TrainerSpec.UNIGRAM

    def with_token_ids(self, token_ids: Iterable[int]) -> SentencePieceModel:
        """Return a model with some of the tokens; ids are renumbered in their order.

        A text that is segmented into retained pieces has the same segmentation in the new model:
        the other segmentations are fewer, and the score of `<unk>`, which depends on the lowest
        score of all pieces, must not change (see `required_ids`).

        Args:
            token_ids: Rising ids, which include `required_ids`.

        Raises:
            ValueError: If a required id is missing, or the model is not a unigram model.
        """
        retained = list(token_ids)
        if missing := sorted(self.required_ids - set(retained)):
            raise ValueError(f"Token ids {missing} must be retained, but they are missing.")
        if not self.is_unigram:
            raise ValueError("Only unigram SentencePiece models can be pruned; this one is BPE.")
        pruned = proto.ModelProto()
        pruned.CopyFrom(self._proto)
        del pruned.pieces[len(_MODEL_START) :]
        pruned.pieces.extend(
            self._proto.pieces[i - OFFSET] for i in retained if UNKNOWN_ID < i < self.mask_id
        )
        pruned.trainer_spec.vocab_size = len(pruned.pieces)
        return SentencePieceModel(pruned.SerializeToString(deterministic=True))

    @functools.cached_property
    def required_ids(self) -> set[int]:
        """Ids that pruning must retain: special tokens, the space, the piece of lowest score."""
        lowest = np.where(np.arange(self.vocab_size) > UNKNOWN_ID, self.scores, np.inf)
        lowest[self.mask_id] = np.inf
        special = {START_ID, PADDING_ID, END_ID, UNKNOWN_ID, self.mask_id}
        return special | {i for i in (self._id_of(_SPACE), int(lowest.argmin())) if i is not None}

    def _id_of(self, token: str) -> int | None:
        return self.tokens.index(token) if token in self.tokens else None
