"""CLIP's byte-pair merges: from the open_clip wheel into the weights of the mini text encoder.

To replace the merges in a file of weights, all other tensors unchanged:

    python -m weights.recipe.text.merges weights/mini-text-b32.safetensors
"""

import argparse
import gzip
import importlib.util
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from clip3d_cli.text.bpe import MERGE_COUNT, Merge
from clip3d_cli.text.mini.encoder import MERGES

OPEN_CLIP_FILE = "bpe_simple_vocab_16e6.txt.gz"


def open_clip_merges() -> list[Merge]:
    """Read CLIP's 48,894 merges from the installed open_clip, which is not imported.

    Raises:
        FileNotFoundError: open_clip or its file of merges is not installed.
    """
    spec = importlib.util.find_spec("open_clip")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / OPEN_CLIP_FILE
        if path.is_file():
            # The first line is a title. CLIP uses only part of the 262,145 merges that follow.
            lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")
            pairs = [line.split(" ") for line in lines[1 : MERGE_COUNT + 1]]
            return [(first, second) for first, second in pairs]
    raise FileNotFoundError(f"open_clip/{OPEN_CLIP_FILE} is not installed")


def pack_merges(merges: Sequence[Merge]) -> bytes:
    """Return merges as `clip3d_cli.text.bpe.unpack_merges` reads them."""
    text = "\n".join(f"{first} {second}" for first, second in merges)
    return zlib.compress(text.encode("utf-8"), 9)


def replace_merges(path: Path) -> None:
    """Write open_clip's merges into a file of weights; all other tensors stay as they are."""
    with safe_open(path, framework="np") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    tensors[MERGES] = np.frombuffer(pack_merges(open_clip_merges()), dtype=np.uint8)
    save_file(tensors, path, metadata=metadata)


def main() -> None:
    """Replace the merges in a file of weights."""
    parser = argparse.ArgumentParser(description="Replace the merges in a file of weights.")
    parser.add_argument("path", type=Path, help="safetensors file of the mini text encoder")
    replace_merges(parser.parse_args().path)


if __name__ == "__main__":
    main()
