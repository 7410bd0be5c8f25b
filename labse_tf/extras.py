"""How to install the optional dependencies of labse_tf."""


def install_hint(extra: str) -> str:
    """Return the command that installs an extra, for messages and pages.

    labse_tf is not on a package index, so extras are installed from a clone.
    """
    return f"`pip install '.[{extra}]'` (in a clone of labse_tf)"
