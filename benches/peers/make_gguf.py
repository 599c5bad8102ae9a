"""Writes a GGUF of gpt-oss with random weights of the true shape: MXFP4 experts, everything else dense as asked.

The bytes are random, the scales sane: activations stay finite and the router spreads tokens over all experts. The file
is written as a stream, so little memory is needed; of the vocabulary there is only the size, for token ids are fed.
"""

import argparse
import shutil
import sys
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

from places import scratch
from shapes import SHAPES, Shape

DENSE = {
    "bf16": (Type.BF16, gguf.LlamaFileType.MOSTLY_BF16),
    "q8_0": (Type.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}
CHUNK = 17 * 34 * 8 * 4096
"""Bytes made at a time: whole blocks of every type."""
NORM = "norm.weight"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--shape", choices=SHAPES, default="20b")
    options.add_argument("--dense", choices=DENSE, default="bf16")
    options.add_argument("--dir", type=Path, default=scratch(), help="for the file (PEERS_DIR; default: %(default)s)")
    chosen = options.parse_args()
    print(write(chosen.shape, chosen.dense, chosen.dir))


def write(shape_name: str, dense_name: str, folder: Path) -> Path:
    """The file of this shape; made if it is not there."""
    path = folder / f"gpt-oss-{shape_name}-{dense_name}.gguf"
    if path.exists():
        return path
    shape, (dense, file_type) = SHAPES[shape_name], DENSE[dense_name]
    wanted = [Random(*tensor, seed) for seed, tensor in enumerate(tensors(shape, dense))]
    folder.mkdir(parents=True, exist_ok=True)
    demand_space(folder, sum(tensor.nbytes for tensor in wanted))
    part = path.with_suffix(".part")
    print(f"writing {path} ({sum(tensor.nbytes for tensor in wanted) / 1e9:.1f} GB)", file=sys.stderr)
    try:
        writer = header(part, shape, file_type)
        for tensor in wanted:
            writer.add_tensor_info(tensor.name, tensor.byte_shape, np.dtype(np.uint8), tensor.nbytes, tensor.type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor in wanted:
            writer.write_tensor_data(tensor)
        writer.close()
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def header(path: Path, shape: Shape, file_type: gguf.LlamaFileType) -> gguf.GGUFWriter:
    writer = gguf.GGUFWriter(path, "gpt-oss")
    writer.add_name("random weights")
    writer.add_file_type(file_type)
    writer.add_vocab_size(shape.vocab)
    writer.add_tokenizer_model("none")
    writer.add_context_length(shape.positions)
    writer.add_block_count(shape.layers)
    writer.add_embedding_length(shape.hidden)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_expert_feed_forward_length(shape.hidden)
    writer.add_expert_count(shape.experts)
    writer.add_expert_used_count(shape.experts_per_token)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_sliding_window(shape.window)
    writer.add_layer_norm_rms_eps(shape.norm_eps)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(shape.rope_factor)
    writer.add_rope_scaling_orig_ctx_len(shape.rope_original_positions)
    return writer


def tensors(shape: Shape, dense: Type):
    """(name, type, shape) of every tensor, rows first. The types are those that llama.cpp's own converter chooses."""
    hidden, experts = shape.hidden, shape.experts
    q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    yield "token_embd.weight", dense, (shape.vocab, hidden)
    yield "output.weight", dense, (shape.vocab, hidden)
    yield "output_norm.weight", Type.F32, (hidden,)
    for layer in range(shape.layers):
        block = f"blk.{layer}"
        yield f"{block}.attn_norm.weight", Type.F32, (hidden,)
        yield f"{block}.post_attention_norm.weight", Type.F32, (hidden,)
        yield f"{block}.attn_sinks.weight", Type.F32, (shape.heads,)
        for name, rows, columns in [("q", q, hidden), ("k", kv, hidden), ("v", kv, hidden), ("output", hidden, q)]:
            yield f"{block}.attn_{name}.weight", dense, (rows, columns)
            yield f"{block}.attn_{name}.bias", Type.F32, (rows,)
        yield f"{block}.ffn_gate_inp.weight", Type.F32, (experts, hidden)
        yield f"{block}.ffn_gate_inp.bias", Type.F32, (experts,)
        for name in ["gate", "up", "down"]:
            yield f"{block}.ffn_{name}_exps.weight", Type.MXFP4, (experts, hidden, hidden)
            yield f"{block}.ffn_{name}_exps.bias", Type.F32, (experts, hidden)


class Random:
    """A tensor of random weights that exists only while it is written: as much of an array as `GGUFWriter` asks for."""

    def __init__(self, name: str, kind: Type, shape: tuple[int, ...], seed: int):
        self.name, self.type = name, kind
        self.byte_shape = gguf.quant_shape_to_byte_shape(shape, kind)
        self.nbytes = int(np.prod(self.byte_shape, dtype=np.int64))
        self.random = np.random.Generator(np.random.SFC64(seed))

    def tofile(self, file) -> None:
        for start in range(0, self.nbytes, CHUNK):
            self.chunk(min(CHUNK, self.nbytes - start)).tofile(file)

    def chunk(self, size: int) -> np.ndarray:
        if self.name.endswith(NORM):
            return np.ones(size // 4, np.float32)
        if self.type == Type.F32:
            return self.random.standard_normal(size // 4, np.float32) * np.float32(0.02)
        raw = self.random.integers(0, 2**64 - 1, -(-size // 8), np.uint64, endpoint=True).view(np.uint8)[:size]
        if self.type == Type.BF16:
            # Any sign and mantissa, exponents of 2^-11 to 2^-8.
            return (raw.view(np.uint16) & 0x81FF) | 0x3A00
        if self.type == Type.Q8_0:
            raw.reshape(-1, 34)[:, :2] = np.array([1e-4], np.float16).view(np.uint8)
        elif self.type == Type.MXFP4:
            raw.reshape(-1, 17)[:, 0] = 120  # 2^-7
        return raw


def demand_space(folder: Path, size: int) -> None:
    free, spare = shutil.disk_usage(folder).free, 1 << 30
    if free < size + spare:
        sys.exit(
            f"error: {folder} has {free / 1e9:.1f} GB free and the weights need {(size + spare) / 1e9:.1f}; "
            "make room, or name another folder with --dir or PEERS_DIR"
        )


if __name__ == "__main__":
    main()
