"""Those who change the server while it serves. Each round ends with the server as it was."""

import contextlib
import time

import serving
import wire


def visitors():
    return [lifecycle, versions, scaling, rotating, reloading, scraping]


def manage(context, method, path, *statuses):
    answer = context.ask("management", method, path)
    context.tally.count("management", answer.status)
    if answer.status not in statuses:
        raise wire.Wrong(f"{method} {path}: {answer}")
    return answer


@contextlib.contextmanager
def registered(context, call, model):
    """A model is there inside of the block, and gone behind it whatever went wrong: one mishap is to be
    reported once."""
    manage(context, "POST", call, 200)
    try:
        yield
    finally:
        manage(context, "DELETE", model, 200)


def predict(context, path, *statuses):
    headers = {"Content-Type": "application/json"}
    answer = context.ask("inference", "POST", path, headers, b"[1.0, 2.0, 3.0, 4.0]")
    context.tally.count("operators' predictions", answer.status)
    if answer.status not in statuses:
        raise wire.Wrong(f"{path}: {answer}")


def lifecycle(context):
    """Models come, are asked, and go."""
    model = context.random.choice(["heavy", "counter_attribute", "accumulator", "echo", "dict_out"])
    workers = context.random.choice([1, 2, 3])
    path = f"/models?url={model}.mar&initial_workers={workers}&synchronous=true"
    with registered(context, path, f"/models/{model}"):
        manage(context, "POST", f"/models?url={model}.mar", 409)
        for _ in range(5):
            predict(context, f"/predictions/{model}", 200)
    predict(context, f"/predictions/{model}", 404)
    context.pause(0.3)


def versions(context):
    """A second version comes, is asked and goes, while the first is asked by all."""
    path = "/models?url=mlp_v2.mar&initial_workers=1&synchronous=true"
    with registered(context, path, "/models/mlp/2.0"):
        predict(context, "/predictions/mlp/2.0", 200)
    context.pause(1)


def scaling(context):
    """Up, down, to nothing and back."""
    model = "tiny_classifier"
    for workers in (3, 0, 2, 1):
        path = f"/models/{model}?min_worker={workers}&max_worker={workers}&synchronous=true"
        manage(context, "PUT", path, 200)
        time.sleep(0.1)
    context.pause(1)


def rotating(context):
    """Replaces the keys."""
    for which in ("inference", "management"):
        answer = context.ask("management", "PUT", f"/token?type={which}", key="API")
        context.tally.count("keys", answer.status)
        if answer.status != 200:
            raise wire.Wrong(f"/token: {answer}")
        context.pause(2)


def reloading(context):
    """Changes the CORS policy in the file and asks for it to be read."""
    for sometimes in (False, True):
        context.server.write_config(sometimes)
        context.server.reload()
        context.tally.count("reloads", "asked")
        context.pause(2)


def scraping(context):
    answer = context.ask("metrics", "GET", "/metrics", key="inference")
    context.tally.count("scrapes", answer.status)
    if answer.status != 200 or b"ts_predictions_total" not in answer.body:
        raise wire.Wrong(f"/metrics: {answer}")
    context.pause(1)
