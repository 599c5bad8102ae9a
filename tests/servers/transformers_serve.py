"""`transformers serve`, on models/safeguard-nano: transformers_serve.py PORT. Port 0 takes a free one.

Its first line on standard output says where it listens, once it does.
"""

import json
import os
import pathlib
import shutil
import socket
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
MODEL = HERE.parents[1] / "models" / "safeguard-nano"


def fill(folder):
    """The model, and what a checkpoint on Hugging Face has beside it: how a chat becomes a prompt."""
    folder.mkdir()
    for file in MODEL.iterdir():
        shutil.copy(file, folder)
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|return|>",
        "pad_token": "<|endoftext|>",
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    # It does not take channels apart: the final one is opened for the model, which then answers at once.
    template = (HERE / "harmony.jinja").read_text()
    opened = template.replace('"<|start|>assistant" }}', '"<|start|>assistant<|channel|>final<|message|>" }}')
    (folder / "chat_template.jinja").write_text(opened)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def say_when_it_listens(port):
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return print(f"listening on http://127.0.0.1:{port}", flush=True)


def main(port):
    from transformers.cli.transformers import main as transformers

    port = int(port) or free_port()
    with tempfile.TemporaryDirectory() as folder:
        # Questions must name the model as it is named here.
        os.chdir(folder)
        fill(pathlib.Path(MODEL.name))
        threading.Thread(target=say_when_it_listens, args=(port,), daemon=True).start()
        sys.argv = ["transformers", "serve", MODEL.name, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
        transformers()


if __name__ == "__main__":
    main(*sys.argv[1:])
