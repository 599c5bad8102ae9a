"""MXFP4: blocks of 32 numbers of four bits (e2m1) under one power of two. As gpt-oss's checkpoints have it."""

import torch

GRID = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
# Half way between neighbours.
EDGES = (GRID[1:] + GRID[:-1]) / 2


def codes(weight):
    """Of each number its code (bit 3 is the sign), and of each block its exponent: the one of two that errs less."""
    blocks = weight.float().reshape(*weight.shape[:-1], -1, 32)
    largest = blocks.abs().amax(-1, keepdim=True).clamp_min(2.0**-120)
    least = torch.floor(torch.log2(largest)) - 2
    best = None
    for exponent in (least, least + 1):
        scaled = blocks / torch.exp2(exponent)
        code = torch.bucketize(scaled.abs(), EDGES)
        error = (GRID[code] - scaled.abs()).square().sum(-1, keepdim=True) * torch.exp2(2 * exponent)
        code = code + 8 * (scaled < 0)
        if best is None:
            best = code, exponent, error
        else:
            less = error < best[2]
            best = torch.where(less, code, best[0]), torch.where(less, exponent, best[1]), torch.minimum(error, best[2])
    return best[0], best[1]


def rounded(weight):
    """The weight as it reads back, with the gradient of the weight itself."""
    with torch.no_grad():
        code, exponent = codes(weight)
        value = GRID[code & 7] * torch.where(code >= 8, -1.0, 1.0) * torch.exp2(exponent)
        delta = value.reshape(weight.shape) - weight
    return weight + delta


def packed(weight):
    """Blocks and scales as the checkpoint has them: [..., rows, n/32, 16] and [..., rows, n/32], bytes."""
    code, exponent = codes(weight)
    code = code.to(torch.uint8)
    return (code[..., 0::2] | code[..., 1::2] << 4), (exponent.squeeze(-1) + 127).to(torch.uint8)
