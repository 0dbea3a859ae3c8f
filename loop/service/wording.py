"""Sentences and settings as they leave the server: without its folders, and without what only helps at its terminal.

Errors are written for whoever sits at the command line: they name files by their whole path and commands to type. Over the network the
first is nobody's business and the second nobody's tool. What remains of a path is its last name.
"""

import re
from collections.abc import Mapping
from typing import Any

_PATH = re.compile(r"(?<![\w.:/<>~%-])/(?!api/|static/)(?:[^\s/'\"`:;,()<>\[\]{}]+/)+([^\s/'\"`:;,()<>\[\]{}]*)")
"""An absolute path of at least two names; addresses of this server's own interface are none."""
_ASIDE = re.compile(r" ?\([^()]*`latentloop [^`]*`[^()]*\)")
_EITHER = re.compile(r"; continue it with `latentloop [^`]*`, or ")
_COMMAND = re.compile(r"[;,:]? ?(?:continue it with )?`latentloop [^`]*`[^;,]*")
_MENDING = re.compile(r"; (?=copy [^;]*\bbackup\b)")
"""Before what is done to the folder itself, which few of those who read it can."""
_EXAMPLE = re.compile(r": --[a-z][\w-]* .*$")
_OPTION = re.compile(r"`?(?<![\w-])--([a-z][a-z-]*)`?")


def for_others(sentence: str) -> str:
    """Return a sentence without paths, commands and options of a terminal."""
    sentence = _EXAMPLE.sub("", _COMMAND.sub("", _EITHER.sub("; ", _ASIDE.sub("", sentence))))
    sentence = _MENDING.sub("; whoever runs this server can ", sentence)
    sentence = _OPTION.sub(lambda match: match[1].replace("-", "_"), sentence)
    return str(without_paths(sentence))


def without_paths(value: Any) -> Any:
    """Return a text, or nested lists and mappings of texts, with the last name in the place of each absolute path."""
    if isinstance(value, str):
        return _PATH.sub(lambda match: match[1] or "a folder", value) if "/" in value else value
    if isinstance(value, Mapping):
        return {key: without_paths(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], (str, list, tuple, Mapping)):
        return [without_paths(inner) for inner in value]
    return value
