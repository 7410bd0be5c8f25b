"""tokenizer.json, the file of Hugging Face's `tokenizers` library: a BERT tokenizer's steps."""

from __future__ import annotations

from labse_tf.tokenization.vocabulary_files import END, START, UNKNOWN

MAX_WORD_CHARACTERS = 100  # of BERT's tokenizers, where nothing else is said
_NO_LIMIT = 2**31 - 1  # characters of a word, for a tokenizer without a longest one


def checked_tokens(file_name: str, tokenizer: dict) -> list[str]:
    """The vocabulary of a tokenizer.json in the order of ids, if its steps are our Preprocessor's.

    Args:
        file_name: for the messages of errors.
        tokenizer: the file's content.

    Raises:
        ValueError: a step is another one, or the vocabulary cannot be used.
    """

    def part(name: str) -> dict:
        value = tokenizer.get(name)
        return value if isinstance(value, dict) else {}

    for name, wanted in (
        ("model", "WordPiece"),
        ("normalizer", "BertNormalizer"),
        ("pre_tokenizer", "BertPreTokenizer"),
    ):
        require(file_name, f"{name}.type", part(name).get("type"), wanted)
    normalizer, model = part("normalizer"), part("model")
    for name, value, wanted in (
        ("normalizer.clean_text", normalizer.get("clean_text"), True),
        ("normalizer.handle_chinese_chars", normalizer.get("handle_chinese_chars"), True),
        ("model.unk_token", model.get("unk_token"), UNKNOWN),
        ("model.continuing_subword_prefix", model.get("continuing_subword_prefix"), "##"),
    ):
        require(file_name, name, value, wanted)
    for name in ("truncation", "padding"):
        require_right(file_name, f"{name}.direction", part(name).get("direction"))
    vocabulary = model.get("vocab")
    if not isinstance(vocabulary, dict) or sorted(
        vocabulary.values(), key=lambda i: i if isinstance(i, int) else -1
    ) != list(range(len(vocabulary))):
        raise ValueError(
            f"{file_name!r}: model.vocab must give tokens the ids 0, 1, 2, ... without a gap and "
            "without a duplicate."
        )
    _check_post_processor(file_name, part("post_processor"), vocabulary)
    for added in tokenizer.get("added_tokens") or []:
        name, number = f"the token {added['content']!r}", added["id"]
        if vocabulary.get(added["content"]) != number:
            raise ValueError(
                f"{file_name!r} adds {name} (id {number}) to its vocabulary of {len(vocabulary)} "
                "word pieces, which is not supported."
            )
        if not added.get("special"):
            raise ValueError(
                f"{file_name!r} lists {name}, the word piece {number}, among its `added_tokens`: "
                "it is then found in text wherever it stands, inside words too, which is not "
                "supported. If that is not meant, remove the entry: the piece stays."
            )
    tokens = sorted(vocabulary, key=vocabulary.get)
    if (bad := next((t for t in tokens if not t or "\n" in t or "\r" in t), None)) is not None:
        raise ValueError(
            f"{file_name!r}: token {vocabulary[bad]} of model.vocab is empty or holds a line end: "
            f"{bad!r}."
        )
    return tokens


def _check_post_processor(file_name: str, post: dict, vocabulary: dict[str, int]) -> None:
    """Raise ValueError unless it adds [CLS] and [SEP] with the ids of the vocabulary, type 0.

    `tokenizers` takes the ids from here without a look at the vocabulary.
    """
    ids = {token: vocabulary.get(token) for token in (START, END)}
    if post.get("type") == "TemplateProcessing":
        steps = [
            step.get("SpecialToken", step.get("Sequence", {})) for step in post.get("single", [])
        ]
        names = [step.get("id") for step in steps]
        require(file_name, "post_processor.single", names, [START, "A", END])
        types = [step.get("type_id", 0) for step in steps]
        require(file_name, "the type ids of post_processor.single", types, [0, 0, 0])
        special = post.get("special_tokens", {})
        for token, number in ids.items():
            key = f"post_processor.special_tokens.{token}.ids"
            require(file_name, key, special.get(token, {}).get("ids"), [number])
        return
    require(file_name, "post_processor.type", post.get("type"), "BertProcessing")
    for name, token in (("cls", START), ("sep", END)):
        require(file_name, f"post_processor.{name}", post.get(name), [token, ids[token]])


def max_word_characters(tokenizer: dict) -> int | None:
    """The `max_word_characters` of the Preprocessor for a tokenizer.json."""
    most = tokenizer["model"].get("max_input_chars_per_word", MAX_WORD_CHARACTERS)
    return None if most >= _NO_LIMIT else most


def tokenizer_json(
    ids: dict[str, int], lower_case: bool, max_word_characters: int | None, special: list[str]
) -> dict:
    """The content of a tokenizer.json with the steps of our Preprocessor.

    Args:
        ids: of the word pieces.
        lower_case, max_word_characters: as of the Preprocessor.
        special: the special tokens, by rising id.
    """

    def sequence(name: str, type_id: int) -> dict:
        return {"Sequence": {"id": name, "type_id": type_id}}

    def token(name: str, type_id: int) -> dict:
        return {"SpecialToken": {"id": name, "type_id": type_id}}

    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    single = [token(START, 0), sequence("A", 0), token(END, 0)]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": ids[t], "content": t, **flags, "special": True} for t in special],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": lower_case,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single,
            "pair": [*single, sequence("B", 1), token(END, 1)],
            "special_tokens": {t: {"id": t, "ids": [ids[t]], "tokens": [t]} for t in (START, END)},
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": UNKNOWN,
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": max_word_characters or _NO_LIMIT,
            "vocab": ids,
        },
    }


def require(file_name: str, key: str, value: object, wanted: object) -> None:
    """Raises a ValueError unless a setting of a file has the one value that is supported."""
    if value != wanted:
        raise ValueError(
            f"{file_name!r}: `{key}` is {value!r}, but only {wanted!r} is supported: the token ids "
            "would differ."
        )


def require_right(file_name: str, key: str, side: object) -> None:
    """Raises a ValueError unless a sentence is cut or padded at its end; None: it is."""
    if side is not None and str(side).lower() != "right":
        raise ValueError(
            f"{file_name!r}: `{key}` is {side!r}, but here sentences are cut and padded at their "
            "end ('right') alone: other tokens would be embedded, or at other positions."
        )
