"""Inference and management on one address."""

from . import SMALL, inference


def cases():
    yield inference("shared-ping", "GET", "/ping")
    yield inference("shared-predict", "POST", "/predictions/colours", SMALL)
    yield inference("shared-list", "GET", "/models")
    yield inference("shared-model", "GET", "/models/colours")
    yield inference("shared-invoke", "POST", "/models/colours/invoke", SMALL)
    yield inference("shared-description", "OPTIONS", "/")
    yield inference("shared-unknown", "GET", "/nothing")
    yield inference("shared-model-description", "OPTIONS", "/models/colours")
    yield inference("shared-v1-ready", "GET", "/v1/models/colours")
    yield inference("shared-v1-predict", "POST", "/v1/models/colours:predict", SMALL)
    yield inference("shared-metrics", "GET", "/metrics")
    yield inference("shared-register-http", "POST", "/models?url=$ORIGIN/nothing.mar")
    yield inference("shared-register", "POST", "/models?url=no_version.mar")
    yield inference("shared-set-default", "PUT", "/models/colours/1.0/set-default")
    yield inference("shared-unregister", "DELETE", "/models/no_version")
