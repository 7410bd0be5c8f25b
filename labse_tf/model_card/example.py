"""Examples that are run before they are printed, with what they print."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

from labse_tf.evaluation.report.markdown import fenced
from labse_tf.model_card.claims import TF_HUB, Claims
from labse_tf.model_card.facts import Facts

# Two unlike sentences, with translations of both.
_SENTENCES = {
    "en": ("Where is the station?", "I have lost my key."),
    "de": ("Wo ist der Bahnhof?", "Ich habe meinen Schlüssel verloren."),
    "fr": ("Où est la gare ?", "J'ai perdu ma clé."),
    "es": ("¿Dónde está la estación?", "He perdido mi llave."),
    "ru": ("Где вокзал?", "Я потерял ключ."),
    "tr": ("İstasyon nerede?", "Anahtarımı kaybettim."),
    "ar": ("أين المحطة؟", "فقدت مفتاحي."),
    "hi": ("स्टेशन कहाँ है?", "मेरी चाबी खो गई है।"),
    "ja": ("駅はどこですか。", "鍵をなくしました。"),
    "zh": ("车站在哪里?", "我把钥匙丢了。"),
}
_IMPORTS = """\
import tensorflow as tf
import tensorflow_hub as hub
import tensorflow_text  # registers the tokenizer's operations
"""
_COSINES = """
print(embeddings.shape)
print((embeddings @ tf.transpose(embeddings)).numpy().round(2))  # cosines"""
_ALONE = "import runpy, sys; sys.modules['labse_tf'] = None; runpy.run_path(sys.argv[1])"


def choose_sentences(languages: Sequence[str], given: Sequence[str] = ()) -> tuple[str, ...]:
    """The sentences of the examples: those given, or two in two of the languages.

    Raises:
        ValueError: there are not two, or one is empty.
    """
    if given:
        if len(given) < 2 or not all(sentence.strip() for sentence in given):
            raise ValueError(f"`sentences` (={list(given)}) must be two or more, none empty.")
        return tuple(given)
    known = [_SENTENCES[code] for code in _SENTENCES if code in languages][:2]
    if not known:
        raise ValueError(
            f"There are sentences for an example in {', '.join(_SENTENCES)}, but the languages are "
            f"{', '.join(languages)}. Give `sentences`, two or more."
        )
    return tuple(sentence for pair in known for sentence in pair)


def embedding_example(facts: Facts, claims: Claims, sentences: Sequence[str]) -> str:
    """From strings to cosines, by TF-Hub, as Markdown."""
    if facts.split:
        body = f"""
preprocessor = hub.load("{TF_HUB}{claims.preprocessor_handle}")
encoder = hub.load("{TF_HUB}{claims.handle}")
sentences = tf.constant({_list(sentences)})
embeddings = encoder(preprocessor(sentences))["default"]
embeddings = tf.math.l2_normalize(embeddings, axis=1)  # rows of unit length"""
    else:
        body = f"""
model = hub.load("{TF_HUB}{claims.handle}")
sentences = tf.constant({_list(sentences)})
embeddings = model(sentences)  # rows of unit length"""
    return _shown(_IMPORTS + body + _COSINES, _paths(facts, claims))


def preprocessing_example(facts: Facts, claims: Claims, sentences: Sequence[str]) -> str:
    """From strings to token ids, by TF-Hub, as Markdown."""
    attribute = "" if facts.split else ".preprocessor"
    body = f"""
preprocessor = hub.load("{TF_HUB}{claims.preprocessor_handle}"){attribute}
sentences = tf.constant({_list(sentences)})
inputs = preprocessor(sentences)
for name, tensor in sorted(inputs.items()):
    print(name, tensor.dtype.name, tensor.shape)
print(inputs["input_word_ids"][:, :8].numpy())  # the first 8 of each"""
    return _shown(_IMPORTS + body, _paths(facts, claims))


def labse_tf_example(directory: str, repository: str, sentences: Sequence[str]) -> str:
    """From strings to cosines, by labse_tf, as Markdown.

    Args:
        directory: what the repository on Hugging Face holds.
    """
    code = f"""\
import labse_tf

model = labse_tf.load("{repository}")
sentences = {_list(sentences)}
embeddings = model.encode(sentences)  # rows of unit length
print(embeddings.shape)
print(model.similarity(sentences, sentences).round(2))  # cosines"""
    return _shown(code, {repository: directory}, alone=False)


def run_example(code: str, paths: Mapping[str, str], *, alone: bool = True) -> str:
    """What a program prints in a fresh process.

    Args:
        code: the program; what it loads stands in it as "NAME".
        paths: by such a name, the directory that is loaded in its place.
        alone: whether `import labse_tf` is an error in that process.

    Raises:
        ValueError: it fails; the message has the end of its stderr.
    """
    for name, path in paths.items():
        code = code.replace(f'"{name}"', repr(path))
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "example.py")
        with open(program, "w", encoding="utf-8") as file:
            file.write(code)
        start = ["-c", _ALONE, program] if alone else [program]
        process = _fresh_process(*start, cwd=folder, env={"TF_CPP_MIN_LOG_LEVEL": "3"})
    if process.returncode:
        raise ValueError(
            f"The card's example failed on {sorted(set(paths.values()))}: "
            f"{' '.join(process.stderr.split())[-600:]}"
        )
    return process.stdout.rstrip("\n")


def _fresh_process(*arguments: str, cwd: str, env: Mapping[str, str]):
    return subprocess.run(
        [sys.executable, "-X", "utf8", *arguments],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )


def _shown(code: str, paths: Mapping[str, str], *, alone: bool = True) -> str:
    output = run_example(code, paths, alone=alone)
    return f"{fenced(code, 'python')}\n\nIt prints:\n\n{fenced(output)}"


def _list(sentences: Sequence[str]) -> str:
    # What JSON quotes, Python reads as the same string.
    lines = "".join(f"    {json.dumps(text, ensure_ascii=False)},\n" for text in sentences)
    return f"[\n{lines}]"


def _paths(facts: Facts, claims: Claims) -> dict[str, str]:
    return {
        f"{TF_HUB}{claims.handle}": facts.encoder,
        f"{TF_HUB}{claims.preprocessor_handle}": facts.preprocessor,
    }
