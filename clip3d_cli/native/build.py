"""Build the native library with the C compiler of this machine.

Needs only the standard library, because it runs while the package is being installed. Afterwards
it can be run again with ``python -m clip3d_cli.native.build``.
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
FAILURE_NOTE = "clip3d_engine.txt"

# -ffp-contract=fast turns a * b + c into fused multiply-adds where the CPU has them.
_FLAGS = ("-std=gnu11", "-O3", "-fPIC", "-fvisibility=hidden", "-ffp-contract=fast")
_WARNINGS = ("-Wall", "-Wextra")
_SANITIZE = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")


class BuildError(Exception):
    """The library could not be built; the message says why."""


@dataclass(frozen=True)
class Isa:
    """One instruction set, for which every ``isa_*.c`` is compiled once.

    Attributes:
        name: suffix of the names of its kernels.
        lanes: float32 numbers of a vector.
        layout: number of its layout of packed weights; no two instruction sets share one.
        flags: flags of the compiler.
        machines: values of ``platform.machine()`` that have it; None for all.
    """

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
# The 16-lane kernels of AVX-512 compiled for AVX2: slow, but they can be tested on other CPUs.
WIDE = Isa("wide", 16, 9, (*_AVX2, "-O1", "-Wno-psabi"))


@dataclass(frozen=True)
class _Unit:
    """One object file: its name, its source, and the flags beyond the common ones."""

    name: str
    source: Path
    flags: tuple[str, ...] = field(default=())


def compiler() -> list[str]:
    """Return the command of the C compiler: CC of the environment, else the first one found.

    Raises:
        BuildError: there is none.
    """
    from_environment = os.environ.get("CC")
    if from_environment:
        return shlex.split(from_environment)
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return [name]
    raise BuildError("no C compiler was found (cc, gcc or clang)")


def build(
    folder: Path = FOLDER, *, sanitize: bool = False, wide: bool = False, cc: str | None = None
) -> Path:
    """Build the library and return its path.

    Args:
        folder: where it is written. An older library is replaced in one step, only once the new
            one is complete.
        sanitize: compile with AddressSanitizer and UndefinedBehaviorSanitizer.
        wide: for tests, also compile the kernels of AVX-512 for AVX2, and those of AMX for an
            emulation in plain C.
        cc: command of the compiler; `compiler` by default.

    Raises:
        BuildError: it could not be built; the message has the compiler's first error.
    """
    command = shlex.split(cc) if cc else compiler()
    with tempfile.TemporaryDirectory(prefix="clip3d-build-") as temporary:
        work = Path(temporary)
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            flags = (*_openmp_flags(command, work), *(_SANITIZE if sanitize else ()))
            isas = [*_isas_that_compile(command, work, wide=wide)]
            units = list(_units(isas, amx=_accepts(command, _AMX, work)))
            objects = list(pool.map(lambda unit: _compile(command, unit, flags, work), units))
        built = work / LIBRARY
        _run([*command, "-shared", *flags, *map(str, objects), "-lm", "-o", str(built)])
        folder.mkdir(parents=True, exist_ok=True)
        # A rename within one folder is atomic: no process ever loads half a library.
        partial = folder / f"{LIBRARY}.{os.getpid()}.part"
        shutil.copy2(built, partial)
        partial.replace(folder / LIBRARY)
    (folder / FAILURE_NOTE).unlink(missing_ok=True)
    return folder / LIBRARY


def build_or_note(folder: Path = FOLDER) -> Path | None:
    """Build the library; if that fails, return None and write the reason to `FAILURE_NOTE`."""
    try:
        return build(folder)
    except (BuildError, OSError) as error:
        (folder / LIBRARY).unlink(missing_ok=True)
        (folder / FAILURE_NOTE).write_text(f"{error}\n", encoding="utf-8")
        return None


def _isas_that_compile(command: list[str], work: Path, *, wide: bool) -> list[Isa]:
    machine = platform.machine().lower()
    wanted = [*ISAS, WIDE] if wide else list(ISAS)
    of_machine = [isa for isa in wanted if isa.machines is None or machine in isa.machines]
    return [isa for isa in of_machine if _accepts(command, isa.flags, work)]


def _units(isas: list[Isa], *, amx: bool) -> list[_Unit]:
    """List the object files: common sources once, ``isa_*.c`` and ``amx*.c`` once per variant."""
    common = [
        path
        for path in sorted(FOLDER.glob("*.c"))
        if not path.name.startswith("isa_") and not path.name.startswith("amx")
    ]
    # dispatch.c refers only to the variants that are compiled.
    defines = tuple(f"-DC3D_HAVE_{isa.name.upper()}" for isa in isas)
    amx_variants = _amx_variants({isa.name for isa in isas}, amx=amx)
    defines += tuple(f"-DC3D_HAVE_{name.upper()}" for name in amx_variants)
    units = [_Unit(path.stem, path, defines) for path in common]
    for name, flags in amx_variants.items():
        for path in sorted(FOLDER.glob("amx*.c")):
            units.append(_Unit(f"{path.stem}_for_{name}", path, flags))
    for isa in isas:
        names = (f"-DC3D_ISA={isa.name}", f"-DC3D_LANES={isa.lanes}", f"-DC3D_LAYOUT={isa.layout}")
        for path in sorted(FOLDER.glob("isa_*.c")):
            units.append(_Unit(f"{path.stem}_{isa.name}", path, (*isa.flags, *names)))
    return units


def _amx_variants(isas: set[str], *, amx: bool) -> dict[str, tuple[str, ...]]:
    """Return the flags of each variant of the AMX kernels; each needs 16-lane kernels as well."""
    variants: dict[str, tuple[str, ...]] = {}
    if amx and "avx512" in isas:
        variants["amx"] = _AMX
    if WIDE.name in isas:
        variants["amx_emulated"] = (*WIDE.flags, "-DC3D_AMX_EMULATED")
    return variants


def _compile(command: list[str], unit: _Unit, flags: tuple[str, ...], work: Path) -> Path:
    target = work / f"{unit.name}.o"
    _run(
        [
            *command,
            *_FLAGS,
            *_WARNINGS,
            *flags,
            *unit.flags,
            "-c",
            str(unit.source),
            "-o",
            str(target),
        ]
    )
    return target


def _openmp_flags(command: list[str], work: Path) -> tuple[str, ...]:
    """Return the flag of OpenMP if a program with it can be linked, else one against warnings."""
    probe = work / "openmp.c"
    probe.write_text("#include <omp.h>\nint c3d_probe(void) { return omp_get_num_procs(); }\n")
    try:
        _run([*command, "-fopenmp", "-shared", "-fPIC", str(probe), "-o", str(work / "probe.so")])
    except BuildError:
        return ("-Wno-unknown-pragmas",)
    return ("-fopenmp",)


def _accepts(command: list[str], flags: tuple[str, ...], work: Path) -> bool:
    """Return whether the compiler knows all of these flags."""
    probe = work / "flags.c"
    probe.write_text("int c3d_probe;\n")
    try:
        _run([*command, "-Werror", *flags, "-c", str(probe), "-o", str(work / "flags.o")])
    except BuildError:
        return False
    return True


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    except FileNotFoundError as error:
        raise BuildError(f"{command[0]} was not found") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        message = next((line for line in done.stderr.splitlines() if "error" in line), "")
        fallback = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise BuildError(f"{command[0]}: {message.strip() or fallback[0]}")


def main(arguments: list[str] | None = None) -> int:
    """Build into the package's folder and return the exit code."""
    parser = argparse.ArgumentParser(description="Build clip3d's native engine.")
    parser.add_argument(
        "--sanitize", action="store_true", help="check memory accesses and undefined behaviour"
    )
    parser.add_argument(
        "--folder", type=Path, default=FOLDER, help="folder to write the library to"
    )
    options = parser.parse_args(arguments)
    try:
        built = build(options.folder, sanitize=options.sanitize)
    except BuildError as error:
        sys.stderr.write(f"not built: {error}\n")
        return 1
    sys.stdout.write(f"{built}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
