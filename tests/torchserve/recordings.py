"""The recorded answers of TorchServe 0.12: `recorded/RUN.json`, long bodies once in `recorded/bodies/`."""

import json
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "recorded"
LONG = 1500


def read(run):
    """The answers of a run, by case."""
    answers = json.loads((FOLDER / f"{run.name}.json").read_text())
    for answer in answers.values():
        if "body_file" in answer:
            answer["body"] = (FOLDER / "bodies" / answer.pop("body_file")).read_text()
    return answers


def write(run, answers):
    """Replaces the recording of a run. A long body is a file named after the first case that has it."""
    bodies = FOLDER / "bodies"
    bodies.mkdir(parents=True, exist_ok=True)
    known = {file.read_text(): file.name for file in sorted(bodies.iterdir())}
    written = {}
    for name, answer in answers.items():
        answer = dict(answer)
        if len(answer["body"]) > LONG:
            body = answer.pop("body")
            if body not in known:
                known[body] = f"{name}.txt" if not body.startswith("{") else f"{name}.json"
                (bodies / known[body]).write_text(body)
            answer["body_file"] = known[body]
        written[name] = answer
    text = json.dumps(written, indent=1, ensure_ascii=False)
    (FOLDER / f"{run.name}.json").write_text(text + "\n")
