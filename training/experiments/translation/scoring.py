"""BLEU and chrF of a model's translations of the test, in both directions."""

from __future__ import annotations

import os

import sacrebleu
import tensorflow as tf

from labse_tf.training.output import say
from training.experiments.translation.corpus import TO_ENGLISH, TO_LANGUAGE, Pair
from training.experiments.translation.transformer import Translator

TO, FROM = "to English", "from English"
_TOKENIZERS = {"cmn": "zh"}  # of sacrebleu, for what has no spaces
_ENGLISH = "13a"
_RESAMPLINGS = 1000  # of the test, for the spread of a score


def translate_and_score(
    translator: Translator, test: list[Pair], language: str, folder: str
) -> dict[str, dict[str, float | str]]:
    """Scores by direction; FOLDER/to-English.txt and from-English.txt are the translations."""
    scores = {}
    for direction, own, tag, tokenizer in (
        (TO, 0, TO_ENGLISH, _ENGLISH),
        (FROM, 1, TO_LANGUAGE, _TOKENIZERS.get(language, _ENGLISH)),
    ):
        hypotheses = translator.translate([pair[own] for pair in test], tag)
        path = os.path.join(folder, f"{direction.replace(' ', '-')}.txt")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in hypotheses)
        scores[direction] = score(hypotheses, [pair[1 - own] for pair in test], tokenizer)
        say(f"{direction}: {scores[direction]}")
    return scores


def score(hypotheses: list[str], references: list[str], tokenizer: str) -> dict[str, float | str]:
    """BLEU with half of its 95% interval over resampled tests, and chrF, by sacrebleu.

    Args:
        hypotheses: translations.
        references: one of each.
        tokenizer: sacrebleu's name of BLEU's tokenisation.
    """
    bleu = sacrebleu.BLEU(tokenize=tokenizer)
    found = bleu.corpus_score(hypotheses, [references], n_bootstrap=_RESAMPLINGS)
    chrf = sacrebleu.CHRF().corpus_score(hypotheses, [references])
    return {
        "bleu": found.score,
        "interval": found._ci,
        "chrf": chrf.score,
        "signature": str(bleu.get_signature()),
    }


def device_name() -> str:
    """What TensorFlow computes on."""
    gpus = tf.config.list_physical_devices("GPU")
    details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
    return details.get("device_name", "CPU")
