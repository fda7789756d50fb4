"""Token authorization on, model API off: who may call what."""

from . import JSON, SMALL, inference, management, metrics

INFERENCE = ("Authorization", "Bearer $INFERENCE_KEY")
MANAGEMENT = ("Authorization", "Bearer $MANAGEMENT_KEY")
API = ("Authorization", "Bearer $API_KEY")
COLOURS = "/predictions/colours"


def keys():
    wrong = ("Authorization", "Bearer wrong")
    for name, header in [
        ("inference", INFERENCE),
        ("management", MANAGEMENT),
        ("api", API),
        ("wrong", wrong),
    ]:
        yield inference(f"key-{name}-predicts", "POST", COLOURS, SMALL, headers=[header])
        yield management(f"key-{name}-lists", "GET", "/models", headers=[header])
        yield inference(f"key-{name}-pings", "GET", "/ping", headers=[header])
    yield inference("no-key-predicts", "POST", COLOURS, SMALL)
    yield management("no-key-lists", "GET", "/models")
    yield inference("no-key-pings", "GET", "/ping")
    yield metrics("no-key-metrics", "GET", "/metrics")
    yield inference("no-key-unknown-route", "GET", "/nothing")
    yield inference("no-key-unknown-model", "POST", "/predictions/nothing", SMALL)
    yield management("no-key-unknown-managed", "GET", "/nothing")
    for name, value in {
        "basic": "Basic $INFERENCE_KEY",
        "lower-case": "bearer $INFERENCE_KEY",
        "bare": "$INFERENCE_KEY",
        "two-blanks": "Bearer  $INFERENCE_KEY",
        "tab": "Bearer\t$INFERENCE_KEY",
        "trailing-word": "Bearer $INFERENCE_KEY x",
        "empty": "Bearer ",
    }.items():
        yield inference(
            f"key-form-{name}", "POST", COLOURS, SMALL, headers=[("Authorization", value)]
        )
    both = [("Authorization", "Bearer wrong"), INFERENCE]
    yield inference("key-second-header", "POST", COLOURS, SMALL, headers=both)
    yield inference("key-in-query", "POST", f"{COLOURS}?token=$INFERENCE_KEY", SMALL)


def without_a_key():
    yield inference("guarded-description", "OPTIONS", "/")
    yield inference("guarded-description-old", "GET", "/api-description")
    yield management("guarded-management-description", "OPTIONS", "/")
    yield inference("guarded-root", "GET", "/")
    yield inference("guarded-model-description", "OPTIONS", COLOURS)
    preflight = [("Origin", "https://page.example"), ("Access-Control-Request-Method", "POST")]
    yield inference("guarded-preflight", "OPTIONS", COLOURS, headers=preflight)


def model_control():
    """`enable_model_api=false`."""
    key = [MANAGEMENT]
    yield management("control-register", "POST", "/models?url=mlp.mar", headers=key)
    yield management(
        "control-register-json", "POST", "/models", '{"url": "mlp.mar"}', JSON, headers=key
    )
    yield management("control-unregister", "DELETE", "/models/colours", headers=key)
    yield management("control-unregister-version", "DELETE", "/models/colours/1.0", headers=key)
    yield management("control-unregister-unknown", "DELETE", "/models/nothing", headers=key)
    yield management("control-describe", "GET", "/models/colours", headers=key)
    scale = "/models/colours?min_worker=1&synchronous=true"
    yield management("control-scale", "PUT", scale, headers=key)
    yield management("control-set-default", "PUT", "/models/colours/1.0/set-default", headers=key)


def renewing():
    def renew(id, query, header, method="GET"):
        headers = [header] if header else []
        return management(id, method, f"/token{query}", headers=headers)

    yield renew("token-no-key", "?type=inference", None)
    yield renew("token-wrong-key", "?type=inference", MANAGEMENT)
    yield renew("token-inference-key", "?type=inference", INFERENCE)
    yield renew("token-no-type", "", API)
    yield renew("token-empty-type", "?type=", API)
    yield renew("token-other-type", "?type=api", API)
    yield renew("token-capitals", "?type=Inference", API)
    yield management("token-below", "GET", "/token/x?type=inference", headers=[API])
    yield management("token-in-path", "GET", "/models/token", headers=[MANAGEMENT])
    yield management("token-in-query", "GET", "/models?x=/token", headers=[MANAGEMENT])
    yield renew("token-inference", "?type=inference", API)
    yield inference(
        "token-old-key",
        "POST",
        COLOURS,
        SMALL,
        headers=[("Authorization", "Bearer $OLD_INFERENCE_KEY")],
    )
    yield inference("token-new-key", "POST", COLOURS, SMALL, headers=[INFERENCE])
    yield renew("token-management", "?type=management", API, "PUT")
    yield management("token-new-management-key", "GET", "/models", headers=[MANAGEMENT])
    yield renew("token-post", "?type=inference", API, "POST")
    yield inference("token-on-inference", "GET", "/token?type=inference", headers=[API])
    yield inference("token-on-inference-key", "GET", "/token?type=inference", headers=[INFERENCE])


def cases():
    groups = [without_a_key, keys, model_control, renewing]
    return [each for group in groups for each in group()]
