#!/usr/bin/env python3
"""Builds the models of tokens below `models/`: small BERT networks with random weights, and what
Python's `transformers` says of texts.

    PYTHON make_texts.py

Needs torch 2.13, tokenizers 0.23 and transformers 4.57 (the last one with the pipeline
`question-answering`). The networks are too small to mean anything; that their answers are those of
Python shows that tokens, padding, cutting and what is made of the result are the same.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from tokenizers import BertWordPieceTokenizer
from torch import nn

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "models"))
import mar  # noqa: E402

MODELS = HERE / "models"
LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
CLASSES = ["calm", "loud", "odd"]
SIZES = dict(
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=48,
    max_position_embeddings=64,
    initializer_range=0.6,
)
TEXTS = [
    "Ada Lovelace lived in London and wrote the first program.",
    "The operating system crashed while compiling.",
    "Zoë's café in Ångström-Straße — naïve, isn't it?",
    "漢字 and emoji 😀 in one text",
    "a",
    "UPPER lower MiXeD 12345 3.14 e-mail@example.org",
    "one two three four five six seven eight nine ten eleven twelve " * 9,
    "  blanks   and\ttabs\nand lines  ",
    "unbelievable incomprehensibilities",
]
QUESTIONS = [
    ("Who wrote the first program?", TEXTS[0]),
    ("Where did she live?", TEXTS[0]),
    ("what crashed", TEXTS[1]),
    ("Où est le café ?", TEXTS[2]),
    ("what is after six?", TEXTS[6]),
    ("which", "漢字 and emoji 😀 in one text, Ada Lovelace"),
]


class Logits(nn.Module):
    """The part of a network's output that is served."""

    def __init__(self, network, *names):
        super().__init__()
        self.network = network
        self.names = names

    def forward(self, input_ids, attention_mask, token_type_ids):
        out = self.network(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        )
        found = tuple(out[name] for name in self.names)
        return found if len(found) > 1 else found[0]


def tokenizer():
    """A WordPiece vocabulary of the texts, and the same as `transformers` wraps it."""
    trained = BertWordPieceTokenizer(lowercase=True)
    corpus = TEXTS * 3 + [question for question, _ in QUESTIONS]
    trained.train_from_iterator(corpus, vocab_size=220, min_frequency=1, show_progress=False)
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=trained._tokenizer,
        model_max_length=64,
        unk_token="[UNK]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        mask_token="[MASK]",
    )
    return trained.to_str(), wrapped


def network(kind, vocabulary, labels=()):
    torch.manual_seed(7)
    named = {"id2label": dict(enumerate(labels))} if labels else {}
    return kind(transformers.BertConfig(vocab_size=vocabulary, **named, **SIZES)).eval()


def traced(module):
    ids = torch.randint(5, 50, (2, 16))
    example = (ids, torch.ones_like(ids), torch.zeros_like(ids))
    with torch.no_grad():
        return mar.torchscript_bytes(torch.jit.trace(module, example, check_trace=False))


def write(name, module, tokens, settings, labels, cases):
    """Archive and `meta.json`; `cases` are (id, content type, body, answer)."""
    folder = MODELS / name
    (folder / "http").mkdir(parents=True, exist_ok=True)
    files = {
        "model.pt": traced(module),
        "tokenizer.json": tokens,
        "model-config.yaml": json.dumps({"text_classifier": settings}, indent=2),
    }
    if labels:
        files["config.json"] = json.dumps({"id2label": dict(enumerate(labels))})
    fields = mar.manifest(name, "text_classifier", configFile="model-config.yaml")
    mar.write(folder / f"{name}.mar", fields, files)
    written = []
    for id, media, body, answer in cases:
        request = folder / "http" / f"{id}.req"
        request.write_bytes(body if isinstance(body, bytes) else json.dumps(body).encode())
        written.append(
            {
                "id": id,
                "content_type": media,
                "request_file": f"http/{id}.req",
                "status": 200,
                "expect_json": answer,
                "abs_tol": 1e-5,
                "rel_tol": 1e-4,
            }
        )
    meta = {"name": name, "weights": "random", "handler": "text_classifier", "http_cases": written}
    text = json.dumps(meta, indent=1, ensure_ascii=False)
    (folder / "meta.json").write_text(text + "\n")


def asked(texts, answer):
    """Each text alone, all in a list, and all in the Open Inference Protocol."""
    answers = [answer(text) for text in texts]
    for number, (text, said) in enumerate(zip(texts, answers)):
        yield f"text_{number}", "text/plain", text.encode(), said
    yield "json_string", "application/json", texts[0], answers[0]
    yield "json_object", "application/json", {"data": texts[0]}, answers[0]
    yield "list", "application/json", texts, answers


def classes(tokens, wrapped):
    kind = transformers.BertForSequenceClassification
    net = network(kind, len(wrapped), CLASSES)

    def answer(text):
        given = wrapped(text, return_tensors="pt", truncation=True)
        with torch.no_grad():
            scores = net(**given).logits.softmax(-1)[0].tolist()
        return dict(zip(CLASSES, scores))

    write("bert_classes", Logits(net, "logits"), tokens, {"max_length": 64}, CLASSES, asked(TEXTS, answer))


def entities(tokens, wrapped):
    net = network(transformers.BertForTokenClassification, len(wrapped), LABELS)
    for name, strategy in [("bert_entities", "none"), ("bert_entity_groups", "simple")]:
        pipe = transformers.pipeline(
            "token-classification", model=net, tokenizer=wrapped, aggregation_strategy=strategy
        )

        def answer(text):
            return [
                {key: plain(value) for key, value in entity.items()} for entity in pipe(text)
            ]

        # The pipeline does not cut texts; the fifth is too long for it.
        texts = [text for text in TEXTS if len(wrapped(text)["input_ids"]) <= 64]
        settings = {"task": "token_classification", "max_length": 64, "aggregation": strategy}
        write(name, Logits(net, "logits"), tokens, settings, LABELS, asked(texts, answer))


def plain(value):
    return value if isinstance(value, (str, int, float)) else value.item()


def embeddings(tokens, wrapped):
    net = network(transformers.BertModel, len(wrapped))
    for name, settings in [
        ("bert_embedding", {"task": "embedding", "max_length": 64}),
        ("bert_embedding_cls", {"task": "embedding", "max_length": 32, "pooling": "cls",
                                "normalize": False, "pad_to": [32]}),
    ]:

        def answer(text):
            given = wrapped(text, return_tensors="pt", truncation=True,
                            max_length=settings["max_length"])
            with torch.no_grad():
                vectors = net(**given).last_hidden_state
            if settings.get("pooling") == "cls":
                return vectors[0, 0].tolist()
            mask = given["attention_mask"].unsqueeze(-1).float()
            mean = (vectors * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
            return nn.functional.normalize(mean, dim=1)[0].tolist()

        module = Logits(net, "last_hidden_state")
        write(name, module, tokens, settings, [], asked(TEXTS, answer))


def questions(tokens, wrapped):
    net = network(transformers.BertForQuestionAnswering, len(wrapped))
    pipe = transformers.pipeline("question-answering", model=net, tokenizer=wrapped)

    def ask(question, context):
        said = pipe(question=question, context=context, max_seq_len=48, doc_stride=16)
        return {key: plain(said[key]) for key in ("score", "start", "end", "answer")}

    cases, all_asked, all_said = [], [], []
    for number, (question, context) in enumerate(QUESTIONS):
        body, said = {"question": question, "context": context}, ask(question, context)
        all_asked.append(body)
        all_said.append(said)
        cases.append((f"question_{number}", "application/json", body, said))
    cases.append(("inputs", "application/json", {"inputs": all_asked[0]}, all_said[0]))
    cases.append(("list", "application/json", all_asked, all_said))
    settings = {"task": "question_answering", "max_length": 48, "stride": 16}
    write("bert_answers", Logits(net, "start_logits", "end_logits"), tokens, settings, [], cases)


def main():
    mar.repeatable()
    torch.set_num_threads(1)
    tokens, wrapped = tokenizer()
    classes(tokens, wrapped)
    entities(tokens, wrapped)
    embeddings(tokens, wrapped)
    questions(tokens, wrapped)


if __name__ == "__main__":
    main()
