"""Where things are: the scratch folder of the peers, and the program."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def target() -> Path:
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


def scratch() -> Path:
    """The folder for the venv and the weights: PEERS_DIR, else `peers` in Cargo's target folder."""
    return Path(os.environ.get("PEERS_DIR", target() / "peers"))


def program() -> Path:
    return target() / "release" / "portcullis"
