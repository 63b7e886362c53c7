from __future__ import annotations

from pathlib import Path
from typing import get_args

import clip3d_cli
from clip3d_cli.errors import Code

PACKAGE = Path(clip3d_cli.__file__).parent


def test_every_code_is_raised_somewhere() -> None:
    files = [path for path in PACKAGE.rglob("*.py") if path.name != "errors.py"]
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    assert [code for code in get_args(Code) if f'"{code}"' not in text] == []
