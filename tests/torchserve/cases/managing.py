"""The management listener: registering, describing, scaling, versions, and back to nothing.

The order matters: each group starts from what the one before left, and leaves the models that the
run started with.
"""

from . import FORM, JSON, inference, management


def routes():
    for method in ("GET", "POST", "PUT", "DELETE", "HEAD"):
        yield management(f"management-root-by-{method.lower()}", method, "/")
    yield management("describe-management", "OPTIONS", "/")
    yield management("describe-management-old", "GET", "/api-description")
    yield management("describe-managed-model", "OPTIONS", "/models/colours")
    yield management("describe-managed-version", "OPTIONS", "/models/colours/1.0")
    yield management("describe-managed-no-model", "OPTIONS", "/models/nothing")
    yield management("describe-managed-no-version", "OPTIONS", "/models/colours/9")
    yield management("describe-managed-set-default", "OPTIONS", "/models/colours/1.0/set-default")
    for method in ("PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"):
        yield management(f"models-by-{method.lower()}", method, "/models")
    for method in ("POST", "PATCH", "HEAD"):
        yield management(f"model-by-{method.lower()}", method, "/models/colours")
    for path in ("/x", "/model", "/models/a/b/c/d", "/models/a/b/c", "/x/colours/1.0/set-default",
                 "/ping", "/predictions/colours", "/metrics", "/v1/models", "/v1/models/a/b",
                 "/token", "/token?type=inference", "/models//1.0", "//models"):  # fmt: skip
        name = path.lstrip("/").replace("/", "-") or "slash"
        name = f"double-{name}" if "//" in path else name
        yield management(f"management-unknown-{name}", "GET", path)


def workflows():
    yield management("workflows", "GET", "/workflows")
    yield management("workflows-register", "POST", "/workflows?url=x.war")
    yield management("workflows-register-no-url", "POST", "/workflows")
    yield management("workflow", "GET", "/workflows/w")
    yield management("workflow-unregister", "DELETE", "/workflows/w")
    yield management("workflow-put", "PUT", "/workflows/w")
    yield management("workflows-delete", "DELETE", "/workflows")


def ready():
    yield management("ready", "GET", "/v1/models/colours")
    yield management("ready-slash", "GET", "/v1/models/colours/")
    yield management("ready-no-such-model", "GET", "/v1/models/nothing")
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        yield management(f"ready-by-{method.lower()}", method, "/v1/models/colours")


def listing():
    yield management("list", "GET", "/models")
    yield management("list-slash", "GET", "/models/")
    queries = """limit=1 limit=2 limit=0 limit=-1 limit=101 limit=many limit=4 limit=3&next_page_token=1
        next_page_token=1 next_page_token=3 next_page_token=4 next_page_token=99 next_page_token=-5
        next_page_token=x limit=1&limit=2 limit=%31 limit=2&next_page_token=2 limit= unknown=1
        limit=1.5 next_page_token=2147483648"""
    for query in queries.split():
        yield management(f"list-{query}", "GET", f"/models?{query}")


def describing():
    for path in ("colours", "colours/1.0", "colours/all", "colours/", "mlp", "%63olours"):
        yield management(f"model-{path}", "GET", f"/models/{path}")
    for path in ("nothing", "nothing/1.0", "nothing/all", "colours/9", "Colours"):
        yield management(f"model-{path}", "GET", f"/models/{path}")
    yield management("model-customized", "GET", "/models/colours?customized=true")
    yield management("model-customized-capitals", "GET", "/models/mlp?customized=TRUE")
    yield management("model-customized-all", "GET", "/models/colours/all?customized=true")
    yield management("model-customized-1", "GET", "/models/colours?customized=1")
    yield management("model-get-set-default", "GET", "/models/colours/1.0/set-default")


def register(id, query, **more):
    return management(id, "POST", f"/models?{query}", **more)


def refused():
    yield management("register-no-url", "POST", "/models")
    yield register("register-empty-url", "url=")
    yield register("register-no-such-file", "url=InvalidUrl")
    yield register("register-no-such-archive", "url=nothing.mar")
    yield register("register-relative", "url=../fake.mar")
    yield register("register-relative-encoded", "url=%2e%2e/fake.mar")
    yield register("register-malformed-url", "url=http%3A%2F%2F%3Alocalhost%3Aaaaa")
    yield register("register-s3", "url=s3://bucket/nothing.mar")
    yield register("register-ftp", "url=ftp://127.0.0.1/nothing.mar")
    yield register("register-connection-refused", "url=http://127.0.0.1:1/nothing.mar")
    yield register("register-http-404", "url=$ORIGIN/nothing.mar")
    yield register("register-no-such-file-url", "url=file:///InvalidUrl")
    yield register("register-runtime", "url=configured.mar&runtime=python4")
    yield register("register-runtime-capitals", "url=configured.mar&runtime=Python")
    yield register("register-unknown-runtime-of-archive", "url=bad_runtime.mar")
    yield register("register-bad-manifest", "url=bad_manifest.mar")
    yield register("register-empty-manifest", "url=empty_manifest.mar")
    yield register("register-no-model-entry", "url=no_model_entry.mar")
    yield register("register-not-a-zip", "url=not_a_zip.mar")
    yield register("register-empty-file", "url=empty.mar")
    yield register("register-empty-folder", "url=empty_folder")
    yield register("register-conflict", "url=colours.mar")
    yield register("register-conflict-by-name", "url=mlp_v2.mar&model_name=unused&model_name=x")
    yield management("unregister-conflict-by-name", "DELETE", "/models/unused")
    for id, body in [
        ("register-json-bad", "{"),
        ("register-json-list", "[]"),
        ("register-json-text", "'x'"),
        ("register-json-empty", ""),
        ("register-json-without-url", "{}"),
        ("register-json-null-url", '{"url": null}'),
        ("register-json-empty-url", '{"url": ""}'),
        ("register-json-bad-number", '{"url": "nothing.mar", "batch_size": "many"}'),
    ]:
        yield management(id, "POST", "/models", body, JSON)
    yield management("register-json-without-type", "POST", "/models", '{"url": "mlp_v2.mar"}')
    yield management("register-form", "POST", "/models", "url=mlp_v2.mar", FORM)


def bare():
    """Registrations without workers, and what one can do with them."""
    yield register("register", "url=configured.mar&model_name=bare&initial_workers=0")
    yield management("bare-workers", "GET", "/models/bare")
    yield register("register-again", "url=configured.mar&model_name=bare")
    yield management("unregister-bare", "DELETE", "/models/bare")
    yield register("register-defaults", "url=no_version.mar")
    yield management("register-defaults-model", "GET", "/models/no_version")
    yield inference("predict-without-worker", "POST", "/predictions/no_version", [1])
    yield inference("predict-without-worker-version", "POST", "/predictions/no_version/1.0", [1])
    yield inference("explain-without-worker", "POST", "/explanations/no_version", [1])
    yield management("customized-without-worker", "GET", "/models/no_version?customized=true")
    yield management("ready-without-worker", "GET", "/v1/models/no_version")
    yield inference("ping-without-worker", "GET", "/ping")
    yield management("unregister-defaults", "DELETE", "/models/no_version/1.0")
    numbers = "batch_size=3&max_batch_delay=7&response_timeout=11&startup_timeout=13"
    yield register("register-settings", f"url=no_version.mar&model_name=set&{numbers}")
    yield management("register-settings-model", "GET", "/models/set")
    yield management("unregister-settings", "DELETE", "/models/set")
    timeouts = "batch_size=2&response_timeout=11&startup_timeout=13"
    yield register(
        "register-over-yaml", f"url=configured.mar&model_name=over&{timeouts}&initial_workers=1"
    )
    yield management("register-over-yaml-model", "GET", "/models/over")
    yield management("unregister-over-yaml", "DELETE", "/models/over")
    odd = (
        "batch_size=x&max_batch_delay=&response_timeout=1.5&startup_timeout=-1&initial_workers=abc"
    )
    yield register("register-odd", f"url=no_version.mar&model_name=odd&{odd}")
    yield management("register-odd-model", "GET", "/models/odd")
    yield management("unregister-odd", "DELETE", "/models/odd")
    negative = "batch_size=0&max_batch_delay=-5&response_timeout=0&initial_workers=-2"
    yield register("register-negative", f"url=no_version.mar&model_name=negative&{negative}")
    yield management("register-negative-model", "GET", "/models/negative")
    yield management("unregister-negative", "DELETE", "/models/negative")
    yield register("register-async", "url=no_version.mar&model_name=later&synchronous=false")
    yield management("unregister-async", "DELETE", "/models/later")
    yield register("register-handler", "url=no_handler.mar&handler=base_handler")
    yield management("unregister-handler", "DELETE", "/models/no_handler")
    yield register("register-without-handler", "url=no_handler.mar")
    yield management("unregister-without-handler", "DELETE", "/models/no_handler")
    yield register("register-without-manifest", "url=no_manifest.mar")
    yield register("register-without-name", "url=no_name.mar")
    yield register("register-without-name-named", "url=no_name.mar&model_name=named")
    yield management("unregister-without-name", "DELETE", "/models/named")
    yield register("register-python3", "url=python3.mar&runtime=python3")
    yield management("register-python3-model", "GET", "/models/python3")
    yield management("unregister-python3", "DELETE", "/models/python3")
    yield register("register-bad-yaml", "url=bad_yaml.mar")
    yield management("register-bad-yaml-model", "GET", "/models/bad_yaml")
    yield management("unregister-bad-yaml", "DELETE", "/models/bad_yaml")
    for name in ("folder", "nested", "packed.tar.gz", "sub/no_version.mar", "$STORE/folder"):
        short = name.replace("$STORE/", "absolute-")
        yield register(f"register-{short}", f"url={name}&model_name=other")
        yield management(f"register-{short}-model", "GET", "/models/other")
        yield management(f"unregister-{short}", "DELETE", "/models/other")
    yield register("register-blank-in-name", "url=no_version.mar&model_name=two%20words")
    yield management("blank-in-name-model", "GET", "/models/two%20words")
    yield management("unregister-blank-in-name", "DELETE", "/models/two%20words")


def from_urls():
    yield register("register-http", "url=$ORIGIN/fetched.mar")
    yield management("register-http-model", "GET", "/models/no_version")
    yield register("register-http-again", "url=$ORIGIN/fetched.mar&model_name=again")
    yield management("unregister-http", "DELETE", "/models/no_version")
    yield register("register-http-after", "url=$ORIGIN/fetched.mar&model_name=after")
    yield management("unregister-http-after", "DELETE", "/models/after")
    yield register("register-file-url", "url=file://$OUTSIDE/from_file.mar")
    yield management("unregister-file-url", "DELETE", "/models/no_version")
    yield register("register-http-name-taken", "url=$ORIGIN/colours.mar&model_name=taken")


def lenient_json():
    lenient = (
        "{'url':'configured.mar','model_name':'lenient','initial_workers':'0','synchronous':'true'}"
    )
    yield management("register-json-lenient", "POST", "/models", lenient, JSON)
    yield management("register-json-lenient-model", "GET", "/models/lenient")
    yield management("unregister-json-lenient", "DELETE", "/models/lenient")
    strict = {"url": "no_version.mar", "model_name": "strict", "batch_size": 2, "unknown": [1]}
    yield management("register-json", "POST", "/models?model_name=ignored", strict)
    yield management("register-json-model", "GET", "/models/strict")
    yield management("unregister-json", "DELETE", "/models/strict")


def versions_and_workers():
    yield register("register-workers", "url=colours_v2.mar&initial_workers=1")
    yield management("versions-default", "GET", "/models/colours")
    yield management("versions-second", "GET", "/models/colours/2.0")
    yield management("versions-all", "GET", "/models/colours/all")
    yield management("versions-list", "GET", "/models")
    numbers = "[[[1.0]],[[0.5]],[[0.25]]]"
    yield inference("versions-predict-default", "POST", "/predictions/colours", numbers, JSON)
    yield inference("versions-predict-2", "POST", "/predictions/colours/2.0", numbers, JSON)
    yield management("set-default", "PUT", "/models/colours/2.0/set-default")
    yield management("set-default-slash", "PUT", "/models/colours/2.0/set-default/")
    yield inference("versions-predict-new-default", "POST", "/predictions/colours", numbers, JSON)
    yield management("set-default-no-such-version", "PUT", "/models/colours/3.3.3/set-default")
    yield management("set-default-no-such-model", "PUT", "/models/nothing/1.0/set-default")
    yield management("set-default-post", "POST", "/models/colours/1.0/set-default")
    yield management("unregister-default", "DELETE", "/models/colours")
    yield management("unregister-default-version", "DELETE", "/models/colours/2.0")
    yield management("set-default-back", "PUT", "/models/colours/1.0/set-default")
    yield management("scale-version", "PUT", "/models/colours/2.0?min_worker=0&synchronous=true")
    yield management("scale-version-workers", "GET", "/models/colours/2.0")
    yield inference("scaled-to-zero-predict", "POST", "/predictions/colours/2.0", numbers, JSON)
    yield management(
        "unregister-version", "DELETE", "/models/colours/2.0?synchronous=false&timeout=1"
    )
    yield management("unregister-version-again", "DELETE", "/models/colours/2.0")
    yield management("unregister-no-such-model", "DELETE", "/models/nothing")
    yield management("unregister-no-such-version", "DELETE", "/models/colours/1.3.1")


def scaling():
    def scale(id, query, path="colours"):
        return management(id, "PUT", f"/models/{path}?{query}")

    yield scale("scale-up", "min_worker=2&synchronous=true")
    yield management("scale-up-workers", "GET", "/models/colours")
    yield scale("scale-same", "min_worker=2&synchronous=true")
    yield scale("scale-max", "min_worker=1&max_worker=1&synchronous=true")
    yield scale("scale-by-version", "model_version=1.0&min_worker=1&synchronous=true")
    yield scale("scale-path-version", "min_worker=1&synchronous=true", "colours/1.0")
    yield scale("scale-unread", "min_worker=1&number_gpu=7&timeout=x&synchronous=TRUE")
    yield scale("scale-default", "synchronous=true")
    yield scale("scale-async", "min_worker=1")
    yield scale("scale-max-below-min", "min_worker=3&max_worker=2")
    yield scale("scale-max-zero", "max_worker=0")
    yield scale("scale-negative", "min_worker=-1&synchronous=true")
    yield scale("scale-not-a-number", "min_worker=many&synchronous=true")
    yield scale("scale-no-such-model", "min_worker=1", "nothing")
    yield scale("scale-no-such-version", "min_worker=1", "colours/9")
    yield scale("scale-no-such-model-version", "model_version=9&min_worker=1")
    yield management("scale-workers", "GET", "/models/colours")
    yield scale("scale-to-zero", "min_worker=0&max_worker=0", "mlp")
    zero = r'"workers": \[\]'
    yield management("scale-to-zero-workers", "GET", "/models/mlp", until=zero)
    yield inference("scale-to-zero-predict", "POST", "/predictions/mlp", [1, 2, 3, 4])
    yield scale("scale-to-one", "min_worker=1&synchronous=true", "mlp")


def failing_workers():
    yield register("register-bad-weights", "url=not_torchscript.mar&initial_workers=1")
    yield management("bad-weights-model", "GET", "/models/not_torchscript")
    yield register("register-bad-weights-later", "url=not_torchscript.mar&initial_workers=0")
    yield management(
        "scale-bad-weights", "PUT", "/models/not_torchscript?min_worker=1&synchronous=true"
    )
    yield management("unregister-bad-weights", "DELETE", "/models/not_torchscript")
    yield register("register-missing-weights", "url=missing_weights.mar&initial_workers=1")
    yield register(
        "register-unknown-handler", "url=no_version.mar&handler=nothing_like_it&initial_workers=1"
    )
    yield register("register-python-handler", "url=python_handler.mar&initial_workers=0")
    yield management("unregister-python-handler", "DELETE", "/models/python_handler")
    yield register("register-eager", "url=eager.mar&initial_workers=0")
    yield management("unregister-eager", "DELETE", "/models/eager")
    yield register("register-yaml-workers", "url=configured.mar&initial_workers=0")
    yield management("yaml-workers-model", "GET", "/models/configured")
    yield management("unregister-yaml-workers", "DELETE", "/models/configured")


def nothing_left():
    yield management("left-models", "GET", "/models")
    yield management("left-colours", "GET", "/models/colours/all")


def cases():
    groups = [
        routes, workflows, ready, listing, describing, refused, bare, from_urls, lenient_json,
        versions_and_workers, scaling, failing_workers, nothing_left,
    ]  # fmt: skip
    return [each for group in groups for each in group()]
