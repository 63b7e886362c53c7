from __future__ import annotations

import pickle
from pathlib import Path
from typing import get_args

import pytest

import clip3d_cli
from clip3d_cli.errors import Clip3DError, Code, InputError, OutputError, SetupError, UsageError

PACKAGE = Path(clip3d_cli.__file__).parent


def test_every_code_is_raised_somewhere() -> None:
    files = [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "errors.py"]
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    assert [code for code in get_args(Code) if f'"{code}"' not in text] == []


@pytest.mark.parametrize("kind", [Clip3DError, InputError, OutputError, UsageError, SetupError])
def test_errors_survive_pickling(kind: type[Clip3DError]) -> None:
    """Worker processes send them to their parents."""
    error = kind("E_PARSE", Path("a.pcd"), "line 3 has no number", "Export it again.")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (again.code, again.where, again.fault, again.remedy) == (
        "E_PARSE",
        "a.pcd",
        "line 3 has no number",
        "Export it again.",
    )
    assert str(again) == str(error) == "error[E_PARSE]: a.pcd: line 3 has no number"
