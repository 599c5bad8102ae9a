"""Writes models/safeguard-nano as a GGUF that llama.cpp's own server takes: nano_gguf.py OUT.gguf

The same numbers to the bit: MXFP4 stays MXFP4, and what is bfloat16 there is that here, or float32 where llama.cpp wants it.
"""

import json
import pathlib
import struct
import sys

import gguf
import numpy as np

HERE = pathlib.Path(__file__).parent
MODEL = HERE.parents[1] / "models" / "safeguard-nano"

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.sinks": "attn_sinks.weight",
    "mlp.router": "ffn_gate_inp",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "post_attention_norm",
}


def stored():
    """Every tensor of the checkpoint by its name: its type, and its numbers as they lie there."""
    data = (MODEL / "model.safetensors").read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    for name, tensor in header.items():
        kind = {"BF16": np.uint16, "U8": np.uint8}[tensor["dtype"]]
        begin, end = (8 + length + at for at in tensor["data_offsets"])
        yield name, np.frombuffer(data[begin:end], kind).reshape(tensor["shape"])


def widened(bfloat16):
    return (bfloat16.astype(np.uint32) << 16).view(np.float32)


def blocks(codes, scales):
    """MXFP4 as ggml has it: a scale, then 16 bytes of which each holds one number of either half of the 32."""
    numbers = np.stack((codes & 15, codes >> 4), -1).reshape(*codes.shape[:-1], 32)
    packed = numbers[..., :16] | numbers[..., 16:] << 4
    return np.concatenate((scales[..., None], packed), -1).reshape(*codes.shape[:2], -1)


def add_experts(writer, layer, tensors):
    """Rows of gate and up lie one after the other there, and apart here."""
    for name, outs in [("gate_up_proj", {"gate": slice(0, None, 2), "up": slice(1, None, 2)}), ("down_proj", {"down": slice(None)})]:
        packed = blocks(tensors.pop(f"{name}_blocks"), tensors.pop(f"{name}_scales"))
        bias = widened(tensors.pop(f"{name}_bias"))
        for out, rows in outs.items():
            weights = np.ascontiguousarray(packed[:, rows])
            writer.add_tensor(f"blk.{layer}.ffn_{out}_exps.weight", weights, raw_dtype=gguf.GGMLQuantizationType.MXFP4)
            writer.add_tensor(f"blk.{layer}.ffn_{out}_exps.bias", np.ascontiguousarray(bias[:, rows]))


def add_tensor(writer, name, bits):
    """Matrices stay bfloat16; vectors are float32 in llama.cpp."""
    if bits.ndim == 1 or "ffn_gate_inp" in name:
        writer.add_tensor(name, widened(bits))
    else:
        writer.add_tensor(name, bits.view(np.uint8), raw_dtype=gguf.GGMLQuantizationType.BF16)


def add_tensors(writer):
    experts = {}
    for name, bits in stored():
        if name == "lm_head.weight":
            add_tensor(writer, "output.weight", bits)
        elif name == "model.embed_tokens.weight":
            add_tensor(writer, "token_embd.weight", bits)
        elif name == "model.norm.weight":
            add_tensor(writer, "output_norm.weight", bits)
        else:
            _, _, layer, rest = name.split(".", 3)
            if rest.startswith("mlp.experts."):
                experts.setdefault(layer, {})[rest.removeprefix("mlp.experts.")] = bits
                continue
            stem, dot, kind = rest.rpartition(".")
            own = NAMES.get(rest) or NAMES[stem] + dot + kind
            add_tensor(writer, f"blk.{layer}.{own}", bits)
    for layer, tensors in experts.items():
        add_experts(writer, layer, tensors)


def add_tokens(writer, eos, pad):
    tokenizer = json.loads((MODEL / "tokenizer.json").read_text())
    tokens = {number: (token, gguf.TokenType.NORMAL) for token, number in tokenizer["model"]["vocab"].items()}
    tokens |= {added["id"]: (added["content"], gguf.TokenType.CONTROL) for added in tokenizer["added_tokens"]}
    listed = [tokens[number] for number in range(len(tokens))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-4o")
    writer.add_token_list([token for token, _ in listed])
    writer.add_token_types([kind for _, kind in listed])
    merges = tokenizer["model"]["merges"]
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in merges])
    writer.add_eos_token_id(eos)
    writer.add_pad_token_id(pad)
    writer.add_add_bos_token(False)
    writer.add_chat_template((HERE / "harmony.jinja").read_text())


def write(path):
    config = json.loads((MODEL / "config.json").read_text())
    writer = gguf.GGUFWriter(str(path), "gpt-oss")
    writer.add_name("safeguard-nano")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_expert_feed_forward_length(config["intermediate_size"])
    writer.add_expert_count(config["num_local_experts"])
    writer.add_expert_used_count(config["num_experts_per_tok"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_sliding_window(config["sliding_window"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(config["rope_scaling"]["factor"])
    writer.add_rope_scaling_orig_ctx_len(config["rope_scaling"]["original_max_position_embeddings"])
    add_tokens(writer, config["eos_token_id"], config["pad_token_id"])
    add_tensors(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    write(sys.argv[1])
