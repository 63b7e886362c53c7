"""Warnings about scans and words: a code, the place, what is wrong, and a remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Codes are stable: scripts may compare them. To add a code, add a line here.
WarningCode = Literal[
    "W_FILE",  # The reader of a file reports something about its contents.
    "W_LONG_WORD",  # The end of a word is beyond what the text encoder reads.
    "W_NEGATION",  # A word says what a thing is not.
    "W_SAME_CLASS",  # Two classes mean the same.
    "W_SEPARATOR",  # One class looks like several.
    "W_UNKNOWN_WORD",  # A word is misspelt, not English, or not the name of a thing.
    "W_UNSEEN_WORD",  # The weights were trained on nothing like a word.
]


@dataclass(frozen=True, slots=True)
class LabelWarning:
    """Something that can make labels wrong or useless, although labelling is possible.

    Attributes:
        code: stable name of the kind of warning.
        where: file, option or class that it is about.
        text: what is wrong, without a full stop.
        remedy: what the user can do about it, a sentence; empty if nothing.
    """

    code: WarningCode
    where: str
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        remedy = f". {self.remedy}" if self.remedy else ""
        return f"warning[{self.code}]: {self.where}: {self.text}{remedy}"

    def as_json(self) -> dict[str, str]:
        """Return the entry of the warning in JSON documents."""
        return {
            "code": self.code,
            "where": self.where,
            "text": self.text,
            "hint": self.remedy,
        }
