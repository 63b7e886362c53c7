from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.encoders.concepts import Concept, concept_of_word
from clip3d_cli.encoders.spec import EncoderSpec

CAR = Concept("car", ("car", "automobile"), iou={"real": 0.5})
TRAIN = Concept("train", ("train", "tram", "car"), seen=False)
SPEC = EncoderSpec(
    architecture="minkunet",
    config={},
    inputs=("one",),
    voxel_sizes_m=(0.1,),
    space=FeatureSpace("tests/space", 4),
    text_encoder="mini",
    logit_scale=10.0,
)


def test_concepts_travel_in_the_specification() -> None:
    spec = replace(SPEC, concepts=(CAR, TRAIN))
    assert EncoderSpec.from_json(spec.to_json()) == spec


def test_without_concepts_older_readers_can_read_the_specification() -> None:
    assert "concepts" not in json.loads(SPEC.to_json())
    assert EncoderSpec.from_json(SPEC.to_json()).concepts == ()


def test_a_word_belongs_to_the_first_concept_that_has_it() -> None:
    found = concept_of_word([CAR, TRAIN])
    assert found == {"car": CAR, "automobile": CAR, "train": TRAIN, "tram": TRAIN}


@pytest.mark.parametrize(
    "concept",
    [
        "car",
        {"name": "car"},
        {"name": "car", "words": "car"},
        {"name": "car", "words": ["car", 1]},
        {"name": "car", "words": []},
        {"name": "car", "words": ["automobile"]},
        {"name": "car", "words": ["car"], "color": "red"},
        {"name": "car", "words": ["car"], "iou": 0.5},
        {"name": "car", "words": ["car"], "iou": {"real": "0.5"}},
        {"name": "car", "words": ["car"], "iou": {"real": 1.5}},
    ],
)
def test_invalid_concepts_are_refused(concept: Any) -> None:
    fields = {**json.loads(SPEC.to_json()), "concepts": [concept]}
    with pytest.raises(ValueError, match="concept"):
        EncoderSpec.from_json(json.dumps(fields))
