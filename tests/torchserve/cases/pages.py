"""TorchServe's three CORS keys are set; and the model API is off, without tokens."""

from . import SMALL, inference, management, metrics

COLOURS = "/predictions/colours"
PAGE, OTHER = ("Origin", "https://page.example"), ("Origin", "https://other.example")
POST = ("Access-Control-Request-Method", "POST")


def cases():
    for name, origin in [("page", [PAGE]), ("other", [OTHER]), ("no-origin", [])]:
        yield inference(f"cors-{name}-predicts", "POST", COLOURS, SMALL, headers=origin)
        yield inference(f"cors-{name}-pings", "GET", "/ping", headers=origin)
        yield inference(f"cors-{name}-errs", "GET", "/nothing", headers=origin)
        yield management(f"cors-{name}-lists", "GET", "/models", headers=origin)
        yield metrics(f"cors-{name}-measures", "GET", "/metrics", headers=origin)
    yield inference("cors-preflight", "OPTIONS", COLOURS, headers=[PAGE, POST])
    yield inference("cors-preflight-other", "OPTIONS", COLOURS, headers=[OTHER, POST])
    yield inference(
        "cors-preflight-unknown-model", "OPTIONS", "/predictions/nothing", headers=[PAGE, POST]
    )
    yield inference("cors-options-plain", "OPTIONS", COLOURS)
    yield management("cors-preflight-management", "OPTIONS", "/models", headers=[PAGE, POST])
    yield management("control-off-register", "POST", "/models?url=mlp.mar")
    yield management("control-off-register-no-url", "POST", "/models")
    yield management("control-off-unregister", "DELETE", "/models/colours")
    yield management("control-off-token", "GET", "/token?type=inference")
