from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from clip3d_cli import registry
from clip3d_cli.errors import UsageError
from clip3d_cli.pipelines.finetune.config import FinetuneConfig
from clip3d_cli.pipelines.pretrain.config import RESUMABLE_KEYS, PretrainConfig, preset
from clip3d_cli.pipelines.training.config import TrainingConfig
from clip3d_cli.pipelines.training.config_reference import commented_toml, config_reference
from clip3d_cli.pipelines.training.config_sources import (
    ConfigSources,
    read_config,
    with_settings,
    with_tables,
)
from clip3d_cli.training.toml_text import flatten_tables, toml_table, toml_text

DEFAULT = PretrainConfig()
PRESETS = registry.names("datasets")


def keys_of_kind(*kinds: Any) -> list[str]:
    """The dotted keys whose type, or the origin of whose type, is one of these."""
    found = []
    for table in fields(PretrainConfig):
        hints = get_type_hints(type(getattr(DEFAULT, table.name)))
        found += [
            f"{table.name}.{key}"
            for key, kind in hints.items()
            if kind in kinds or get_origin(kind) in kinds
        ]
    return found


def refusal_of(*settings: str) -> UsageError:
    with pytest.raises(UsageError) as refusal:
        with_settings(DEFAULT, settings)
    assert refusal.value.code == "E_CONFIG"
    return refusal.value


def test_later_words_win() -> None:
    config = preset("scannet")
    config = with_tables(config, {"optimizer": {"epochs": 7, "momentum": 0.5}}, "run.toml")
    config = with_settings(config, ["optimizer.epochs=9", "run.seed=1", "optimizer.epochs=11"])
    optimizer = config.optimizer
    assert (optimizer.epochs, optimizer.momentum, optimizer.dampening) == (11, 0.5, 0.1)
    assert (config.batch.scenes, config.run.seed, config.data.dataset) == (8, 1, "scannet")
    assert PretrainConfig() == DEFAULT


@pytest.mark.parametrize("dataset", PRESETS)
def test_a_configuration_survives_toml(dataset: str, tmp_path: Path) -> None:
    config = with_settings(
        preset(dataset),
        ['words.classes=["café = cup|mug", "a \\"b\\"", "c\\\\d"]', "loss.unseen=true"],
    )
    path = tmp_path / "config.toml"
    path.write_text(toml_text(config.tables()), encoding="utf-8")
    assert with_tables(DEFAULT, read_config(path), "config.toml") == config
    assert with_tables(DEFAULT, toml_table(toml_text(config.tables())), "text") == config
    assert with_tables(DEFAULT, config.tables(), "tables") == config


def test_what_may_differ_is_there() -> None:
    assert set(RESUMABLE_KEYS) <= set(flatten_tables(DEFAULT.tables()))
    assert not {"run.seed", "run.precision", "batch.scenes", "encoder.inputs"} & set(RESUMABLE_KEYS)


def test_every_value_of_a_choice_is_taken_and_no_other() -> None:
    choices = keys_of_kind(Literal)
    assert len(choices) > 8
    for path in choices:
        table, key = path.split(".")
        known = get_args(get_type_hints(type(getattr(DEFAULT, table)))[key])
        for value in known:
            config = with_settings(DEFAULT, [f"{path}={value}"])
            assert getattr(getattr(config, table), key) == value
        for wrong in ("Paper", "true", "14.0", "1", '["paper"]', ""):
            refusal = refusal_of(f"{path}={wrong}")
            assert str(refusal).startswith(f"error[E_CONFIG]: --set: {path}: ")
            assert refusal.fault.endswith(" is none of its values")
            assert refusal.remedy.endswith(f"One of: {', '.join(map(str, known))}.")


KINDS = {
    int: ("a whole number", ["1.0", "1.5", "true", "many", "[1]", "{a=1}", ""]),
    float: ("a number", ["true", "much", "[1]", ""]),
    bool: ("true or false", ["1", "0.0", "True", "yes", "[true]", ""]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_values_of_another_kind_are_refused(kind: type) -> None:
    what, wrong = KINDS[kind]
    paths = keys_of_kind(kind)
    assert len(paths) > 3
    for path in paths:
        for value in wrong:
            refusal = refusal_of(f"{path}={value}")
            assert str(refusal).startswith(f"error[E_CONFIG]: --set: {path}: ")
            assert refusal.fault.endswith(f", not {what}")
            assert refusal.remedy.startswith("Its meaning: ")
    numbers = {int: ["-1", "10" + "0" * 12], float: ["-0.1", "nan", "inf", "1" + "0" * 400]}
    for path in paths:
        for value in numbers.get(kind, []):
            refusal = refusal_of(f"{path}={value}")
            assert re.search(r"but must be (above|at)|out of range", refusal.fault)
            assert refusal.remedy.startswith("Its meaning: ")


def test_numbers_too_long_to_read_are_refused() -> None:
    assert "not a whole number" in refusal_of("run.seed=" + "9" * 5000).fault


def test_a_whole_number_is_a_number() -> None:
    config = with_settings(DEFAULT, ["loss.start=1", "encoder.voxel_sizes_m=[1, 2.5]"])
    assert (config.loss.start, config.encoder.voxel_sizes_m) == (1.0, (1.0, 2.5))
    assert type(config.loss.start) is type(config.encoder.voxel_sizes_m[0]) is float


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        ("data.root=my scans/a=b", "my scans/a=b"),
        ('data.root="quoted"', "quoted"),
        ("data.root=C:\\scans", "C:\\scans"),
        ("data.root=2021", "2021"),
        ("data.root=2021-05-01", "2021-05-01"),
        ("data.root=true", "true"),
        ("data.root=nan", "nan"),
        ("data.root=[1]", "[1]"),
        ("data.root=" + "[" * 3000, "[" * 3000),
        ("data.root=", ""),
        (" data.root = x ", "x"),
        ("words.classes=car", ("car",)),
        ("words.classes=car, plastic bag,1", ("car", "plastic bag", "1")),
        ('words.classes=["car,van", "bag"]', ("car,van", "bag")),
        ("words.classes=", ()),
        ("encoder.voxel_sizes_m=0.1", (0.1,)),
        ("encoder.voxel_sizes_m=0.1,0.2", (0.1, 0.2)),
    ],
)
def test_settings_need_no_quotes(setting: str, found: object) -> None:
    config = with_settings(DEFAULT, [setting])
    table, key = setting.partition("=")[0].strip().split(".")
    assert getattr(getattr(config, table), key) == found
    if isinstance(found, str):
        # In a file they do: there, text has a way to be told from numbers.
        with pytest.raises(UsageError, match="is a whole number, not a text"):
            with_tables(DEFAULT, {table: {key: 2021}}, "run.toml")


@pytest.mark.parametrize("setting", ["", "loss", "loss.start", "loss=1", "=1", "start=0.5"])
def test_a_setting_says_table_key_and_value(setting: str) -> None:
    refusal = refusal_of(setting)
    assert str(refusal) == f"error[E_CONFIG]: --set: {setting!r} is not table.key=value"
    assert refusal.remedy == "Write it as in loss.start=0.5."


@pytest.mark.parametrize(
    ("table", "fault", "remedy"),
    [
        ({"los": {}}, "run.toml: there is no key 'los'", "Did you mean loss?"),
        ({"seed": 1}, "run.toml: there is no key 'seed'", "There is: data, teacher, words"),
        (
            {"loss": {"sematic": "kl"}},
            "run.toml: loss: there is no key 'sematic'",
            "Did you mean semantic?",
        ),
        ({"batch": {"sweep": 1}}, "run.toml: batch: there is no key 'sweep'", "mean sweeps?"),
        ({"loss": 1}, "run.toml: loss is a table, not a value", "Write [loss], then its keys."),
        ({"loss": [{"start": 1}]}, "run.toml: loss is a table", "Write [loss], then its keys."),
        (
            {"words": {"classes": [1]}},
            "run.toml: words.classes[0]: is a whole number, not",
            "class",
        ),
        ({"data": {"root": ["a"]}}, "run.toml: data.root: is a list, not a text", "folder"),
        ({"run": {"seed": {"a": 1}}}, "run.toml: run.seed: is an object, not a whole", "seed"),
    ],
)
def test_unknown_keys_and_misplaced_tables_are_refused(
    table: dict[str, Any], fault: str, remedy: str
) -> None:
    with pytest.raises(UsageError) as refusal:
        with_tables(DEFAULT, table, "run.toml")
    assert str(refusal.value).startswith(f"error[E_CONFIG]: {fault}")
    assert remedy in refusal.value.remedy


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        ("batch.scenes=0", "batch.scenes: is 0, but must be at least 1"),
        ("batch.sweeps=0", "batch.sweeps: is 0, but must be at least 1"),
        ("batch.pairs=0", "batch.pairs: is 0, but must be at least 1"),
        ("loss.temperature=0", "loss.temperature: is 0, but must be above 0"),
        ("loss.attention_temperature=0", "attention_temperature: is 0, but must be above 0"),
        ("encoder.width=0", "encoder.width: is 0, but must be above 0"),
        ("encoder.voxel_sizes_m=[]", "encoder.voxel_sizes_m: is empty"),
        ("encoder.voxel_sizes_m=0.1,0", "encoder.voxel_sizes_m[1]: is 0, but must be above 0"),
        ("optimizer.epochs=0", "optimizer.epochs: is 0, but must be at least 1"),
        ("optimizer.batches_per_step=0", "batches_per_step: is 0, but must be at least 1"),
        ("run.save_every=0", "run.save_every: is 0, but must be at least 1"),
        ("run.keep_last=0", "run.keep_last: is 0, but must be at least 1"),
        ("optimizer.average_decay=1.1", "average_decay: is 1.1, but must be at most 1"),
        ("optimizer.warmup=2", "optimizer.warmup: is 2, but must be at most 1"),
        ("words.least_share=5", "words.least_share: is 5, but must be at most 1"),
        ("encoder.inputs=[]", "encoder.inputs: is empty"),
        ("encoder.inputs=one,hight_near", "inputs[1]: 'hight_near' is none of its values"),
    ],
)
def test_what_would_fail_hours_later_is_refused_at_once(setting: str, fault: str) -> None:
    refusal = refusal_of(setting)
    assert str(refusal).endswith(fault)
    assert refusal.remedy
    if "hight" in setting:
        assert refusal.remedy.startswith("Did you mean height_near?")


@pytest.mark.parametrize("content", [b"a = ", b"\xff\xfe", b"a = 1\na = 2", b"x = " + b"[" * 9999])
def test_what_is_not_toml_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"E_CONFIG.*run\.toml: cannot be read") as refusal:
        read_config(path)
    assert refusal.value.remedy == "Give a file in TOML format."


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_file_that_is_not_there_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"E_CONFIG.*cannot be read"):
        read_config(tmp_path / name)


def test_only_dataclasses_are_configured() -> None:
    for thing in (PretrainConfig, {"loss": {}}):
        with pytest.raises(TypeError, match="only a dataclass"):
            with_tables(thing, {}, "here")


@pytest.mark.parametrize("config", [PretrainConfig(), FinetuneConfig()])
def test_the_defaults_keep_their_own_limits(config: PretrainConfig | FinetuneConfig) -> None:
    assert with_tables(config, config.tables(), "the defaults") == config


def test_later_sources_win(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[loss]\nstart = 0.1\ntemperature = 0.1\n[run]\nseed = 1\n")
    options = {"run": {"device": "cpu", "seed": 3}}
    sources = ConfigSources.read(file, ["loss.start=0.2", "run.seed=2"], options)
    config = sources.apply(preset("nuscenes"))
    assert (config.loss.start, config.loss.temperature) == (0.2, 0.1)
    assert (config.run.seed, config.run.device, config.batch.occlusion) == (3, "cpu", "none")
    given = ("loss.temperature", "loss.start", "run.device", "run.seed")
    assert all(sources.sets(key) for key in given)
    assert not any(sources.sets(key) for key in ("data.root", "run.workers", "loss.heads"))
    with pytest.raises(UsageError, match=r"mine\.toml: loss: there is no key 'lambda'"):
        file.write_text("[loss]\nlambda = 1\n")
        ConfigSources.read(file).apply(DEFAULT)
    with pytest.raises(UsageError, match=r"the options: run\.seed: is -1, but must be at least 0"):
        ConfigSources.read(None, [], {"run": {"seed": -1}}).apply(DEFAULT)


@pytest.mark.parametrize("config_type", [PretrainConfig, FinetuneConfig])
def test_the_reference_explains_every_key(config_type: type[TrainingConfig]) -> None:
    reference = config_reference(config_type)
    defaults = flatten_tables(config_type().tables())
    assert [key.name for key in reference] == list(defaults)
    for key in reference:
        assert toml_table(f"x = {key.default}")["x"] == defaults[key.name]
        assert len(key.description) > 10, key.name
        assert not key.description.endswith("."), key.name
    by_name = {key.name: key for key in reference}
    assert (by_name["run.seed"].type, by_name["run.seed"].constraint) == (
        "whole number",
        "at least 0",
    )
    assert by_name["encoder.width"].constraint == "above 0"
    assert by_name["optimizer.warmup"].constraint == "at least 0, at most 1"
    assert by_name["encoder.layers"].constraint == "one of 14, 18, 34"
    assert by_name["encoder.voxel_sizes_m"].constraint == "at least one, each above 0"
    assert by_name["encoder.inputs"].type == "list of texts"
    assert by_name["run.seed"].values == "whole number, at least 0"
    assert by_name["run.tensorboard"].values == "true or false"


@pytest.mark.parametrize("config", [preset("nuscenes"), FinetuneConfig()])
def test_a_commented_config_has_the_same_values(config: PretrainConfig | FinetuneConfig) -> None:
    text = commented_toml(config)
    assert with_tables(type(config)(), toml_table(text), "the text") == config
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    place = lines.index("seed = 0")
    assert lines[place - 1] == "# random seed (whole number, at least 0)"
