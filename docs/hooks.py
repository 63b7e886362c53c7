"""Pages that are generated when the site is built: commands, configuration, vocabularies, cards.

MkDocs calls `on_files` before it builds. The pages come from the program itself, so that they
cannot disagree with it.
"""

from __future__ import annotations

import html
import inspect
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from clip3d_cli.cli.app import app
from clip3d_cli.core.vocabulary import load_vocabulary, vocabulary_names

ROOT = Path(__file__).resolve().parents[1]
# Links of files outside docs/, such as the README, to where the site has the same page.
_LINKS = {"docs/": "", "benchmarks/RESULTS.md": "explanation/benchmarks.md"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {
        "index.md": home_page(),
        "reference/cli.md": commands_page(),
        "reference/config.md": config_page(),
        "reference/vocabularies.md": vocabularies_page(),
        "explanation/benchmarks.md": (ROOT / "benchmarks" / "RESULTS.md").read_text("utf-8"),
    }
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def home_page() -> str:
    """Return the README with its links changed to pages of the site."""
    text = (ROOT / "README.md").read_text("utf-8")
    for page in ("CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff", "weights/"):
        text = text.replace(f"]({page}", f"]({_REPOSITORY}/blob/main/{page}")
    return text.replace("](docs/", "](")


_REPOSITORY = "https://github.com/clip3d/clip3d"


def commands_page() -> str:
    """Return a section for every command: its help text and a table of its options by panel."""
    group: Any = typer.main.get_command(app)
    lines = ["# Commands", ""]
    for name, command in group.commands.items():
        context = typer.Context(command, info_name=f"clip3d {name}")
        lines += [f"## clip3d {name}", "", *_help_lines(command), ""]
        panels: dict[str, list[tuple[str, str]]] = {}
        for parameter in command.get_params(context):
            record = parameter.get_help_record(context)
            if record is not None:
                panel = getattr(parameter, "rich_help_panel", None) or "Options"
                is_argument = parameter.param_type_name == "argument"
                panels.setdefault("Arguments" if is_argument else panel, []).append(record)
        for panel, records in panels.items():
            lines += [f"**{panel}**", "", "| option | meaning |", "|---|---|"]
            lines += [f"| {_code(option)} | {_cell(text)} |" for option, text in records]
            lines.append("")
    return "\n".join(lines)


def _help_lines(command: Any) -> list[str]:
    """Return the help text of a command as Markdown, its examples as a code block."""
    text, _, examples = inspect.cleandoc(command.help or "").partition("\b\nExamples:")
    lines = text.strip().splitlines()
    if examples:
        lines += ["", "```sh", *(line.strip() for line in examples.strip().splitlines()), "```"]
    return lines


def config_page() -> str:
    """Return a table of every configuration key of each training command."""
    from clip3d_cli.pipelines.finetune.config import FinetuneConfig
    from clip3d_cli.pipelines.pretrain.config import PretrainConfig
    from clip3d_cli.pipelines.training.config_reference import config_reference

    lines = ["# Configuration", ""]
    for name, config in (("pretrain", PretrainConfig), ("finetune", FinetuneConfig)):
        lines += [f"## clip3d {name}", "", "| key | default | values | meaning |"]
        lines.append("|---|---|---|---|")
        for key in config_reference(config):
            cells = (_code(key.name), _code(key.default), _cell(key.values), _cell(key.description))
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def vocabularies_page() -> str:
    """Return a table of the classes of every vocabulary."""
    lines = ["# Vocabularies", ""]
    for name in vocabulary_names():
        vocabulary = load_vocabulary(name)
        lines += [f"## {name}", "", f"{vocabulary.title}. {vocabulary.source}", ""]
        lines += ["| class | id | words |", "|---|---|---|"]
        for entry in vocabulary.classes:
            lines.append(f"| {entry.name} | {entry.class_id} | {', '.join(entry.words)} |")
        lines.append("")
    return "\n".join(lines)


def _code(text: object) -> str:
    """Return a text as code in a table cell; Markdown shows an escaped bar with its backslash."""
    return f"<code>{html.escape(str(text)).replace('|', '&#124;')}</code>"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
