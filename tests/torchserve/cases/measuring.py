"""The metrics listener. Values and hosts are normalised; names, labels, types and order of labels count."""

from . import SMALL, inference, metrics


def prometheus():
    """After the other cases of the run: something has been counted."""
    system = r"(?m)^DiskUsage\{"  # TorchServe's collector is a process that starts slowly
    yield metrics("metrics", "GET", "/metrics", until=system)
    for method in ("POST", "OPTIONS", "DELETE", "HEAD"):
        yield metrics(f"metrics-by-{method.lower()}", method, "/metrics")
    yield metrics("metrics-slash", "GET", "/metrics/")
    yield metrics("metrics-below", "GET", "/metrics/x")
    queries = {
        "one": "name[]=ts_inference_requests_total",
        "two": "name[]=ts_inference_requests_total&name[]=Requests2XX",
        "encoded": "name%5B%5D=Requests2XX",
        "unknown": "name[]=nothing_like_it",
        "empty": "name[]=",
        "other-parameter": "names=Requests2XX",
        "no-brackets": "name=Requests2XX",
        "system": "name[]=CPUUtilization&name[]=DiskUsage&name[]=MemoryUsed",
        "handler": "name[]=HandlerTime&name[]=PredictionTime",
        "workers": "name[]=WorkerLoadTime&name[]=WorkerThreadTime&name[]=QueueTime",
        "latency": "name[]=ts_inference_latency_microseconds&name[]=ts_queue_latency_microseconds",
    }
    for name, query in queries.items():
        yield metrics(f"metrics-{name}", "GET", f"/metrics?{query}")
    for method in ("GET", "POST", "DELETE"):
        yield metrics(f"metrics-root-by-{method.lower()}", method, "/")
    for path in ("/x", "/ping", "/models", "/Metrics", "/metricsx"):
        yield metrics(f"metrics-unknown-{path.strip('/')}", "GET", path)


def in_the_log():
    """`metrics_mode=log`: nothing is registered with Prometheus."""
    yield inference("log-mode-predict", "POST", "/predictions/colours", SMALL)
    yield metrics("log-mode-metrics", "GET", "/metrics")
    yield metrics("log-mode-name", "GET", "/metrics?name[]=Requests2XX")
