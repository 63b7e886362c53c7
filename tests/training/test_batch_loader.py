"""What workers make ahead, and how they end."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from clip3d_cli.errors import Clip3DError, InputError, SetupError
from clip3d_cli.training.batch_loader import BatchLoader

FAILING = """
import sys
sys.path.insert(0, {folder!r})
from test_batch_loader import third_is_refused
from clip3d_cli.training.batch_loader import BatchLoader

supply = iter(BatchLoader(third_is_refused, 2)(range(9)))
try:
    for number in supply:
        if number == {last}:
            raise ValueError("the training went wrong")
except Exception as error:
    kept = error  # as the error that ends a program does, with all its frames
    print(error, flush=True)
"""


def third_is_refused(number: int) -> int:
    if number == 2:
        raise InputError("E_EMPTY_FILE", "scan.ply", "has no point", "Leave the scene out.")
    return number


@pytest.mark.parametrize("workers", [0, 2])
def test_what_a_worker_refuses_is_refused_in_the_same_words(workers: int) -> None:
    supply = iter(BatchLoader(third_is_refused, workers)(range(9)))
    assert [next(supply), next(supply)] == [0, 1]
    with pytest.raises(InputError) as fault:
        next(supply)
    assert str(fault.value) == "error[E_EMPTY_FILE]: scan.ply: has no point"
    assert fault.value.remedy == "Leave the scene out."


@pytest.mark.slow
@pytest.mark.parametrize(("last", "said"), [(1, "the training went wrong"), (8, "has no point")])
def test_a_program_that_fails_does_not_wait_for_its_workers(last: int, said: str) -> None:
    program = FAILING.format(folder=str(Path(__file__).parent), last=last)
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout.rstrip().endswith(said)
    assert ended.stderr == ""


def test_a_refusal_crosses_processes_whole() -> None:
    refusal = SetupError("E_WEIGHTS", "a", "is cut off", "Fetch it.")
    again = pickle.loads(pickle.dumps(refusal))
    assert type(again) is SetupError
    assert vars(again) == vars(refusal)
    assert isinstance(again, Clip3DError)
