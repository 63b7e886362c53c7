"""Hatchling build hook: adds the native library to the wheel where there is a C compiler.

Only hatchling imports this module, by its path: the package is not installed at that time.
"""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_FOLDER = Path("clip3d_cli", "native")


class NativeEngineHook(BuildHookInterface[Any]):
    """Makes a platform wheel with the library, or a pure wheel with the reason for its absence."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build before the files of the wheel are collected, also for an editable install."""
        folder = Path(self.root) / _FOLDER
        builder = _module(folder / "build.py")
        built = builder.build_or_note(folder)
        # Git ignores what is built, and hatchling leaves out what Git ignores.
        kept = builder.LIBRARY if built else builder.FAILURE_NOTE
        build_data["artifacts"].append(f"/{(_FOLDER / kept).as_posix()}")
        if built:
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{platform}"
        else:
            note = (folder / builder.FAILURE_NOTE).read_text(encoding="utf-8").strip()
            self.app.display_warning(note)


def _module(path: Path) -> ModuleType:
    """Import a module by its path."""
    spec = importlib.util.spec_from_file_location("clip3d_native_build", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
