#!/usr/bin/env python3
"""Writes `english.json`: texts and their tokens, by TorchServe 0.12's own functions.

    PYTHON_OF_TORCHSERVE make_english.py

Run it with an interpreter that can import `ts` (PyPI `torchserve==0.12.0`) and torch.
"""

import json
import random
from pathlib import Path

from ts.handler_utils.text_utils import get_tokenizer, ngrams_iterator
from ts.torch_handler.contractions import CONTRACTION_MAP
from ts.torch_handler.text_handler import TextHandler

TEXTS = [
    "The operating system crashed while compiling the C program.",
    "<b>Bold</b> &amp; <br/>plain &#39;quoted&#x27; &nbsp; a < b > c",
    "<a\nhref='x'>not one tag</a>",
    "Zoë's café — naïve façade, Ångström ½ ﬁne ² ™",
    "İstanbul ſtraße ΣΑΣ ℌello K",
    "tabs\tand\nlines\r\nand\x0bother\x0cblanks\x1cof\x1fall\x85kinds\u00a0here\u2003there\u3000end",
    "don't stop, won't stop; can't've stopped? y'all'd've!",
    "'Cause it's 5 o'clock, ma'am. Rock'n'roll ain't dead",
    "e-mail: someone@example.org, https://example.org/?a=b&c=d;e",
    "emoji 😀 and 漢字 and кириллица",
    "...!!! ,,, ---",
    "",
    "a",
    "ALL UPPER I'D I'LL I'VE HE'D'VE",
]


class Handler(TextHandler):
    """As TorchServe's: only to call its methods."""

    def __init__(self):
        self.tokenizer = get_tokenizer("basic_english")

    def tokens(self, text):
        text = self._remove_html_tags(text).lower()
        text = self._expand_contractions(text)
        text = self._remove_punctuation(self._remove_accented_characters(text))
        return list(ngrams_iterator(self._tokenize(text), 2))


def main():
    random.seed(0)
    texts = list(TEXTS)
    for contraction in CONTRACTION_MAP:
        texts.append(contraction)
        texts.append(f"x{contraction.capitalize()}y")
    pieces = "abcI'ds tllve n't<>&;#x12 .,!?é½\n\t-_"
    for _ in range(60):
        texts.append("".join(random.choice(pieces) for _ in range(40)))
    handler = Handler()
    goldens = [{"text": text, "tokens": handler.tokens(text)} for text in texts]
    target = Path(__file__).resolve().parent / "english.json"
    lines = ",\n".join(json.dumps(golden, ensure_ascii=False) for golden in goldens)
    target.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
