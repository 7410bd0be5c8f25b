"""Prompts: texts that are put before each sentence, as sentence-transformers has them."""

from __future__ import annotations

from collections.abc import Mapping


def check_prompts(prompts: Mapping[str, str], default_prompt_name: str | None) -> None:
    """Raise an error unless prompts are texts by name, and the default is one of them.

    Raises:
        TypeError: If `prompts` is not a mapping of strings to strings.
        ValueError: If the default prompt is not in `prompts`.
    """
    if not isinstance(prompts, Mapping) or not all(
        isinstance(text, str) for item in prompts.items() for text in item
    ):
        raise TypeError(f"`prompts` must be a dict of names and texts, not {prompts!r:.200}.")
    if default_prompt_name is not None:
        choose_prompt(prompts, default_prompt_name)


def choose_prompt(
    prompts: Mapping[str, str],
    default_prompt_name: str | None,
    prompt: str | None = None,
    prompt_name: str | None = None,
) -> str:
    """Return the text to put before each sentence; "" for none.

    Args:
        prompts: Prompts of the model by name.
        default_prompt_name: Name of the one to use if nothing else is given.
        prompt: The text itself; "" for none.
        prompt_name: Name of a prompt of the model.

    Raises:
        TypeError: If `prompt` is not a string.
        ValueError: If both a prompt and a name are given, or the model has no prompt of the name.
    """
    if prompt is not None:
        if prompt_name is not None:
            raise ValueError("Give either `prompt` or `prompt_name`, not both.")
        if not isinstance(prompt, str):
            raise TypeError(f"`prompt` must be a string, not {type(prompt).__name__}.")
        return prompt
    name = default_prompt_name if prompt_name is None else prompt_name
    if name is None:
        return ""
    if name not in prompts:
        raise ValueError(f"The model has no prompt {name!r}; its prompts are {sorted(prompts)}.")
    return prompts[name]
