"""Builds the native engine with whatever C compiler there is.

Nothing here needs more than the standard library: it runs while the package is being installed,
and afterwards as ``python -m clip3d_cli.native.build``.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
LIBRARY = "clip3d_engine.so"
REASON = "clip3d_engine.txt"

_FLAGS = ("-std=gnu11", "-O3", "-fPIC", "-fvisibility=hidden", "-ffp-contract=fast")
_WARNINGS = ("-Wall", "-Wextra")
_SANITIZE = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")


class BuildError(Exception):
    """The library could not be built; the message says why."""


@dataclass(frozen=True)
class Isa:
    """How the sources named ``isa_*.c`` are compiled for one instruction set."""

    name: str
    lanes: int
    layout: int
    flags: tuple[str, ...]
    machines: tuple[str, ...] | None = ("x86_64", "amd64")


_AVX2 = ("-mavx2", "-mfma")
_AVX512 = ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma")
_AMX = (*_AVX512, "-mavx512bf16", "-mamx-tile", "-mamx-bf16")
ISAS = (
    Isa("portable", 4, 1, (), None),
    Isa("avx2", 8, 2, _AVX2),
    Isa("avx512", 16, 3, (*_AVX512, "-mprefer-vector-width=512")),
)
# The kernels of AVX-512 for CPUs without it: slow, but their logic can be tested anywhere.
WIDE = Isa("wide", 16, 9, (*_AVX2, "-O1", "-Wno-psabi"))


@dataclass(frozen=True)
class _Unit:
    """One object file: from which source, with which flags."""

    name: str
    source: Path
    flags: tuple[str, ...] = field(default=())


def compiler() -> list[str]:
    """The command of the C compiler: the environment's CC, else the first that is found.

    Raises:
        BuildError: there is none.
    """
    asked = os.environ.get("CC")
    if asked:
        return shlex.split(asked)
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return [name]
    raise BuildError("no C compiler was found (cc, gcc or clang)")


def build(
    folder: Path = FOLDER, *, sanitize: bool = False, wide: bool = False, cc: str | None = None
) -> Path:
    """The path of the library, newly built.

    Args:
        folder: where it is put, replacing an older one at once and whole.
        sanitize: let it check itself for wrong memory accesses and undefined behaviour.
        wide: also compile the kernels of AVX-512 for AVX2, and those of AMX for an emulation
            in plain C, for tests.
        cc: the compiler's command; by default `compiler`.

    Raises:
        BuildError: it could not be built; the message holds the compiler's first complaint.
    """
    command = shlex.split(cc) if cc else compiler()
    with tempfile.TemporaryDirectory(prefix="clip3d-build-") as place:
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            openmp = _flags_that_work(command, Path(place))
            extra = (*openmp, *(_SANITIZE if sanitize else ()))
            isas = [*_isas_that_compile(command, Path(place), wide=wide)]
            units = list(_units(isas, amx=_accepts(command, _AMX, Path(place))))
            objects = list(
                pool.map(lambda unit: _compile(command, unit, extra, Path(place)), units)
            )
        built = Path(place) / LIBRARY
        _run([*command, "-shared", *extra, *map(str, objects), "-lm", "-o", str(built)])
        folder.mkdir(parents=True, exist_ok=True)
        arriving = folder / f"{LIBRARY}.{os.getpid()}.part"
        shutil.copy2(built, arriving)
        arriving.replace(folder / LIBRARY)
    (folder / REASON).unlink(missing_ok=True)
    return folder / LIBRARY


def build_or_note(folder: Path = FOLDER) -> Path | None:
    """The path of the library, or None and the reason in a text file beside it."""
    try:
        return build(folder)
    except (BuildError, OSError) as fault:
        (folder / LIBRARY).unlink(missing_ok=True)
        (folder / REASON).write_text(f"{fault}\n", encoding="utf-8")
        return None


def _isas_that_compile(command: list[str], place: Path, *, wide: bool) -> list[Isa]:
    machine = platform.machine().lower()
    wanted = [*ISAS, WIDE] if wide else list(ISAS)
    here = [isa for isa in wanted if isa.machines is None or machine in isa.machines]
    return [isa for isa in here if _accepts(command, isa.flags, place)]


def _units(isas: list[Isa], *, amx: bool) -> list[_Unit]:
    shared = [
        path
        for path in sorted(FOLDER.glob("*.c"))
        if not path.name.startswith("isa_") and not path.name.startswith("amx")
    ]
    have = tuple(f"-DC3D_HAVE_{isa.name.upper()}" for isa in isas)
    amx_ways = _ways_of_amx({isa.name for isa in isas}, amx=amx)
    have += tuple(f"-DC3D_HAVE_{name.upper()}" for name in amx_ways)
    units = [_Unit(path.stem, path, have) for path in shared]
    for name, flags in amx_ways.items():
        for path in sorted(FOLDER.glob("amx*.c")):
            units.append(_Unit(f"{path.stem}_for_{name}", path, flags))
    for isa in isas:
        names = (f"-DC3D_ISA={isa.name}", f"-DC3D_LANES={isa.lanes}", f"-DC3D_LAYOUT={isa.layout}")
        for path in sorted(FOLDER.glob("isa_*.c")):
            units.append(_Unit(f"{path.stem}_{isa.name}", path, (*isa.flags, *names)))
    return units


def _ways_of_amx(isas: set[str], *, amx: bool) -> dict[str, tuple[str, ...]]:
    """The flags of each way to compile the kernels of AMX; each leans on kernels beside it."""
    ways: dict[str, tuple[str, ...]] = {}
    if amx and "avx512" in isas:
        ways["amx"] = _AMX
    if WIDE.name in isas:
        ways["amx_emulated"] = (*WIDE.flags, "-DC3D_AMX_EMULATED")
    return ways


def _compile(command: list[str], unit: _Unit, extra: tuple[str, ...], place: Path) -> Path:
    made = place / f"{unit.name}.o"
    _run(
        [
            *command,
            *_FLAGS,
            *_WARNINGS,
            *extra,
            *unit.flags,
            "-c",
            str(unit.source),
            "-o",
            str(made),
        ]
    )
    return made


def _flags_that_work(command: list[str], place: Path) -> tuple[str, ...]:
    """OpenMP's flag if the compiler has it and its library can be linked; nothing if not."""
    probe = place / "openmp.c"
    probe.write_text("#include <omp.h>\nint c3d_probe(void) { return omp_get_num_procs(); }\n")
    try:
        _run([*command, "-fopenmp", "-shared", "-fPIC", str(probe), "-o", str(place / "probe.so")])
    except BuildError:
        return ("-Wno-unknown-pragmas",)
    return ("-fopenmp",)


def _accepts(command: list[str], flags: tuple[str, ...], place: Path) -> bool:
    probe = place / "flags.c"
    probe.write_text("int c3d_probe;\n")
    try:
        _run([*command, "-Werror", *flags, "-c", str(probe), "-o", str(place / "flags.o")])
    except BuildError:
        return False
    return True


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    except FileNotFoundError as fault:
        raise BuildError(f"{command[0]} was not found") from fault
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise BuildError(f"{command[0]}: {fault}") from fault
    if done.returncode != 0:
        complaint = next((line for line in done.stderr.splitlines() if "error" in line), "")
        fallback = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise BuildError(f"{command[0]}: {complaint.strip() or fallback[0]}")


def main(arguments: list[str] | None = None) -> int:
    """Build into the package's folder; the exit code."""
    parser = argparse.ArgumentParser(description="Build clip3d's native engine.")
    parser.add_argument("--sanitize", action="store_true", help="let it check its memory accesses")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the library is put")
    asked = parser.parse_args(arguments)
    try:
        built = build(asked.folder, sanitize=asked.sanitize)
    except BuildError as fault:
        sys.stderr.write(f"not built: {fault}\n")
        return 1
    sys.stdout.write(f"{built}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
