"""Templates: sentences around a word, such as "a photo of a {}."."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from clip3d_cli import registry
from clip3d_cli.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_REMEDY = "Write {} exactly once in every line, where the word goes."


def select_templates(templates: str | Path | Sequence[str]) -> tuple[str, ...]:
    """Return the templates of a named set or of a file, or the given templates.

    Args:
        templates: name of a set, path of a file with one template per line, or templates.

    Raises:
        UsageError: E_UNKNOWN_NAME: there is no such set; E_TEMPLATES: the file cannot be read, or
            a template does not have exactly one ``{}``.
    """
    if not isinstance(templates, (str, Path)):
        for template in templates:
            check_template(template, "templates")
        return tuple(templates)
    path = Path(templates)
    if str(templates) not in load_template_sets() and (path.suffix or path.is_file()):
        return read_templates(path)
    return load_templates(str(templates))


def load_template_sets() -> dict[str, tuple[str, ...]]:
    """Return the template sets that are shipped with clip3d, by name."""
    table = tomllib.loads(Path(__file__).with_name("templates.toml").read_text(encoding="utf-8"))
    return {name: tuple(row["templates"]) for name, row in table.items()}


def load_templates(name: str) -> tuple[str, ...]:
    """Return the templates of a set that is shipped with clip3d.

    Raises:
        UsageError: E_UNKNOWN_NAME: there is no such set.
    """
    sets = load_template_sets()
    if name not in sets:
        raise registry.unknown_name_error("templates", name, sets)
    return sets[name]


def read_templates(path: Path) -> tuple[str, ...]:
    """Read a text file with one template per line; empty lines and ``#`` lines are skipped.

    Raises:
        UsageError: E_TEMPLATES: the file cannot be read, has no template, or has a line without
            exactly one ``{}``.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("E_TEMPLATES", path, f"cannot be read: {error}", _REMEDY) from error
    rows = [(n, line) for n, line in enumerate(lines, 1) if line and not line.startswith("#")]
    if not rows:
        raise UsageError("E_TEMPLATES", path, "holds no template", _REMEDY)
    for number, line in rows:
        check_template(line, f"{path}:{number}")
    return tuple(line for _, line in rows)


def check_template(template: str, where: str) -> None:
    """Check that a template has exactly one ``{}``.

    Args:
        template: template to check.
        where: file and line, or option, for the message.

    Raises:
        UsageError: E_TEMPLATES: it has none, or several.
    """
    count = template.count("{}")
    if count != 1:
        raise UsageError("E_TEMPLATES", where, f"{template!r} has {{}} {count} times", _REMEDY)


def fill_templates(templates: Sequence[str], word: str) -> list[str]:
    """Return the prompts of a word, one per template."""
    return [template.replace("{}", word) for template in templates]
