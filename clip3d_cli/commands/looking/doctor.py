"""``clip3d doctor``: whether this machine can do the main job, and what it lacks."""

from __future__ import annotations

from typing import Annotated

import typer


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> int:
    """Check whether this machine can label.

    Shows versions, devices, weights and caches, and labels a small made-up scan. The exit code is 4
    if the default weights cannot label on this machine. The text belongs into every report of a
    fault.

    \b
    Examples:
      clip3d doctor
      clip3d doctor --json > machine.json
    """  # noqa: D301
    from clip3d_cli.commands.looking.checkup import FAULT, MARKS, examine
    from clip3d_cli.commands.terminal import give, give_json

    findings = examine()
    healthy = all(finding.state != FAULT for finding in findings)
    if as_json:
        give_json(
            {
                "schema": "clip3d.doctor/1",
                "healthy": healthy,
                "findings": [finding.as_entry() for finding in findings],
            }
        )
    else:
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            give(f"{MARKS[finding.state]}  {finding.what:{width}}  {finding.text}")
            if finding.hint:
                give(f"    {'':{width}}  hint: {finding.hint}")
    return 0 if healthy else 4
