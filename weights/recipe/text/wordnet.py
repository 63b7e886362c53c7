"""WordNet's nouns: glosses, the chain of broader terms, and a list of names to learn."""

from dataclasses import dataclass
from pathlib import Path

# Numbers of the lexicographer files (lexnames(5)) whose nouns can be seen and touched.
PHYSICAL = {5: "animal", 6: "artifact", 8: "body", 13: "food", 17: "object", 18: "person",
            20: "plant", 27: "substance"}  # fmt: skip

# Signs, places, shapes, weather and fire, money: partly visible, worth knowing.
PARTLY_VISIBLE = {10: "communication", 15: "location", 19: "phenomenon", 21: "possession",
                  25: "shape"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Synset:
    """One sense: its lexicographer file, words, broader senses and gloss.

    ``is_instance`` marks proper names such as Stephen Crane or Lake Erie.
    """

    lexfile: int
    words: tuple[str, ...]
    broader: tuple[int, ...]
    gloss: str
    is_instance: bool


class Nouns:
    """The noun part of a WordNet 3.0 installation."""

    def __init__(self, folder: Path) -> None:
        """Read ``data.noun``, ``index.noun`` and ``noun.exc`` from ``folder``."""
        self.synsets = dict(map(_read_synset, _lines(folder / "data.noun")))
        self._senses = dict(map(_read_index, _lines(folder / "index.noun")))
        self._irregular = {
            parts[0]: parts[1] for parts in map(str.split, _lines(folder / "noun.exc"))
        }

    def names(self) -> list[str]:
        """List the nouns with a visible sense that is no proper name, with spaces, sorted."""
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
        """Give a name's senses, the most frequent first; none when WordNet lacks the name."""
        for form in self._forms(name.lower().strip().replace(" ", "_")):
            if form in self._senses:
                return self._senses[form]
        return ()

    def best_sense(self, name: str) -> int | None:
        """Give the first sense that is a physical thing, else the first, else None."""
        senses = self.senses(name)
        for sense in senses:
            synset = self.synsets[sense]
            if synset.lexfile in PHYSICAL and not synset.is_instance:
                return sense
        return senses[0] if senses else None

    def ancestors(self, sense: int) -> dict[int, int]:
        """Map a sense and all its broader senses to their distance in steps."""
        steps = {sense: 0}
        frontier = [sense]
        while frontier:
            step = [b for s in frontier for b in self.synsets[s].broader if b not in steps]
            for broader in step:
                steps[broader] = min(steps[s] for s in frontier) + 1
            frontier = step
        return steps

    def _forms(self, word: str) -> list[str]:
        forms = [word, word.replace("-", "_"), word.replace("_", "-"), word.replace("_", "")]
        if word in self._irregular:
            forms.append(self._irregular[word])
        for ending, instead in (("ies", "y"), ("es", ""), ("s", "")):
            if word.endswith(ending):
                forms.append(word[: -len(ending)] + instead)
        return forms


def _lines(path: Path) -> list[str]:
    # The licence stands at the head of the data files, each of its lines indented.
    return [line for line in path.read_text("latin-1").splitlines() if not line.startswith(" ")]


def _read_synset(line: str) -> tuple[int, Synset]:
    head, _, gloss = line.partition(" | ")
    fields = head.split()
    word_count = int(fields[3], 16)
    words = tuple(fields[4 : 4 + 2 * word_count : 2])
    at = 4 + 2 * word_count
    pointers = fields[at + 1 : at + 1 + 4 * int(fields[at])]
    broader = tuple(
        int(pointers[i + 1]) for i in range(0, len(pointers), 4) if pointers[i] in ("@", "@i")
    )
    is_instance = "@i" in pointers[::4]
    first_clause = gloss.split(";")[0].strip()
    return int(fields[0]), Synset(int(fields[1]), words, broader, first_clause, is_instance)


def _read_index(line: str) -> tuple[str, tuple[int, ...]]:
    fields = line.split()
    return fields[0], tuple(int(offset) for offset in fields[-int(fields[2]) :])
