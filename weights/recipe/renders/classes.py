"""The classes of rendered scenes, and the simulator's concepts that belong to each."""

import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from weights.recipe.simulate.concepts import coarse_labels, concept_index, concept_names
from weights.recipe.simulate.primitives import U8

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SKY = 255
SKY_WORDS = ("sky", "clouds")


@dataclass(frozen=True, slots=True)
class SceneClass:
    """One class of ``classes.toml``.

    Attributes:
        name: the class's name.
        words: words for the class in captions and prompts.
        concepts: the concepts that belong to the class.
        color: red, green, blue in pictures, 0…255.
    """

    name: str
    words: tuple[str, ...]
    concepts: tuple[str, ...]
    color: tuple[int, int, int]


@lru_cache(maxsize=1)
def scene_classes() -> tuple[SceneClass, ...]:
    """Return the classes of ``classes.toml``; a class's id is its position + 1."""
    text = Path(__file__).with_name("classes.toml").read_text(encoding="utf-8")
    return tuple(
        SceneClass(row["name"], tuple(row["words"]), tuple(row["concepts"]), tuple(row["color"]))
        for row in tomllib.loads(text)["class"]
    )


@lru_cache(maxsize=1)
def class_id_of_concept() -> U8:
    """Return (concepts,) uint8 the class id of every concept; 0 has no class."""
    table = np.zeros(len(concept_names()), dtype=np.uint8)
    for position, entry in enumerate(scene_classes()):
        table[[concept_index(name) for name in entry.concepts]] = position + 1
    # Parts, such as windows of buildings, belong to the class of the whole.
    return np.where(table > 0, table, table[coarse_labels()])


def vocabulary_text() -> str:
    """Return the classes as the text of a clip3d vocabulary file."""
    lines = ['title = "Simulated streets"', 'source = "weights/recipe/renders/classes.toml"']
    for position, entry in enumerate(scene_classes()):
        words = ", ".join(f'"{word}"' for word in entry.words)
        lines += ["", "[[class]]", f'name = "{entry.name}"', f"words = [{words}]"]
        lines += [f"id = {position + 1}", f"color = {list(entry.color)}"]
    return "\n".join(lines) + "\n"
