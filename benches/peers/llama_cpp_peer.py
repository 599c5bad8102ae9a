"""Measures llama.cpp, as llama-cpp-python builds it, on a GGUF of random weights, by token ids through its C API."""

import argparse
import ctypes
import re
import sys
from importlib.metadata import version
from pathlib import Path

import llama_cpp

import make_gguf
from measuring import one_run, report, settings_from, warm_up
from places import scratch
from shapes import SHAPES

BATCH = 512


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--shape", choices=SHAPES, default="20b")
    options.add_argument("--dense", choices=make_gguf.DENSE, default="bf16")
    options.add_argument("--dir", type=Path, default=scratch(), help="for the weights (default: %(default)s)")
    chosen, settings = settings_from(options)
    peer = LlamaCpp(make_gguf.write(chosen.shape, chosen.dense, chosen.dir), settings.threads)
    print(f"  {peer.features}; {'; '.join(peer.buffers)}", file=sys.stderr)
    warm_up(peer, settings)
    taken = [one_run(peer, settings, run) for run in range(settings.runs)]
    report(
        f"llama.cpp {chosen.dense} dense",
        taken,
        settings,
        shape=chosen.shape,
        versions={"llama-cpp-python": version("llama-cpp-python")},
        features=peer.features,
        buffers=peer.buffers,
        finite=peer.finite(),
    )


class LlamaCpp:
    """One sequence. Everything is as llama.cpp sets it by default, but for threads and the size of a batch."""

    def __init__(self, weights: Path, threads: int):
        self.log: list[str] = []
        # A field, for llama.cpp calls it for as long as it runs.
        self.logger = llama_cpp.llama_log_callback(lambda _level, text, _data: self.log.append(text.decode()))
        llama_cpp.llama_log_set(self.logger, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        enabled = llama_cpp.llama_print_system_info().decode()
        self.features = "built with " + " ".join(re.findall(r"(\w+) = 1", enabled))
        defaults = llama_cpp.llama_model_default_params()
        self.model = llama_cpp.llama_model_load_from_file(str(weights).encode(), defaults)
        if not self.model:
            sys.exit(f"error: llama.cpp cannot load {weights}\n{''.join(self.log)}")
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = 2 * BATCH
        params.n_batch = params.n_ubatch = BATCH
        params.n_threads = params.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        if not self.context:
            sys.exit(f"error: llama.cpp makes no context\n{''.join(self.log)}")
        self.vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        # Which kernels have the weights: CPU_Mapped as stored, CPU_REPACK interleaved, AMX in tiles.
        self.buffers = re.findall(r"(\w+ model buffer size = .*)", re.sub(" +", " ", "".join(self.log)))

    def prefill(self, tokens: list[int]) -> None:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), False)
        self.feed(tokens)

    def decode(self, token: int) -> None:
        self.feed([token])

    def feed(self, tokens: list[int]) -> None:
        """Feeds them; the logits are computed for the last one only."""
        array = (llama_cpp.llama_token * len(tokens))(*tokens)
        status = llama_cpp.llama_decode(self.context, llama_cpp.llama_batch_get_one(array, len(tokens)))
        if status != 0:
            sys.exit(f"error: llama_decode gives {status}\n{''.join(self.log[-20:])}")
        llama_cpp.llama_synchronize(self.context)

    def finite(self) -> bool:
        """Whether the last logits are numbers: weights that overflow would measure nothing."""
        logits = llama_cpp.llama_get_logits_ith(self.context, -1)
        return all(abs(logits[i]) < float("inf") for i in range(0, self.vocab, 97))


if __name__ == "__main__":
    main()
