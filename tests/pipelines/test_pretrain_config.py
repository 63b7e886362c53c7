from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from clip3d_cli import registry
from clip3d_cli.errors import UsageError
from clip3d_cli.pipelines.finetune.config import FinetuneConfig
from clip3d_cli.pipelines.pretrain.config import FREE, PretrainConfig, preset
from clip3d_cli.pipelines.training.config_files import merged, read_config, with_settings
from clip3d_cli.training.toml_text import flat, toml_table, toml_text

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
    config = merged(config, {"optimizer": {"epochs": 7, "momentum": 0.5}}, "run.toml")
    config = with_settings(config, ["optimizer.epochs=9", "run.seed=1", "optimizer.epochs=11"])
    optimizer = config.optimizer
    assert (optimizer.epochs, optimizer.momentum, optimizer.dampening) == (11, 0.5, 0.1)
    assert (config.batch.scenes, config.run.seed, config.data.dataset) == (8, 1, "scannet")
    assert PretrainConfig() == DEFAULT


@pytest.mark.parametrize("dataset", [*PRESETS, "somebody"])
def test_a_configuration_survives_toml(dataset: str, tmp_path: Path) -> None:
    config = with_settings(
        preset(dataset),
        ['words.classes=["café = cup|mug", "a \\"b\\"", "c\\\\d"]', "loss.unseen=true"],
    )
    path = tmp_path / "config.toml"
    path.write_text(toml_text(config.tables()), encoding="utf-8")
    assert merged(DEFAULT, read_config(path), "config.toml") == config
    assert merged(DEFAULT, toml_table(toml_text(config.tables())), "text") == config
    assert merged(DEFAULT, config.tables(), "tables") == config


def test_what_may_differ_is_there() -> None:
    assert set(FREE) <= set(flat(DEFAULT.tables()))
    assert not {"run.seed", "run.precision", "batch.scenes", "encoder.inputs"} & set(FREE)


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
            assert str(refusal).startswith(f"error[E_CONFIG]: --set: [{table}]: {key}: ")
            assert refusal.fault.endswith(" is none of its values")
            assert refusal.remedy == f"One of: {', '.join(map(str, known))}."


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
        table, key = path.split(".")
        for value in wrong:
            refusal = refusal_of(f"{path}={value}")
            assert str(refusal).startswith(f"error[E_CONFIG]: --set: [{table}]: {key}: ")
            assert refusal.fault.endswith(f" is not {what}")
            assert refusal.remedy == "See what --dry-run prints."
    numbers = {int: ["-1", "10" + "0" * 12], float: ["-0.1", "nan", "inf", "1" + "0" * 400]}
    for path in paths:
        for value in numbers.get(kind, []):
            refusal = refusal_of(f"{path}={value}")
            assert refusal.fault.endswith(" is out of range")
            assert refusal.remedy == "It is a number from 0 on."


def test_numbers_too_long_to_read_are_refused() -> None:
    assert "is not a whole number" in refusal_of("run.seed=" + "9" * 5000).fault


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
        with pytest.raises(UsageError, match="2021 is not text"):
            merged(DEFAULT, {table: {key: 2021}}, "run.toml")


@pytest.mark.parametrize("setting", ["", "loss", "loss.start", "loss=1", "=1", "start=0.5"])
def test_a_setting_says_table_key_and_value(setting: str) -> None:
    refusal = refusal_of(setting)
    assert str(refusal) == f"error[E_CONFIG]: --set: {setting!r} is not table.key=value"
    assert refusal.remedy == "Try loss.start=0.5."


@pytest.mark.parametrize(
    ("table", "fault", "remedy"),
    [
        ({"los": {}}, "run.toml: there is no key 'los'", "Did you mean loss?"),
        ({"seed": 1}, "run.toml: there is no key 'seed'", "There is: data, teacher, words"),
        (
            {"loss": {"sematic": "kl"}},
            "run.toml: [loss]: there is no key 'sematic'",
            "Did you mean semantic?",
        ),
        ({"batch": {"sweep": 1}}, "run.toml: [batch]: there is no key 'sweep'", "mean sweeps?"),
        ({"loss": 1}, "run.toml: loss is a table", "Write [loss], then its keys."),
        ({"loss": [{"start": 1}]}, "run.toml: loss is a table", "Write [loss], then its keys."),
        ({"words": {"classes": [1]}}, "run.toml: [words]: classes: 1 is not text", "See "),
        ({"data": {"root": ["a"]}}, "run.toml: [data]: root: ['a'] is not text", "See "),
        ({"run": {"seed": {"a": 1}}}, "run.toml: [run]: seed: {'a': 1} is not a whole", "See "),
    ],
)
def test_unknown_keys_and_misplaced_tables_are_refused(
    table: dict[str, Any], fault: str, remedy: str
) -> None:
    with pytest.raises(UsageError) as refusal:
        merged(DEFAULT, table, "run.toml")
    assert str(refusal.value).startswith(f"error[E_CONFIG]: {fault}")
    assert remedy in refusal.value.remedy


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        ("batch.scenes=0", "scenes: 0 is not above 0"),
        ("batch.sweeps=0", "sweeps: 0 is not above 0"),
        ("batch.pairs=0", "pairs: 0 is not above 0"),
        ("loss.temperature=0", "temperature: 0.0 is not above 0"),
        ("loss.attention_temperature=0", "attention_temperature: 0.0 is not above 0"),
        ("encoder.width=0", "width: 0.0 is not above 0"),
        ("encoder.voxel_sizes_m=[]", "voxel_sizes_m: () is not above 0"),
        ("encoder.voxel_sizes_m=0.1,0", "voxel_sizes_m: (0.1, 0.0) is not above 0"),
        ("optimizer.epochs=0", "epochs: 0 is not above 0"),
        ("optimizer.batches_per_step=0", "batches_per_step: 0 is not above 0"),
        ("run.save_every=0", "save_every: 0 is not above 0"),
        ("run.keep_last=0", "keep_last: 0 is not above 0"),
        ("optimizer.average_decay=1.1", "average_decay: 1.1 is above 1"),
        ("optimizer.warmup=2", "warmup: 2.0 is above 1"),
        ("words.least_share=5", "least_share: 5.0 is above 1"),
        ("encoder.inputs=[]", "inputs: names no channel"),
        ("encoder.inputs=one,hight_near", "inputs: no channel is called 'hight_near'"),
    ],
)
def test_what_would_fail_hours_later_is_refused_at_once(setting: str, fault: str) -> None:
    refusal = refusal_of(setting)
    assert str(refusal).endswith(fault)
    assert refusal.remedy
    if "hight" in setting:
        assert refusal.remedy.startswith("Did you mean height_near?")


def test_keys_with_such_a_rule_exist() -> None:
    from clip3d_cli.pipelines.training import config_values

    known = [
        [path.split(".")[1] for path in flat(config.tables())]
        for config in (DEFAULT, FinetuneConfig())
    ]
    for key in config_values._ABOVE_ZERO | config_values._SHARES:
        # Rules go by the key alone.
        assert {names.count(key) for names in known} <= {0, 1}, key
        assert any(key in names for names in known), key


@pytest.mark.parametrize("content", [b"a = ", b"\xff\xfe", b"a = 1\na = 2", b"x = " + b"[" * 9999])
def test_what_is_not_toml_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"E_CONFIG.*run\.toml: cannot be read") as refusal:
        read_config(path)
    assert refusal.value.remedy == "It must be TOML."


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_file_that_is_not_there_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"E_CONFIG.*cannot be read"):
        read_config(tmp_path / name)


def test_only_dataclasses_are_configured() -> None:
    for thing in (PretrainConfig, {"loss": {}}):
        with pytest.raises(TypeError, match="only a dataclass"):
            merged(thing, {}, "here")


def test_the_defaults_would_be_taken_from_a_file() -> None:
    for table in fields(PretrainConfig):
        options = getattr(DEFAULT, table.name)
        assert is_dataclass(options)
        merged(options, {entry.name: getattr(options, entry.name) for entry in fields(options)}, "")
