"""What TorchServe's own API test collections (its `test/postman`) ask and assert, as data.

A step is a request, the statuses that the collection accepts, and what else it asserts of the answer.
`ours` stands where Torchfront answers differently on purpose, with the line of the README's
"Differences from TorchServe" that says why: then that answer is what is asserted.
"""

from dataclasses import dataclass, field


@dataclass
class Step:
    name: str
    method: str
    listener: str
    path: str
    statuses: tuple = (200,)
    type: str = ""
    message: str = ""  # is part of the answer
    text: str = ""  # a regular expression that is found in the answer
    body: bytes = b""
    says: object = None  # called with the answer's JSON
    ours: tuple = ()  # (difference, statuses)
    headers: dict = field(default_factory=dict)


def manage(name, method, path, statuses=(200,), **more):
    return Step(name, method, "management", path, statuses, **more)


DONE = (200, 201, 202)
ZOO = "{zoo}"  # a web server with the stand-ins of the model zoo


def register(archive, name, query="", statuses=(200,), **more):
    path = f"/models?url={ZOO}/{archive}.mar&model_name={name}{query}"
    return manage(f"register {name} {query}", "POST", path, statuses, **more)


def unregister(name, statuses=(200,), **more):
    return manage(f"unregister {name}", "DELETE", f"/models/{name}", statuses, **more)


def scale(name, query, statuses=DONE, **more):
    return manage(f"scale {name} {query}", "PUT", f"/models/{name}?{query}", statuses, **more)


def management():
    """management_api_test_collection, management_api_test_new_collection."""
    squeeze = "squeezenet1_1"
    yield register(squeeze, squeeze)
    yield register("mnist", "mnist")
    yield register("densenet161", "densenet161")
    exists = "Model file already exists densenet161.mar"
    yield register("densenet161", "densenet161", "", (500,), type="InternalServerException",
                   message=exists)
    yield unregister("densenet161")
    yield manage("register without url", "POST", "/models", (400,), type="BadRequestException",
                 message="Parameter url is required.")
    yield unregister("mnist")
    # An unknown handler is refused at once, so nothing is there to scale or to remove.
    invalid = "&handler=invalidHandler"
    for _ in range(2):
        yield register("mnist", "mnist", invalid, (200,), ours=("D22", (400,)))
        yield scale("mnist", "min_worker=4&synchronous=true", (500,), ours=("D22", (404,)))
        yield unregister("mnist", ours=("D22", (404,)))
    yield manage("describe", "GET", f"/models/{squeeze}")
    yield manage("describe a version", "GET", f"/models/{squeeze}/1.0")
    yield manage("describe all versions", "GET", f"/models/{squeeze}/all")
    yield manage("list", "GET", "/models")
    yield scale(squeeze, "min_worker=3")
    yield scale(squeeze, "min_worker=4&synchronous=true")
    yield scale(f"{squeeze}/1.0", "min_worker=5&synchronous=true")
    yield scale(squeeze, "min_worker=6&number_gpu=1")
    yield manage("set default", "PUT", f"/models/{squeeze}/1.0/set-default", DONE)
    yield unregister(squeeze, DONE)
    yield register(squeeze, squeeze, "&runtime=python4", (400,), type="BadRequestException",
                   message="Invalid RuntimeType value")
    yield manage("list with empty values", "GET", "/models?limit=&next_page_token=")
    yield register(squeeze, squeeze)
    yield scale(f"{squeeze}/0.0", "min_worker=5&synchronous=true", (404,))
    yield scale("squeezenet0_0", "min_worker=5", (404,), type="ModelNotFoundException",
                message="Model not found: squeezenet0_0")
    yield unregister(squeeze, DONE)
    # A path of another machine: TorchServe would look at it when a worker starts.
    handler = "&handler=serve/ts/torch_handler/image_classifier.py:handle"
    yield register(squeeze, squeeze, handler, ours=("D22", (400,)))
    yield unregister(squeeze, DONE, ours=("D22", (404,)))
    late = "&batch_size=3&initial_workers=3&response_timeout=0"
    yield register(squeeze, squeeze, late, (500,), ours=("D24", (200,)))
    yield unregister(squeeze, DONE)
    batch = "resnet-152-batch"
    for query in ("&batch_size=2", "&batch_size=dd&initial_workers=1",
                  "&batch_size=2&initial_workers=1&max_batch_delay=junk"):
        yield register(batch, "resnet152", query)
        yield unregister("resnet152")
    yield register("mnist", "mnist", "&max_batch_delay=200")
    yield unregister("mnist")
    yield register("vgg11", "vgg11", "&initial_workers=-1")
    yield unregister("vgg11")
    yield register("vgg11", "vgg11", "&initial_workers=0")
    yield unregister("vgg11")
    resnet = "resnet-18"
    for synchronous in ("true", "-1", "false"):
        yield register(resnet, resnet, f"&synchronous={synchronous}")
        if synchronous != "false":
            yield unregister(resnet)
    for query in ("limit=1", "limit=-1", "limit=1&next_page_token=1", "limit=1&next_page_token=-1",
                  "next_page_token=12"):
        yield manage(f"list {query}", "GET", f"/models?{query}")
    for query in ("number_gpu=10", "number_gpu=-1", "min_worker=5&max_worker=5&synchronous=true",
                  "min_worker=6&max_worker=6&synchronous=false", "timeout=-1", "timeout=0"):
        yield scale(resnet, query)
    yield manage("register with empty url", "POST", f"/models?url=&model_name={resnet}", (404,),
                 type="ModelNotFoundException")
    yield register("invalid-resnet-18", "invalid-resnet18", "", (400,))
    yield manage("describe no model", "GET", "/models/invalid_squeezenet1_1", (404,))
    for query in ("min_worker=2&synchronous=Nan", "min_worker=nan&synchronous=nan", "",
                  "min_worker=4", "min_worker=10/0", "min_worker=0", "min_worker=10/0"):
        yield scale(resnet, query, (202,))
    yield scale("resnet181", "min_worker=3", (404,), type="ModelNotFoundException",
                message="Model not found")
    yield scale(resnet, "min_worker=10&max_worker=9", (400,))
    yield manage("set default of no model", "PUT",
                 "/models/invalid_squeezenet1_1/1.0/set-default", (404,))
    yield unregister(resnet)
    yield unregister("invalid_squeezenet1_1", (404,))


def top(label):
    """The label that is named first, by a classifier."""
    return lambda answer: next(iter(answer)) == label


def one_prediction(label):
    def check(answer):
        (prediction,) = answer["predictions"]
        return next(iter(prediction)) == label
    return check


def nested(answer):
    """Numbers in lists in lists, as deep as a picture."""
    while isinstance(answer, list):
        answer = answer[0]
    return isinstance(answer, float)


COUNTED = r'Requests2XX\{Level="Host",Hostname=".*",\} \d+\.\d+'


def latency(model):
    return (rf'ts_inference_latency_microseconds\{{model_name="{model}",model_version="default",'
            rf'hostname=".+",\}} \d+(\.\d+)?')


def inference(picture):
    """inference_api_test_collection and increased_timeout_inference, with their data's models."""
    for model in ("squeezenet1_1", "densenet161", "alexnet", "resnet-18", "vgg11", "mnist"):
        yield register(model, model, "&initial_workers=1&synchronous=true")
        yield Step(f"predict {model}", "POST", "inference", f"/predictions/{model}", body=picture,
                   says=top("7"))
        yield unregister(model, DONE)


def explanation(picture):
    """explanation_api_test_collection."""
    yield register("mnist", "mnist", "&initial_workers=1&synchronous=true")
    yield Step("explain", "POST", "inference", "/explanations/mnist", body=picture, says=nested)
    yield Step("predict", "POST", "inference", "/predictions/mnist", body=picture)
    yield Step("metrics", "GET", "metrics", "/metrics", text=latency("mnist"))
    yield unregister("mnist", DONE)


def kserve(request):
    """kf_api_test_collection, kf_inference_api_test_collection: service_envelope=kserve."""
    yield register("mnist", "mnist", "&initial_workers=1&synchronous=true")
    yield manage("ready", "GET", "/v1/models/mnist", says=lambda a: a["ready"] is True)
    yield Step("predict", "POST", "inference", "/v1/models/mnist:predict", body=request,
               says=one_prediction("7"))
    yield Step("explain", "POST", "inference", "/v1/models/mnist:explain", body=request,
               says=lambda a: nested(a["explanations"]))
    yield Step("metrics", "GET", "metrics", "/metrics", text=COUNTED)
    yield unregister("mnist", DONE)


def kservev2(request):
    """kfv2_api_test_collection: service_envelope=kservev2."""
    def infers(answer):
        (output,) = answer["outputs"]
        return (answer["id"] == "d3b15cad-50a2-4eaf-80ce-8b0a428bd298"
                and answer["model_name"] == "mnist" and answer["model_version"] == "1.0"
                and {"name", "shape", "datatype", "data"} <= set(output))
    yield register("mnist", "mnist", "&initial_workers=1&synchronous=true")
    yield Step("infer", "POST", "inference", "/v2/models/mnist/infer", body=request, says=infers)
    yield Step("explain", "POST", "inference", "/v2/models/mnist/explain", body=request,
               says=infers)
    yield Step("metrics", "GET", "metrics", "/metrics", text=COUNTED)
    yield unregister("mnist", DONE)


def https(picture):
    """https_test_collection, kf_https_test_collection."""
    for listener in ("inference", "management", "metrics"):
        yield Step(f"description of {listener}", "OPTIONS", listener, "/")
    squeeze = "squeezenet1_1"
    yield register(squeeze, squeeze, "&initial_workers=1&synchronous=true")
    yield manage("describe", "GET", f"/models/{squeeze}")
    yield scale(squeeze, "min_worker=5&max_worker=5&synchronous=true")
    yield scale(squeeze, "min_worker=6&max_worker=6&synchronous=false")
    yield Step("predict", "POST", "inference", f"/predictions/{squeeze}", body=picture,
               says=top("7"))
    yield unregister(squeeze)


def workflow():
    """workflow_api_test_collection, as TorchServe 0.12 itself answers it: no workflow can be
    registered any more."""
    yield manage("register", "POST", "/workflows?url=dog_breed_wf.war", (400,),
                 type="BadRequestException", message="Registering new workflows is disabled.")
    yield manage("list", "GET", "/workflows", says=lambda a: a == {"workflows": []})
    yield manage("describe", "GET", "/workflows/dog_breed_wf", (404,))
    yield manage("unregister", "DELETE", "/workflows/dog_breed_wf", (404,))
    yield Step("predict", "POST", "inference", "/wfpredict/dog_breed_wf", (404,), body=b"x")
