"""The runs: a configuration and the cases that are sent to a server that has it."""

import json
from dataclasses import dataclass, field

from cases import (
    Case,
    envelopes,
    guarded,
    managing,
    measuring,
    pages,
    predictions,
    routes,
    shared,
    wire,
)

# One worker a model, whatever the machine: the settings that a run of TorchServe would write.
ONE_WORKER = {"minWorkers": 1, "maxWorkers": 1, "batchSize": 1, "maxBatchDelay": 100}
COMMON = """\
number_of_netty_threads=2
number_of_gpu=0
max_request_size=200000
default_response_timeout=60
unregister_model_timeout=60
"""
OPEN = "disable_token_authorization=true\n"


@dataclass
class Run:
    name: str
    models: dict  # archive (without .mar) to its manifest's (name, version)
    lines: str
    cases: list = field(default_factory=list)
    one_address: bool = False
    tokens: bool = False
    pause: float = 0  # seconds between requests

    def properties(self):
        """`config.properties`, but for the addresses and the model store."""
        settings = {}
        for archive, (name, version) in self.models.items():
            one = {"defaultVersion": True, "marName": f"{archive}.mar", **ONE_WORKER}
            settings[name] = {version: {**one, "responseTimeout": 60}}
        load = ",".join(f"{archive}.mar" for archive in self.models)
        return f"{COMMON}{self.lines}load_models={load}\nmodels={json.dumps(settings)}\n"


def models(*archives):
    return {archive: (archive, "1.0") for archive in archives}


RUNS = [
    Run(
        "open",
        models("colours", "mlp", "echo", "tiny_classifier"),
        OPEN + "enable_model_api=true\nmetrics_mode=prometheus\nallowed_urls=http://.*,file://.*\n"
        + "download_allowed_networks=127.0.0.0/8\n",
        [
            *routes.descriptions(), *predictions.cases(), *routes.cases(), *wire.cases(),
            *managing.cases(), *measuring.prometheus(),
        ],
    ),
    # Torchfront answers ten wrong tokens a second one by one.
    Run(
        "tokens",
        models("colours"),
        "metrics_mode=prometheus\n",
        guarded.cases(),
        tokens=True,
        pause=0.12,
    ),
    Run(
        "pages",
        models("colours"),
        OPEN
        + "cors_allowed_origin=https://page.example\n"
        + "cors_allowed_methods=GET, POST, PUT, OPTIONS\n"
        + "cors_allowed_headers=X-Custom-Header\n",
        list(pages.cases()),
    ),
    Run(
        "shared",
        models("colours"),
        OPEN + "enable_model_api=true\nmetrics_mode=log\n",
        [*shared.cases(), *measuring.in_the_log()],
        one_address=True,
    ),
    *(
        Run(
            f"envelope-{envelope}",
            models("mlp", "echo", "colours"),
            f"{OPEN}service_envelope={envelope}\nts_open_inference_protocol=true\n",
            list(cases()),
        )
        for envelope, cases in [
            ("json", envelopes.json_envelope),
            ("body", envelopes.body_envelope),
            ("kserve", envelopes.kserve_envelope),
            ("kservev2", envelopes.kservev2_envelope),
        ]
    ),
]  # fmt: skip


def check_names():
    """Two cases of one run must not share a name: rules and recordings are found by it."""
    for run in RUNS:
        seen = set()
        for case in run.cases:
            assert isinstance(case, Case)
            if case.id in seen:
                raise SystemExit(f"run {run.name}: two cases are called {case.id}")
            seen.add(case.id)
