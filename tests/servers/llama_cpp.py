"""llama.cpp's own HTTP server, on models/safeguard-nano: llama_cpp.py PORT. Port 0 takes a free one.

Its first line on standard output says where it listens. Other GGUFs: llama_cpp.py PORT MODEL.gguf
"""

import pathlib
import sys
import tempfile
import threading

import nano_gguf
import xllamacpp


def settings(port, model):
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.hostnames = ["127.0.0.1"]
    params.port = port
    # Four texts at a time, each with room for a policy and a window.
    params.n_parallel = 4
    params.n_ctx = 4 * 12288
    # More would fight with whatever else the machine does: its threads spin.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    return params


def main(port, model=None):
    with tempfile.TemporaryDirectory() as folder:
        if model is None:
            model = pathlib.Path(folder) / "safeguard-nano.gguf"
            nano_gguf.write(model)
        server = xllamacpp.Server(settings(int(port), model))
        print(f"listening on {server.listening_address}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
