"""`/predictions`: routes, versions, content types, inputs that are wrong."""

from . import FORM, JSON, MULTIPART, OCTETS, SMALL, base64_of, image, inference, multipart

RED = "flower_rgb.png"
COLOURS = "/predictions/colours"


def routes():
    yield inference("predict-json", "POST", COLOURS, SMALL)
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        yield inference(f"predict-by-{method.lower()}", method, COLOURS, SMALL)
    yield inference("predict-by-head", "HEAD", COLOURS)
    yield inference("predict-version", "POST", f"{COLOURS}/1.0", SMALL)
    yield inference("predict-other-version", "POST", f"{COLOURS}/2.0", SMALL)
    yield inference("predict-no-such-version", "POST", f"{COLOURS}/3.0", SMALL)
    yield inference("predict-version-all", "POST", f"{COLOURS}/all", SMALL)
    yield inference("predict-trailing-slash", "POST", f"{COLOURS}/", SMALL)
    yield inference("predict-version-trailing-slash", "POST", f"{COLOURS}/1.0/", SMALL)
    yield inference("predict-url-path", "POST", f"{COLOURS}/1.0/v1/chat", SMALL)
    yield inference("predict-empty-version", "POST", f"{COLOURS}//x", SMALL)
    yield inference("predict-encoded-name", "POST", "/predictions/%63olours", SMALL)
    yield inference("predict-encoded-slash", "POST", "/predictions%2Fcolours%2F1.0", SMALL)
    yield inference("predict-encoded-slash-in-name", "POST", "/predictions/col%2Fours", SMALL)
    yield inference("predict-query-is-ignored", "POST", f"{COLOURS}?data=x&body=y", SMALL)
    yield inference("predict-no-such-model", "POST", "/predictions/nothing", SMALL)
    yield inference("predict-no-such-model-version", "POST", "/predictions/nothing/1.0", SMALL)
    yield inference("predict-name-in-capitals", "POST", "/predictions/Colours", SMALL)
    yield inference("predict-name-with-blank", "POST", "/predictions/two%20words", SMALL)
    yield inference("predict-name-with-quote", "POST", "/predictions/a%22b%3Cc", SMALL)
    yield inference("predict-name-with-umlaut", "POST", "/predictions/%C3%BC", SMALL)
    yield inference("predict-no-name", "POST", "/predictions", SMALL)
    yield inference("predict-no-name-slash", "POST", "/predictions/", SMALL)
    yield inference("predict-double-slash", "POST", "//predictions/colours", SMALL)
    yield inference("predict-route-in-capitals", "POST", "/Predictions/colours", SMALL)
    yield inference(
        "predict-describe-header", "POST", COLOURS, SMALL, headers=[("describe", "True")]
    )
    yield inference("predict-explain-header", "POST", COLOURS, SMALL, headers=[("explain", "True")])


def pictures():
    png = image(RED)
    yield inference("picture-octets", "POST", COLOURS, png, OCTETS)
    yield inference("picture-png", "POST", COLOURS, png, "image/png")
    yield inference("picture-put-without-type", "PUT", COLOURS, png)
    yield inference("picture-base64-text", "POST", COLOURS, base64_of(png), "text/plain")
    yield inference("picture-base64-json", "POST", COLOURS, f'"{base64_of(png)}"', JSON)
    yield inference("picture-base64-broken", "POST", COLOURS, "!!!not base64!!!", "text/plain")
    for name in ("china_grey.jpg", "china_grey.png", "flower.gif", "flower_cmyk.jpg"):
        yield inference(f"picture-{name}", "POST", COLOURS, image(name), OCTETS)
    for name in ("flower_palette.png", "flower_rgba_opaque.png"):
        yield inference(f"picture-{name}", "POST", COLOURS, image(name), OCTETS)
    for name in ("china_tall.png", "flower_exif_6.jpg", "flower_lossless.webp"):
        yield inference(f"picture-{name}", "POST", COLOURS, image(name), OCTETS)
    yield inference("picture-cut-off", "POST", COLOURS, png[: len(png) // 2], OCTETS)
    yield inference("picture-of-text", "POST", COLOURS, "no picture at all", OCTETS)
    yield inference("picture-of-nothing", "POST", COLOURS, b"", OCTETS)


def bodies():
    png = image(RED)
    numbers = "[[[1, 0]], [[0, 0.5]], [[0.25, 0.5]]]"
    yield inference(
        "json-with-charset", "POST", COLOURS, numbers, "application/json; charset=utf-8"
    )
    yield inference("json-in-capitals", "POST", COLOURS, numbers, "Application/JSON")
    yield inference("json-whole-numbers", "POST", COLOURS, "[[[1]],[[2]],[[4]]]", JSON)
    yield inference("json-without-type", "POST", COLOURS, numbers)
    yield inference("json-as-octets", "POST", COLOURS, numbers, OCTETS)
    yield inference("json-as-text", "POST", COLOURS, numbers, "text/plain")
    yield inference("json-malformed", "POST", COLOURS, "[[[1, 0]], ", JSON)
    yield inference("json-object", "POST", COLOURS, {"data": [1]})
    yield inference("json-number", "POST", COLOURS, "7", JSON)
    yield inference("json-null", "POST", COLOURS, "null", JSON)
    yield inference("json-empty-list", "POST", COLOURS, "[]", JSON)
    yield inference("json-empty-body", "POST", COLOURS, "", JSON)
    yield inference("json-ragged", "POST", COLOURS, "[[[1, 0]], [[0]], [[1, 2]]]", JSON)
    yield inference("json-of-strings", "POST", COLOURS, '[[["a"]], [["b"]], [["c"]]]', JSON)
    yield inference("json-two-dimensions", "POST", COLOURS, "[[1, 2], [3, 4]]", JSON)
    yield inference("json-one-channel", "POST", COLOURS, "[[[1, 2]]]", JSON)
    yield inference("json-not-a-number", "POST", COLOURS, "[[[NaN]], [[0]], [[0]]]", JSON)
    yield inference("json-infinity", "POST", COLOURS, "[[[1e39]], [[0]], [[0]]]", JSON)
    yield inference("json-deep", "POST", COLOURS, "[" * 3000 + "]" * 3000, JSON)
    yield inference("json-with-byte-order-mark", "POST", COLOURS, "\ufeff" + numbers, JSON)

    part = ("data", png, "image/png", "flower.png")
    yield inference("multipart-data", "POST", COLOURS, multipart(part), MULTIPART)
    yield inference("multipart-body", "POST", COLOURS, multipart(("body", *part[1:])), MULTIPART)
    yield inference(
        "multipart-octets", "POST", COLOURS, multipart(("data", png, OCTETS, "x")), MULTIPART
    )
    yield inference(
        "multipart-other-name", "POST", COLOURS, multipart(("image", *part[1:])), MULTIPART
    )
    first = ("data", "no picture", OCTETS, "x")
    yield inference("multipart-last-wins", "POST", COLOURS, multipart(first, part), MULTIPART)
    yield inference("multipart-last-is-bad", "POST", COLOURS, multipart(part, first), MULTIPART)
    data_and_body = multipart(("body", "no picture", OCTETS, "x"), part)
    yield inference("multipart-data-before-body", "POST", COLOURS, data_and_body, MULTIPART)
    empty_data = multipart(("data", "", OCTETS, "x"), ("body", *part[1:]))
    yield inference("multipart-empty-data", "POST", COLOURS, empty_data, MULTIPART)
    yield inference(
        "multipart-json", "POST", COLOURS, multipart(("data", numbers, JSON, "x")), MULTIPART
    )
    yield inference(
        "multipart-field", "POST", COLOURS, multipart(("data", numbers, None, None)), MULTIPART
    )
    text = multipart(("data", base64_of(png), "text/plain", None))
    yield inference("multipart-text", "POST", COLOURS, text, MULTIPART)
    yield inference("multipart-no-parts", "POST", COLOURS, multipart(), MULTIPART)
    yield inference("multipart-empty", "POST", COLOURS, "", MULTIPART)
    yield inference("multipart-cut-off", "POST", COLOURS, multipart(part)[:400], MULTIPART)
    yield inference(
        "multipart-no-boundary", "POST", COLOURS, multipart(part), "multipart/form-data"
    )

    yield inference("form-data", "POST", COLOURS, "data=x", FORM)
    yield inference("form-bare-word", "POST", COLOURS, "foo", FORM)
    yield inference("form-empty", "POST", COLOURS, "", FORM)
    yield inference("form-broken-escape", "POST", COLOURS, "data=%zz", FORM)
    picture = base64_of(png).replace("+", "%2B").replace("/", "%2F")
    yield inference("form-base64", "POST", COLOURS, f"data={picture}", FORM)


def other_handlers():
    yield inference("base-handler-list", "POST", "/predictions/mlp", [0.1, -0.2, 0.3, 0.4])
    yield inference(
        "base-handler-object", "POST", "/predictions/mlp", {"data": [0.1, -0.2, 0.3, 0.4]}
    )
    yield inference("base-handler-octets", "POST", "/predictions/mlp", b"\0" * 16, OCTETS)
    yield inference("base-handler-nothing", "POST", "/predictions/mlp")
    yield inference("classifier-of-three", "POST", "/predictions/tiny_classifier", SMALL)


def cases():
    return [*routes(), *pictures(), *bodies(), *other_handlers()]
