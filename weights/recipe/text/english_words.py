"""The list of English words by which `clip3d label` finds unknown and misspelt words.

    python -m weights.recipe.text.english_words --wordnet /usr/share/wordnet \
        --phrases ../shared/data/clip_b32_text.npz --out clip3d_cli/text/english_words.txt

The list has the words of WordNet that are written in lower case, which leaves out proper names, the
words of the class names that the text encoder was trained with, and those of the taxonomy. It takes
a second.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from weights.recipe.points.taxonomy import Taxonomy
from weights.recipe.text.name_lists import UNUSABLE, class_words
from weights.recipe.text.phrases import read_phrases

# Things that are newer than WordNet 3.0 or specific to scans, and British spellings.
_ADDED = """
    aluminium barstool bathmat biking bulldozers camper cctv checkpoint cobblestone cobblestones
    countertop cropland cubicle cul de sac delineator dimmer downspout drainpipe drivable driveable
    ebike embankment escooter ev facade flowerbed footbridge footway forklift gantry gazebo
    geogrid glulam guardrail hatchback hvac indoor kayak kerbside laptop led lidar light
    linemarking mailbox manmade minibus modem motorhome nightstand outdoor parcel pedelec pergola
    photovoltaic pinboard playground powerline printer pvc rebar rooftop router sandpit scan
    segway shelving signage signboard skateboard skid smartphone steer stockpile streetlamp
    streetlight suv takeaway tarmac telehandler treetop tv ute van wheelie whiteboard wifi
"""  # Two letters are listed only if they are here or in class names.
_LEAST_LETTERS = 3


def wordnet_words(folder: Path) -> Iterator[str]:
    """Yield the words of a WordNet 3.0 installation that are written in lower case.

    Args:
        folder: with ``data.noun``, ``noun.exc`` and those of verbs, adjectives and adverbs.
    """
    for part in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"data.{part}").read_text("latin-1").splitlines():
            if not line.startswith(" "):
                fields = line.split()
                count = int(fields[3], 16)
                # A word may be followed by its syntax: "galore(ip)".
                yield from (word.partition("(")[0] for word in fields[4 : 4 + 2 * count : 2])
        for line in (folder / f"{part}.exc").read_text("latin-1").splitlines():
            yield line.split()[0]


def licence(folder: Path) -> list[str]:
    """Return WordNet's licence as comment lines."""
    head = (folder / "data.noun").read_text("latin-1").splitlines()
    return [f"# {line[4:].strip()}".rstrip() for line in head if line.startswith(" ")]


def _parts(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        yield from re.findall("[a-z]{2,}", name.lower())


def main() -> None:
    """Write the list."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wordnet", type=Path, required=True, help="folder of WordNet 3.0")
    parser.add_argument("--phrases", type=Path, required=True, help="clip_b32_text.npz")
    parser.add_argument("--out", type=Path, required=True, help="text file to write")
    args = parser.parse_args()
    single = re.compile(f"[a-z]{{{_LEAST_LETTERS},}}")
    words = {word for word in wordnet_words(args.wordnet) if single.fullmatch(word)}
    names = [name for name in read_phrases(args.phrases).names if name not in UNUSABLE]
    words.update(_parts([*class_words(), *Taxonomy.read().all_words, *names, _ADDED]))
    lines = [
        "# English words, made by weights/recipe/text/english_words.py, most of them from WordNet:",
        *licence(args.wordnet),
        *sorted(words),
    ]
    args.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
