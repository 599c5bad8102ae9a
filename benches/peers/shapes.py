"""The shapes that are measured: those of `portcullis bench engine --shape`, by the same names."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    layers: int
    experts: int
    hidden: int
    heads: int
    kv_heads: int
    cuts: tuple[int, int]
    """Layers that transformers is measured with: its experts, widened to bf16, do not fit into memory all at once."""
    head_dim: int = 64
    experts_per_token: int = 4
    vocab: int = 201_088
    window: int = 128
    norm_eps: float = 1e-5
    rope_theta: float = 150_000.0
    rope_factor: float = 32.0
    rope_original_positions: int = 4096
    positions: int = 131_072


SHAPES = {
    "20b": Shape(layers=24, experts=32, hidden=2880, heads=64, kv_heads=8, cuts=(2, 4)),
    "120b": Shape(layers=36, experts=128, hidden=2880, heads=64, kv_heads=8, cuts=(1, 2)),
    "small": Shape(layers=8, experts=16, hidden=256, heads=16, kv_heads=2, cuts=(4, 8)),
}
