#!/usr/bin/env python3
"""Writes the trained model as gpt-oss's checkpoints are on Hugging Face, and checks it against transformers' GptOssForCausalLM."""

import json
import pathlib

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import GptOssConfig, GptOssForCausalLM

import mxfp4
from harmony import Harmony
from model import CONFIG, Batch, Nano

FOLDER = pathlib.Path(__file__).parents[1] / "models" / "safeguard-nano"


def tensors(model):
    """Every tensor by its name in the checkpoint: experts in MXFP4, the rest in bfloat16."""
    out = {}
    for name, value in model.state_dict().items():
        name = name if name.startswith("lm_head") else f"model.{name}"
        if "gate_up_proj" in name:
            value = torch.stack(value.chunk(2, 1), 2).flatten(1, 2)
        if name.endswith(("gate_up_proj", "down_proj")):
            out[f"{name}_blocks"], out[f"{name}_scales"] = mxfp4.packed(value)
        else:
            out[name] = value.to(torch.bfloat16)
    return {name: value.contiguous() for name, value in out.items()}


def write(model, tokenizer, folder=FOLDER):
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors(model), str(folder / "model.safetensors"), metadata={"format": "pt"})
    tokenizer.save(str(folder / "tokenizer.json"))
    control = Harmony(tokenizer).control
    config = CONFIG | {"eos_token_id": control["return"], "pad_token_id": control["endoftext"]}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def by_transformers(folder):
    """The same checkpoint in transformers, in float32."""
    config = {key: value for key, value in CONFIG.items() if key not in ("quantization_config", "architectures")}
    other = GptOssForCausalLM(GptOssConfig(**config, bos_token_id=None)).float().eval()
    stored = load_file(str(folder / "model.safetensors"))
    state = {}
    for name, value in stored.items():
        if name.endswith("_blocks"):
            scales = stored[name.replace("_blocks", "_scales")].int() - 127
            grid = torch.cat((mxfp4.GRID, -mxfp4.GRID))
            numbers = torch.stack((grid[(value & 15).int()], grid[(value >> 4).int()]), -1).flatten(-2)
            numbers = (numbers * torch.exp2(scales.float())[..., None]).flatten(-2)
            state[name.removesuffix("_blocks")] = numbers.transpose(1, 2).contiguous()
        elif not name.endswith("_scales"):
            state[name] = value.float()
    other.load_state_dict(state)
    return other


@torch.no_grad()
def check(model, tokenizer, folder=FOLDER):
    """The largest difference between the logits of both, in float32, over a policy and two examples."""
    harmony = Harmony(tokenizer)
    prefix = harmony.prefix("# Policy\n\n" + "Not allowed: words about rain. " * 40)
    rows = [harmony.example(text, "1") for text in ("It rains again.", "A sunny day, and no cloud to be seen anywhere.")]
    # As it is stored: bfloat16 where it is that.
    for parameter in (p for name, p in model.named_parameters() if not name.endswith(("gate_up_proj", "down_proj"))):
        parameter.copy_(parameter.to(torch.bfloat16))
    ours, *_ = model.eval()(Batch([prefix], [[(ids, [answer], length, verdict) for ids, _, length, verdict, answer in rows]]), quantised=True, dtype=torch.float32)
    other = by_transformers(folder)
    theirs = torch.stack([other(torch.tensor([prefix + ids])).logits[0, len(prefix) + answer - 1] for ids, *_, answer in rows])
    return (ours - theirs).abs().max().item()


def main():
    from train import RUN

    tokenizer, model = Tokenizer.from_file(str(RUN / "tokenizer.json")), Nano()
    model.load_state_dict(torch.load(RUN / "state.pt", map_location="cpu", weights_only=False)["model"], strict=False)
    write(model, tokenizer)
    print(f"{FOLDER}: {sum(file.stat().st_size for file in FOLDER.iterdir()) / 1e6:.1f} MB; logits within {check(model, tokenizer):.1e} of transformers")


if __name__ == "__main__":
    main()
