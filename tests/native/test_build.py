"""Building and loading the native engine, and what its functions refuse."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from native_calls import EXACT, convolve, keys_of_cloud, numbers, pack, rows_of

from clip3d_cli.native import build as building
from clip3d_cli.native import library as native
from clip3d_cli.native.build import FAILURE_NOTE, FOLDER, LIBRARY, BuildError

ROWS, CIN, COUT = 200, 6, 10


def test_without_a_compiler_the_reason_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / LIBRARY).write_text("an older one")
    assert building.build_or_note(tmp_path) is None
    status = native.engine_status(tmp_path / LIBRARY)
    assert status.fault == "it was not built: no C compiler was found (cc, gcc or clang)"
    assert status.isa is None


@pytest.mark.parametrize(
    ("command", "fault"),
    [("/nowhere/cc", "/nowhere/cc"), ("false", "exit code 1"), (f"{sys.executable} -E", "python")],
)
def test_a_compiler_that_fails_is_named(tmp_path: Path, command: str, fault: str) -> None:
    with pytest.raises(BuildError, match=fault):
        building.build(tmp_path, cc=command)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_there_or_no_library_is_not_usable(tmp_path: Path) -> None:
    assert native.engine_status(tmp_path / LIBRARY).fault == "it was not built"
    (tmp_path / LIBRARY).write_text("not a library")
    assert "cannot be loaded" in str(native.engine_status(tmp_path / LIBRARY).fault)
    with pytest.raises(native.EngineUnavailableError, match="cannot be loaded"):
        native.load(tmp_path / LIBRARY)


@pytest.mark.parametrize(
    ("version", "fault"),
    [(native.ABI, "cannot be loaded"), (native.ABI + 1, f"has interface version {native.ABI + 1}")],
)
def test_a_library_of_other_functions_or_version_is_refused(
    tmp_path: Path, version: int, fault: str
) -> None:
    names = [name for name in native._FUNCTIONS if name != "c3d_abi"]
    if version == native.ABI:
        names.remove("c3d_convolve")
    source = tmp_path / "other.c"
    source.write_text(
        f"int c3d_abi(void) {{ return {version}; }}\n"
        + "".join(f"int {name}(void) {{ return 0; }}\n" for name in names)
    )
    try:
        command = building.compiler()
    except BuildError as missing:
        pytest.skip(str(missing))
    library = tmp_path / LIBRARY
    subprocess.run(
        [*command, "-shared", "-fPIC", str(source), "-o", str(library)],
        check=True,
        capture_output=True,
    )
    assert fault in str(native.engine_status(library).fault)


def test_nothing_is_loaded_before_it_is_asked_for() -> None:
    script = (
        "import sys; from clip3d_cli.native import library\n"
        "assert library._load.cache_info().currsize == 0\n"
        "assert not {'torch', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=FOLDER.parents[1])


@pytest.mark.slow
@pytest.mark.parametrize("first", ["torch", "native"])
def test_it_shares_threads_with_torch_in_either_order(first: str) -> None:
    """Both use the OpenMP that was loaded first; answers are right whichever that is."""
    if native.engine_status().fault is not None:
        pytest.skip(str(native.engine_status().fault))
    steps = ["import torch; torch.set_num_threads(2)", "library = native.load()"]
    script = [
        "import sys; sys.path.insert(0, 'tests/support')",
        "import numpy as np",
        "from clip3d_cli.native import library as native",
        *(steps if first == "torch" else reversed(steps)),
        "from native_calls import convolve, numbers",
        "feats, weight = numbers((4000, 64)), numbers((1, 64, 64))",
        "one = convolve(library, feats, weight, None, 0, threads=1)",
        "x = torch.from_numpy(feats)",
        "for _ in range(20):",
        "    both = convolve(library, feats, weight, None, 0, threads=3), (x @ x.T).sum()",
        "    assert np.array_equal(both[0], one)",
    ]
    subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(script)],
        check=True,
        cwd=FOLDER.parents[1],
        timeout=120,
    )


@pytest.mark.slow
def test_without_openmp_it_computes_with_one_thread(tmp_path: Path) -> None:
    try:
        command = building.compiler()
    except BuildError as missing:
        pytest.skip(str(missing))
    wrapper = tmp_path / "cc"
    wrapper.write_text(
        f'#!/bin/sh\ncase "$*" in *fopenmp*) echo "error: no OpenMP" >&2; exit 1;; esac\n'
        f'exec {" ".join(command)} "$@"\n'
    )
    wrapper.chmod(0o755)
    library = native.load(building.build(tmp_path, cc=str(wrapper)))
    assert library.c3d_max_threads() == 1
    feats, weight = numbers((ROWS, CIN)), numbers((1, CIN, COUT))
    found = convolve(library, feats, weight, None, EXACT, threads=4)
    np.testing.assert_allclose(found, feats @ weight[0], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["", "/nowhere/cc"])
def test_wheels_carry_the_engine_or_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    pytest.importorskip("hatchling")
    from clip3d_cli.native.hatch_build import NativeEngineHook

    folder = tmp_path / "clip3d_cli" / "native"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns(LIBRARY, FAILURE_NOTE))
    if command:
        monkeypatch.setenv("CC", command)
    warnings: list[str] = []
    app: Any = SimpleNamespace(display_warning=warnings.append)
    hook = NativeEngineHook(str(tmp_path), {}, None, None, "", "wheel", app)  # type: ignore[arg-type]
    wheel: dict[str, Any] = {"artifacts": []}
    hook.initialize("standard", wheel)
    built = (folder / LIBRARY).is_file()
    assert wheel["artifacts"] == [f"/clip3d_cli/native/{LIBRARY if built else FAILURE_NOTE}"]
    assert wheel.get("tag", "").startswith("py3-none-") == built
    assert bool(warnings) != built
    if command:
        assert not built


def arguments() -> dict[str, dict[str, Any]]:
    """The arguments of two good calls, by names."""
    feats, target = numbers((ROWS, CIN)), numbers((ROWS, COUT))
    kept = [feats, target, numbers((27, CIN, COUT)), keys_of_cloud(ROWS)]
    return {
        "convolve": {
            "map": None, "reverse": 0, "source": rows_of(feats), "packed": None,
            "target": rows_of(target), "epilogue": None, "precision": 0, "threads": 1,
        },
        "weight_gradient": {
            "map": None, "reverse": 0, "source": rows_of(feats), "target": rows_of(target),
            "weight_grad": kept[2].ctypes.data, "offset_pitch": CIN * COUT, "row_pitch": COUT,
            "precision": 0, "threads": 1,
        },
        "kept": {"arrays": kept},
    }  # fmt: skip


ROWS_FAULTS: list[dict[str, Any]] = [
    {"rows": -1}, {"rows": ROWS + 1}, {"channels": 0}, {"channels": -4}, {"channels": CIN - 1},
    {"channels": CIN + 1}, {"pitch": CIN - 1}, {"pitch": -CIN}, {"data": None}, {"type": 2},
    {"type": -1}, {"channels": 2**31 - 1},
]  # fmt: skip
FAULTS: list[tuple[str, dict[str, Any]]] = [
    *(("convolve", {"source": fault}) for fault in ROWS_FAULTS),
    *(("convolve", {"target": fault}) for fault in ROWS_FAULTS),
    *(("weight_gradient", {"source": fault}) for fault in ROWS_FAULTS if "channels" not in fault),
    *(("weight_gradient", {"target": fault}) for fault in ROWS_FAULTS if "channels" not in fault),
    *(
        (call, {name: value})
        for call in ("convolve", "weight_gradient")
        for name, value in [
            ("precision", 3), ("precision", -1), ("threads", 0), ("threads", -2),
            ("threads", 100_000), ("source", None), ("target", None),
        ]
    ),
    ("convolve", {"packed": 0}),
    ("convolve", {"map": 0}),
    ("weight_gradient", {"weight_grad": None}),
    ("weight_gradient", {"offset_pitch": -1}),
    ("weight_gradient", {"row_pitch": COUT - 1}),
]  # fmt: skip


@pytest.mark.parametrize(("call", "fault"), FAULTS, ids=str)
def test_bad_arguments_are_refused(test_engine: Path, call: str, fault: dict[str, Any]) -> None:
    library = native.load(test_engine)
    good = arguments()
    asked, keys = good[call], good["kept"]["arrays"][3]
    handle = library.c3d_map_submanifold(keys.ctypes.data, ROWS, 3, 1)
    packed = pack(library, good["kept"]["arrays"][2], EXACT)
    asked["map"] = handle
    if call == "convolve":
        asked["packed"] = packed.ctypes.data
    function = getattr(library, f"c3d_{call}")
    assert function(*asked.values()) == native.OK
    for name, value in fault.items():
        if isinstance(value, dict):
            for field, wrong in value.items():
                setattr(asked[name], field, wrong)
        else:
            asked[name] = value
    assert function(*asked.values()) == native.BAD_ARGUMENT
    library.c3d_map_free(handle)


@pytest.mark.parametrize(
    ("position", "wrong"),
    [(0, None), (1, 0), (1, 126), (2, 0), (3, -1), (3, 2**30), (4, -1), (5, COUT - 1), (7, 3),
     (8, None), (9, 0)],
)  # fmt: skip
def test_weights_that_cannot_be_packed_are_refused(
    test_engine: Path, position: int, wrong: int | None
) -> None:
    library, weight = native.load(test_engine), numbers((27, CIN, COUT))
    packed = np.zeros(library.c3d_packed_bytes(27, CIN, COUT, EXACT), dtype=np.uint8)
    asked: list[int | None] = [
        weight.ctypes.data, 27, CIN, COUT, CIN * COUT, COUT, 0, EXACT, packed.ctypes.data, 1,
    ]  # fmt: skip
    assert library.c3d_pack(*asked) == native.OK
    asked[position] = wrong
    assert library.c3d_pack(*asked) == native.BAD_ARGUMENT


def test_weights_packed_for_others_are_refused(test_engine: Path, tmp_path: Path) -> None:
    """Weights of another instruction set, or no packed weights at all."""
    library = native.load(Path(shutil.copy(test_engine, tmp_path)))
    feats, target = numbers((ROWS, CIN)), numbers((ROWS, COUT))
    packed = pack(library, numbers((1, CIN, COUT)), EXACT)

    def answer() -> Any:
        return library.c3d_convolve(
            None, 0, rows_of(feats), packed.ctypes.data, rows_of(target), None, EXACT, 1
        )

    assert answer() == native.OK
    assert library.c3d_use_isa(b"no such") == native.BAD_ARGUMENT
    before = library.c3d_isa()
    if before != b"portable":
        assert library.c3d_use_isa(b"portable") == native.OK
        assert answer() == native.BAD_ARGUMENT
        assert library.c3d_use_isa(before) == native.OK
    packed[:4] = 0
    assert answer() == native.BAD_ARGUMENT


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps memory")
@pytest.mark.skipif("CLIP3D_SANITIZE" in os.environ, reason="the sanitizer's own memory")
def test_memory_once_freed_is_used_again(test_engine: Path) -> None:
    script = f"""
import resource
from pathlib import Path
from clip3d_cli.native import library

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    room = bytearray(b"1") * (100 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

fresh = faults(), faults()
library.load(Path({str(test_engine)!r}))
kept = faults(), faults()
print(*fresh, *kept)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    *fresh, _, again = map(int, done.stdout.split())
    assert again < min(fresh) / 100
