"""The metrics listener."""

from .form import rule

own = "|".join(
    [
        "ts_batch_size",
        "ts_cors_[a-z_]+",
        "ts_[a-z]+_duration_seconds",
        "ts_http_requests_total",
        "ts_model_download[a-z_]+",
        "ts_predictions_total",
        "ts_device_queue_depth",
        "ts_queue_depth",
        "ts_worker_faults_total",
        "ts_raw_forward_seconds",
        "ts_served_rows_total",
        "ts_serving_efficiency",
        "ts_worker_busy_seconds_total",
    ]
)
rule(
    "D41",
    "open/metrics* tokens/*-metrics",
    "sample",
    None,
    rf"(# (HELP|TYPE) )?({own})(_bucket|_sum|_count)?[ {{].*",
)
gone = r'WorkerName="W-<worker>-(bare|over|lenient|configured)_1\.0"|WorkerName="W-<worker>-colours_2\.0"'
gone += r'|model_name="colours",model_version="2\.0"|model_name="no_version",'
rule("D42", "open/metrics*", "sample", rf".*({gone}).*", None)
rule("D43", "open/metrics*", "sample", None, r'.*[nN]ame="(echo|tiny_classifier|mlp)".*')
uncalled = r'Requests5XX\{.*|ts_\w+\{model_name="colours",model_version="1\.0",.*'
rule("D43", "tokens/no-key-metrics", "sample", None, uncalled)
rule("D44", "pages/cors-*-measures", "body", "", "# HELP .*")
rule("D44", "pages/cors-*-measures", "header:content-length", "0", "<length>")
