"""WordNet's nouns: glosses, broader terms, and a list of names of visible things."""

from dataclasses import dataclass
from pathlib import Path

# Numbers of the lexicographer files (lexnames(5)) with nouns for things that can be touched.
PHYSICAL = {5: "animal", 6: "artifact", 8: "body", 13: "food", 17: "object", 18: "person",
            20: "plant", 27: "substance"}  # fmt: skip

# Signs, places, weather and fire, money, shapes: some of these nouns are visible.
PARTLY_VISIBLE = {10: "communication", 15: "location", 19: "phenomenon", 21: "possession",
                  25: "shape"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Synset:
    """One sense of a noun.

    Attributes:
        lexfile: number of its lexicographer file.
        words: words with this sense.
        broader: offsets of the senses one step broader.
        gloss: definition.
        is_instance: whether it is a proper name, such as Stephen Crane or Lake Erie.
    """

    lexfile: int
    words: tuple[str, ...]
    broader: tuple[int, ...]
    gloss: str
    is_instance: bool


class Nouns:
    """The nouns of a WordNet 3.0 installation.

    Attributes:
        synsets: the senses, by offset in ``data.noun``.
    """

    def __init__(self, folder: Path) -> None:
        """Read ``data.noun``, ``index.noun`` and ``noun.exc`` in a folder."""
        self.synsets = dict(map(_parse_synset, _read_lines(folder / "data.noun")))
        self._senses = dict(map(_parse_index, _read_lines(folder / "index.noun")))
        self._irregular = {
            parts[0]: parts[1] for parts in map(str.split, _read_lines(folder / "noun.exc"))
        }

    def names(self) -> list[str]:
        """Return the nouns with a visible sense that is not a proper name, sorted."""
        visible = PHYSICAL.keys() | PARTLY_VISIBLE.keys()
        return sorted(
            word.replace("_", " ")
            for word, senses in self._senses.items()
            if any(
                self.synsets[sense].lexfile in visible and not self.synsets[sense].is_instance
                for sense in senses
            )
        )

    def senses(self, name: str) -> tuple[int, ...]:
        """Return the senses of a name, the most frequent first; empty for an unknown name."""
        for form in self._base_forms(name.lower().strip().replace(" ", "_")):
            if form in self._senses:
                return self._senses[form]
        return ()

    def best_sense(self, name: str) -> int | None:
        """Return the first sense that is a physical thing, else the first sense, else None."""
        senses = self.senses(name)
        for sense in senses:
            synset = self.synsets[sense]
            if synset.lexfile in PHYSICAL and not synset.is_instance:
                return sense
        return senses[0] if senses else None

    def ancestors(self, sense: int) -> dict[int, int]:
        """Return a sense and all broader senses, with the number of steps to each."""
        steps = {sense: 0}
        frontier = [sense]
        while frontier:
            step = [b for s in frontier for b in self.synsets[s].broader if b not in steps]
            for broader in step:
                steps[broader] = min(steps[s] for s in frontier) + 1
            frontier = step
        return steps

    def _base_forms(self, word: str) -> list[str]:
        """Return possible dictionary forms of a word, the most likely first."""
        forms = [word, word.replace("-", "_"), word.replace("_", "-"), word.replace("_", "")]
        if word in self._irregular:
            forms.append(self._irregular[word])
        for ending, replacement in (("ies", "y"), ("es", ""), ("s", "")):
            if word.endswith(ending):
                forms.append(word[: -len(ending)] + replacement)
        return forms


def _read_lines(path: Path) -> list[str]:
    # The licence is at the head of each file, in indented lines.
    return [line for line in path.read_text("latin-1").splitlines() if not line.startswith(" ")]


def _parse_synset(line: str) -> tuple[int, Synset]:
    """Parse a line of ``data.noun``, see wndb(5)."""
    head, _, gloss = line.partition(" | ")
    fields = head.split()
    word_count = int(fields[3], 16)
    # Each word is followed by a number that is not needed.
    words = tuple(fields[4 : 4 + 2 * word_count : 2])
    at = 4 + 2 * word_count
    # Each pointer has four fields: symbol, offset, part of speech, words.
    pointers = fields[at + 1 : at + 1 + 4 * int(fields[at])]
    broader = tuple(
        int(pointers[i + 1]) for i in range(0, len(pointers), 4) if pointers[i] in ("@", "@i")
    )
    is_instance = "@i" in pointers[::4]
    first_clause = gloss.split(";")[0].strip()
    return int(fields[0]), Synset(int(fields[1]), words, broader, first_clause, is_instance)


def _parse_index(line: str) -> tuple[str, tuple[int, ...]]:
    """Parse a line of ``index.noun``: a word, and the offsets of its senses at the end."""
    fields = line.split()
    return fields[0], tuple(int(offset) for offset in fields[-int(fields[2]) :])
