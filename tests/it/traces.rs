//! OpenTelemetry against a collector in this process: the tree of one request, of a batch, and what
//! happens when the collector is not there.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::support::{Answer, TestServer, eventually, request};

const MLP_ONE: &str = "[0.1, -0.2, 0.3, 0.4]";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Takes OTLP over HTTP, and keeps what it gets.
struct Collector {
    address: SocketAddr,
    exports: Arc<Mutex<Vec<Export>>>,
}

/// One POST.
#[derive(Clone)]
struct Export {
    head: String,
    request: ExportTraceServiceRequest,
}

impl Collector {
    fn start(status: &'static str) -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let exports: Arc<Mutex<Vec<Export>>> = Arc::default();
        let kept = Arc::clone(&exports);
        // Ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || serve(stream.unwrap(), &kept, status));
            }
        });
        Collector { address, exports }
    }

    fn exports(&self) -> Vec<Export> {
        self.exports.lock().unwrap().clone()
    }

    fn spans(&self) -> Vec<Span> {
        let of_scope = |export: Export| {
            let resources = export.request.resource_spans.into_iter();
            let scopes = resources.flat_map(|resource| resource.scope_spans);
            scopes.flat_map(|scope| scope.spans).collect::<Vec<_>>()
        };
        self.exports().into_iter().flat_map(of_scope).collect()
    }

    /// Waits for this many spans.
    #[track_caller]
    fn wait_for(&self, spans: usize) -> Vec<Span> {
        eventually("the spans come", || self.spans().len() >= spans);
        let all = self.spans();
        assert_eq!(all.len(), spans, "{:?}", names(&all));
        all
    }
}

fn serve(mut stream: TcpStream, kept: &Mutex<Vec<Export>>, status: &str) {
    let mut bytes: Vec<u8> = Vec::new();
    let mut piece = [0; 65_536];
    loop {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            match stream.read(&mut piece) {
                Ok(read @ 1..) => bytes.extend_from_slice(&piece[..read]),
                _ => return,
            }
            continue;
        };
        let head = String::from_utf8(bytes.drain(..end + 4).collect()).unwrap().to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.unwrap().parse().unwrap();
        while bytes.len() < length {
            let read = stream.read(&mut piece).unwrap();
            bytes.extend_from_slice(&piece[..read]);
        }
        let mut body: Vec<u8> = bytes.drain(..length).collect();
        if head.contains("content-encoding: gzip") {
            let mut plain = Vec::new();
            GzDecoder::new(&*body).read_to_end(&mut plain).unwrap();
            body = plain;
        }
        let request = ExportTraceServiceRequest::decode(&*body).unwrap();
        kept.lock().unwrap().push(Export { head, request });
        stream
            .write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes())
            .unwrap();
    }
}

#[track_caller]
fn server(collector: SocketAddr, lines: &[&str], more: &[(&str, &str)]) -> TestServer {
    let endpoint = format!("http://{collector}");
    let base = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint), ("OTEL_BSP_SCHEDULE_DELAY", "20")];
    TestServer::start_in_environment(&["mlp"], lines, &[&base, more].concat())
}

fn predict(server: &TestServer, headers: &[(&str, &str)]) -> Answer {
    let headers = [&[("Content-Type", "application/json")], headers].concat();
    request(server.inference, "POST", "/predictions/mlp", &headers, MLP_ONE.as_bytes())
}

fn names(spans: &[Span]) -> Vec<&str> {
    spans.iter().map(|span| span.name.as_str()).collect()
}

#[track_caller]
fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let mut found = spans.iter().filter(|span| span.name == name);
    let span = found.next().unwrap_or_else(|| panic!("no {name} in {:?}", names(spans)));
    assert!(found.next().is_none(), "two of {name}");
    span
}

fn attribute(span: &Span, name: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key == name)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{name}: {other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn links(span: &Span) -> Vec<(String, String)> {
    span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect()
}

fn id(span: &Span) -> (String, String) {
    (hex(&span.trace_id), hex(&span.span_id))
}

const REQUEST: &str = "POST /predictions/{model_name}";

#[test]
fn one_request_is_one_tree_that_continues_its_callers_trace() {
    let collector = Collector::start("200 OK");
    let variables = [
        ("OTEL_SERVICE_NAME", "digits"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=t%201"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
    ];
    let server = server(collector.address, &[], &variables);
    let answer = predict(&server, &[("traceparent", PARENT), ("x-request-id", "r1")]);
    assert_eq!(answer.status, 200);
    let spans = collector.wait_for(6);
    let request = named(&spans, REQUEST);
    assert_eq!(hex(&request.trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(hex(&request.parent_span_id), "b7ad6b7169203331");
    assert_eq!(request.kind, 2, "a server's span");
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/predictions/{model_name}"),
        ("http.response.status_code", "200"),
        ("url.path", "/predictions/mlp"),
        ("torchfront.model.name", "mlp"),
        ("torchfront.request_id", "r1"),
    ] {
        assert_eq!(attribute(request, name).as_deref(), Some(value), "{name}");
    }
    let response = format!("00-{}-{}-01", hex(&request.trace_id), hex(&request.span_id));
    assert_eq!(answer.header("traceresponse").unwrap(), response);
    let timing = answer.header("server-timing").unwrap();
    assert!(timing.ends_with(&format!("traceparent;desc=\"{response}\"")), "{timing}");

    let batch = named(&spans, "batch");
    for (name, parent) in [
        ("decode", request),
        ("queue", request),
        ("batch", request),
        ("forward", batch),
        ("encode", batch),
    ] {
        let span = named(&spans, name);
        assert_eq!(hex(&span.parent_span_id), hex(&parent.span_id), "{name}");
        assert_eq!(span.trace_id, parent.trace_id, "{name}");
        assert!(span.start_time_unix_nano >= request.start_time_unix_nano, "{name}");
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{name}");
        assert!(span.end_time_unix_nano <= parent.end_time_unix_nano || name == "batch", "{name}");
    }
    assert_eq!(links(batch), [id(request)]);
    assert_eq!(links(named(&spans, "queue")), [id(batch)]);
    assert_eq!(attribute(batch, "torchfront.batch.size").as_deref(), Some("1"));

    // One or several: a slow machine lets the delay pass between two spans.
    for export in collector.exports() {
        assert!(export.head.starts_with("post /v1/traces http/1.1"), "{}", export.head);
        assert!(export.head.contains("x-tenant: t 1") && export.head.contains("x-protobuf"));
        let resource = export.request.resource_spans[0].resource.as_ref().unwrap();
        let text = format!("{resource:?}");
        assert!(text.contains("service.name") && text.contains("digits"), "{text}");
    }
    eventually("they are counted", || {
        server.metric("ts_trace_spans_total{outcome=\"exported\"}") == 6.0
    });
}

#[test]
fn a_batch_is_one_span_that_is_linked_to_each_of_its_requests() {
    let collector = Collector::start("200 OK");
    let lines = [
        "batch_policy=fill",
        "models={\"mlp\": {\"1.0\": {\"minWorkers\": 1, \"maxWorkers\": 1, \"batchSize\": 3, \"maxBatchDelay\": 20000}}}",
    ];
    let server = server(collector.address, &lines, &[]);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert_eq!(predict(&server, &[]).status, 200));
        }
    });
    let spans = collector.wait_for(3 * 3 + 3);
    let of = |name| spans.iter().filter(move |span| span.name == name);
    let requests: Vec<&Span> = of(REQUEST).collect();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| request.parent_span_id.is_empty()));
    let batch = named(&spans, "batch");
    assert_eq!(attribute(batch, "torchfront.batch.size").as_deref(), Some("3"));
    let mut linked = links(batch);
    let mut expected: Vec<_> = requests.iter().map(|request| id(request)).collect();
    let first = expected.iter().find(|(trace, _)| *trace == hex(&batch.trace_id)).unwrap();
    assert_eq!(hex(&batch.parent_span_id), first.1);
    linked.sort();
    expected.sort();
    assert_eq!(linked, expected);
    for step in ["forward", "encode"] {
        assert_eq!(named(&spans, step).parent_span_id, batch.span_id, "{step}");
    }
    for request in requests {
        for step in ["decode", "queue"] {
            let step = of(step).find(|step| step.trace_id == request.trace_id).unwrap();
            assert_eq!(step.parent_span_id, request.span_id);
        }
        let queue = of("queue").find(|queue| queue.trace_id == request.trace_id).unwrap();
        assert_eq!(links(queue), [id(batch)]);
    }
}

#[test]
fn an_unsound_traceparent_is_replaced_and_an_unsampled_one_is_followed() {
    let collector = Collector::start("200 OK");
    let server = server(collector.address, &[], &[]);
    let unsampled = PARENT.replace("-01", "-00");
    let answer = predict(&server, &[("traceparent", &unsampled)]);
    let response = answer.header("traceresponse").unwrap();
    assert!(response.starts_with(&PARENT[..36]) && response.ends_with("-00"), "{response}");
    let answer = predict(&server, &[("traceparent", PARENT), ("traceparent", PARENT)]);
    let response = answer.header("traceresponse").unwrap();
    assert!(!response.contains("0af7651916cd43dd8448eb211c80319c"), "{response}");
    let answer = request(
        server.inference,
        "GET",
        "/predictions/none",
        &[("traceparent", "00-<script>-1")],
        b"",
    );
    assert_eq!(answer.status, 404);
    assert!(!answer.header("traceresponse").unwrap().contains("script"));
    let spans = collector.wait_for(6 + 1);
    assert!(spans.iter().all(|span| hex(&span.trace_id) != "0af7651916cd43dd8448eb211c80319c"));
    let failed = named(&spans, "GET /predictions/{model_name}");
    assert_eq!(attribute(failed, "http.response.status_code").as_deref(), Some("404"));
    assert_eq!(request(server.inference, "GET", "/ping", &[], b"").header("traceresponse"), None);
}

#[test]
fn without_a_collector_requests_are_served_and_the_spans_that_are_lost_are_counted() {
    // Nobody listens there.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let variables = [("OTEL_BSP_MAX_QUEUE_SIZE", "2")];
    let server = server(gone, &[], &variables);
    eventually("spans are dropped", || {
        assert_eq!(predict(&server, &[]).status, 200);
        server.metric("ts_trace_spans_total{outcome=\"dropped\"}") > 0.0
    });
    eventually("spans have failed", || {
        server.metric("ts_trace_spans_total{outcome=\"failed\"}") > 0.0
    });
}

#[test]
fn a_collector_that_refuses_is_not_asked_again_for_the_same_spans() {
    let collector = Collector::start("401 Unauthorized");
    let server = server(collector.address, &[], &[]);
    assert_eq!(predict(&server, &[]).status, 200);
    eventually("they are counted", || {
        server.metric("ts_trace_spans_total{outcome=\"failed\"}") == 6.0
    });
    server.stop();
    assert_eq!(collector.spans().len(), 6);
}

#[test]
fn spans_that_wait_are_exported_when_the_server_stops() {
    let collector = Collector::start("200 OK");
    let server = server(collector.address, &[], &[("OTEL_BSP_SCHEDULE_DELAY", "600000")]);
    assert_eq!(predict(&server, &[]).status, 200);
    server.stop();
    assert_eq!(collector.spans().len(), 6);
}

#[test]
fn without_the_variables_nothing_is_traced() {
    let server = TestServer::start(&["mlp"], &[]);
    let answer = predict(&server, &[("traceparent", PARENT)]);
    assert_eq!((answer.status, answer.header("traceresponse")), (200, None));
    assert!(!answer.header("server-timing").unwrap().contains("traceparent"));
    let metrics = request(server.metrics, "GET", "/metrics", &[], b"").text();
    assert!(!metrics.contains("ts_trace_spans"));
}
