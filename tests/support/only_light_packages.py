"""Runs a clip3d command as if only the packages for labelling on a CPU were installed.

Usage: python only_light_packages.py label scan.ply --classes car,tree
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution, packages_distributions
from importlib.metadata import PackageNotFoundError as NotInstalled
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def light_distributions() -> set[str]:
    """Return the packages of requirements-light.txt and all that they require themselves."""
    lines = (ROOT / "requirements-light.txt").read_text(encoding="utf-8").splitlines()
    waiting = [line for line in lines if line and not line.startswith("#")]
    known: set[str] = set()
    while waiting:
        name = normalized(re.split(r"[^\w.-]", waiting.pop(), maxsplit=1)[0])
        if name in known:
            continue
        known.add(name)
        try:
            required = distribution(name).requires or []
        except NotInstalled:
            continue  # for another platform or Python
        waiting += [entry for entry in required if "extra ==" not in entry]
    return known


class LightFinder:
    """Finds modules as another finder does, apart from packages that are to be hidden."""

    def __init__(self, inner: Any, modules: set[str], distributions: set[str]) -> None:
        self._inner = inner
        self._modules = modules
        self._distributions = distributions

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.partition(".")[0] not in self._modules:
            return None
        return self._inner.find_spec(name, path, target)

    def find_distributions(self, *arguments: Any) -> Iterator[Distribution]:
        for found in getattr(self._inner, "find_distributions", lambda *_: ())(*arguments):
            if normalized(found.metadata["Name"]) in self._distributions:
                yield found


def hide_other_packages() -> None:
    distributions = light_distributions()
    modules = {
        module
        for module, owners in packages_distributions().items()
        if any(normalized(owner) in distributions for owner in owners)
    }
    modules |= sys.stdlib_module_names | {"clip3d_cli"}
    distributions.add("clip3d")
    # Hooks of an environment's .pth files import what they like before this runs.
    hidden = {name for name in sys.modules if name.partition(".")[0] not in modules}
    for name in hidden - {"__main__"}:
        del sys.modules[name]
    sys.meta_path[:] = [LightFinder(inner, modules, distributions) for inner in sys.meta_path]


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    hide_other_packages()
    from clip3d_cli.cli.app import main

    main(sys.argv[1:])
