//! TLS over real sockets: who is served how, renewal, and everybody who is not served.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;

use crate::process::{command, properties, signal, text};
use crate::support::{Client, TestServer, request};

const ROW: &[u8] = b"[0.1, -0.2, 0.3, 0.4]";
pub const HTTPS: &str = "inference_address=https://127.0.0.1:0";

/// A key and a certificate for `localhost` on disk.
pub struct Pair {
    folder: TempDir,
    certificate: CertificateDer<'static>,
}

impl Pair {
    pub fn new() -> Pair {
        let mut pair =
            Pair { folder: tempfile::tempdir().unwrap(), certificate: Vec::new().into() };
        pair.renew();
        pair
    }

    /// Another key and certificate in the same files.
    fn renew(&mut self) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        self.certificate = made.cert.der().clone();
        fs::write(self.folder.path().join("cert.pem"), made.cert.pem()).unwrap();
        fs::write(self.folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    }

    fn lines(&self) -> [String; 2] {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        [
            format!("private_key_file={}", path("key.pem")),
            format!("certificate_file={}", path("cert.pem")),
        ]
    }

    /// Trusts this certificate and no other.
    pub fn trust(&self, protocols: &[&str]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        client_config(roots, protocols)
    }

    pub fn serve(&self, archives: &[&str], lines: &[&str]) -> TestServer {
        let own = self.lines();
        TestServer::start(archives, &[&[&*own[0], &*own[1]], lines].concat())
    }
}

fn client_config(roots: RootCertStore, protocols: &[&str]) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// The status of a GET over TLS, or that the handshake failed.
fn get(address: SocketAddr, config: &Arc<ClientConfig>, path: &str) -> Result<u16, String> {
    let name = "localhost".try_into().unwrap();
    let session = rustls::ClientConnection::new(Arc::clone(config), name).unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut stream = rustls::StreamOwned::new(session, stream);
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).map_err(|error| error.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|error| error.to_string())?;
    Ok(answer.split(' ').nth(1).unwrap().parse().unwrap())
}

/// A connection of HTTP/2, in a runtime of its own.
pub fn over_http2<T>(
    address: SocketAddr,
    config: Arc<ClientConfig>,
    work: impl AsyncFnOnce(SendRequest<Bytes>) -> T,
) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let name = "localhost".try_into().unwrap();
        let stream = tokio_rustls::TlsConnector::from(config).connect(name, stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (client, connection) = h2::client::Builder::new()
            .initial_max_send_streams(10_000)
            .handshake(stream)
            .await
            .unwrap();
        tokio::spawn(connection);
        work(client.ready().await.unwrap()).await
    })
}

#[test]
fn each_listener_is_https_or_not_as_its_address_says() {
    let pair = Pair::new();
    let server = pair.serve(&["mlp"], &[HTTPS, "management_address=https://127.0.0.1:0"]);
    let trust = pair.trust(&["http/1.1"]);
    let mut client = Client::connect_tls(server.inference, Arc::clone(&trust));
    for _ in 0..2 {
        let answer = client.request("POST", "/predictions/mlp", &[], ROW);
        assert_eq!((answer.status, answer.json().as_array().unwrap().len()), (200, 3));
    }
    assert_eq!(get(server.management, &trust, "/models"), Ok(200));
    assert_eq!(request(server.metrics, "GET", "/metrics", &[], b"").status, 200);
    // A client without ALPN speaks HTTP/1.1.
    assert_eq!(get(server.inference, &pair.trust(&[]), "/ping"), Ok(200));
}

#[test]
fn http2_is_served_with_predictions_preflights_and_the_host_of_its_authority() {
    let pair = Pair::new();
    let cors = "cors.allowed.origin=https://app.example.com";
    let hosts = "cors.allowed.hosts=localhost";
    let server = pair.serve(&["mlp"], &[HTTPS, cors, hosts]);
    over_http2(server.inference, pair.trust(&["h2", "http/1.1"]), async |mut client| {
        let mut ask = async |method: &str, uri: &str, headers: &[(&str, &str)], body: &[u8]| {
            let mut request = http::Request::builder().method(method).uri(uri);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let (answer, mut sender) =
                client.send_request(request.body(()).unwrap(), false).unwrap();
            sender.send_data(Bytes::copy_from_slice(body), true).unwrap();
            let answer = answer.await.unwrap();
            let (head, mut stream) = answer.into_parts();
            let mut body = Vec::new();
            while let Some(part) = stream.data().await {
                body.extend_from_slice(&part.unwrap());
            }
            let allowed = head.headers.get("access-control-allow-origin").cloned();
            let allowed = allowed.map(|value| value.to_str().unwrap().to_owned());
            (head.status.as_u16(), allowed, body)
        };
        let uri = "https://localhost/predictions/mlp";
        let (status, _, body) =
            ask("POST", uri, &[("content-type", "application/json")], ROW).await;
        assert_eq!(status, 200);
        assert_eq!(serde_json::from_slice::<Vec<f64>>(&body).unwrap().len(), 3);
        let origin = ("origin", "https://app.example.com");
        let asks = ("access-control-request-method", "POST");
        let (status, allowed, _) = ask("OPTIONS", uri, &[origin, asks], b"").await;
        assert_eq!((status, allowed.as_deref()), (204, Some(origin.1)));
        let foreign = ("origin", "http://app.example.com");
        assert_eq!(ask("POST", uri, &[foreign], ROW).await.1, None);
        // The authority is the host: another one is refused.
        let (status, _, _) = ask("GET", "https://evil.example/ping", &[], b"").await;
        assert_eq!(status, 421);
        assert_eq!(ask("GET", "https://localhost/ping", &[], b"").await.0, 200);
    });
}

#[test]
fn the_management_api_over_tls_takes_its_own_pages_and_not_those_of_http() {
    let pair = Pair::new();
    let server = pair.serve(&["mlp"], &["management_address=https://127.0.0.1:0"]);
    let host = format!("localhost:{}", server.management.port());
    let mut client = Client::connect_tls(server.management, pair.trust(&[]));
    let mut write = |scheme: &str| {
        let origin = format!("{scheme}://{host}");
        let headers = [("Host", &*host), ("Origin", &*origin)];
        client.request("PUT", "/models/mlp?min_worker=1&synchronous=true", &headers, b"").status
    };
    assert_eq!((write("https"), write("http")), (200, 403));
}

#[test]
fn a_keystore_is_served_and_a_server_without_a_key_makes_itself_one() {
    let key = rcgen::KeyPair::generate().unwrap();
    let parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    let mut store = p12_keystore::KeyStore::new();
    let chain = p12_keystore::PrivateKeyChain::new(
        "1",
        p12_keystore::PrivateKey::from_der(&key.serialize_der()).unwrap(),
        [p12_keystore::Certificate::from_der(certificate.der()).unwrap()],
    );
    store.add_entry("server", p12_keystore::KeyStoreEntry::PrivateKeyChain(chain));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.p12");
    fs::write(&file, store.writer("hunter2").write().unwrap()).unwrap();
    let keystore = format!("keystore={}", file.display());
    let server = TestServer::start(&["mlp"], &[HTTPS, &keystore, "keystore_pass=hunter2"]);
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let trust = client_config(roots, &[]);
    assert_eq!(get(server.inference, &trust, "/ping"), Ok(200));
    // Another server's own certificate: encrypted, and not trusted.
    let server = TestServer::start(&["mlp"], &[HTTPS]);
    let error = get(server.inference, &trust, "/ping").unwrap_err();
    assert!(error.contains("invalid peer certificate"), "{error}");
}

#[test]
fn plain_http_on_a_tls_port_is_told_so_in_plain_http() {
    let pair = Pair::new();
    let server = pair.serve(&["mlp"], &[HTTPS]);
    let answer = request(server.inference, "POST", "/predictions/mlp", &[], &[b'x'; 4096]);
    assert_eq!(answer.status, 403);
    let expected = "This Torchfront instance only accepts HTTPS requests";
    assert_eq!(answer.json()["status"], expected);
    assert_eq!(answer.header("connection").as_deref(), Some("close"));
}

/// A ClientHello of TLS 1.(minor - 1) for ECDHE-ECDSA with AES-128-GCM, and its end.
fn client_hello(minor: u8) -> Vec<u8> {
    let mut body = vec![3, minor];
    body.extend([7; 32]); // random
    body.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]); // no session, one suite, no compression
    let extensions = [
        &[0, 10, 0, 4, 0, 2, 0, 29][..], // supported_groups: x25519
        &[0, 11, 0, 2, 1, 0],            // ec_point_formats: uncompressed
        &[0, 13, 0, 4, 0, 2, 4, 3],      // signature_algorithms: ecdsa_secp256r1_sha256
        &[0, 23, 0, 0],                  // extended_master_secret
    ]
    .concat();
    body.extend([0, u8::try_from(extensions.len()).unwrap()]);
    body.extend(extensions);
    let length = u8::try_from(body.len()).unwrap();
    let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(body);
    record.extend([21, 3, 3, 0, 2, 1, 0]); // close_notify
    record
}

#[test]
fn old_tls_silence_and_nonsense_end_without_an_answer_and_the_server_goes_on() {
    let pair = Pair::new();
    let server = pair.serve(&["mlp"], &[HTTPS]);
    let say = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(server.inference).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        // A reset is an end, too.
        let _reset = stream.read_to_end(&mut answer);
        answer
    };
    // TLS 1.2 is answered with a ServerHello, 1.1 with a fatal alert: protocol_version.
    assert_eq!(say(&client_hello(3))[0], 22);
    assert_eq!(say(&client_hello(2)), [21, 3, 3, 0, 2, 2, 70]);
    std::thread::scope(|scope| {
        for bytes in [&b""[..], &[22], &[22, 3, 1, 2, 0, 1], &[0, 0, 0, 0]] {
            scope.spawn(move || assert!(say(bytes).len() <= 7));
        }
    });
    assert_eq!(get(server.inference, &pair.trust(&[]), "/ping"), Ok(200));
}

#[test]
fn who_says_nothing_behind_the_handshake_is_told_so_in_http_1_and_left_in_http_2() {
    let pair = Pair::new();
    // Nobody waits for the idle time.
    let server = pair.serve(&[], &[HTTPS, "head_timeout=1", "keep_alive_timeout=600"]);
    let said = |protocol: &str, bytes: &[u8]| {
        let name = "localhost".try_into().unwrap();
        let tls = rustls::ClientConnection::new(pair.trust(&[protocol]), name).unwrap();
        let stream = TcpStream::connect(server.inference).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut stream = rustls::StreamOwned::new(tls, stream);
        stream.write_all(bytes).unwrap();
        stream.flush().unwrap();
        let mut said = Vec::new();
        (stream.read_to_end(&mut said).map_err(|error| error.kind()), said)
    };
    for begun in [&b""[..], b"GET /ping HTTP/1.1\r\n"] {
        let (end, said) = said("http/1.1", begun);
        assert!(end.is_ok(), "{end:?}");
        assert!(said.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&said));
    }
    let (end, said) = said("h2", b"");
    assert_ne!(end, Err(std::io::ErrorKind::WouldBlock));
    // Its settings are all that it says.
    assert!(said.len() < 100 && !said.starts_with(b"HTTP"), "{said:?}");
}

#[test]
fn a_stop_answers_what_an_http2_connection_has_asked_and_does_not_wait_for_an_idle_one() {
    let pair = Pair::new();
    let server = pair.serve(&["slow", "mlp"], &[HTTPS, "default_workers_per_model=1"]);
    let address = server.inference;
    let trust = pair.trust(&["h2"]);
    let mut idle = Client::connect_tls(address, pair.trust(&[]));
    assert_eq!(idle.request("GET", "/ping", &[], b"").status, 200);
    over_http2(address, trust, async |mut client| {
        let uri = "https://localhost/predictions/slow";
        let request = http::Request::post(uri).header("content-type", "application/json");
        let (answer, mut sender) = client.send_request(request.body(()).unwrap(), false).unwrap();
        sender.send_data(Bytes::from_static(ROW), true).unwrap();
        // So that it is accepted before the stop: an answer to a later request.
        let ping = http::Request::get("https://localhost/ping").body(()).unwrap();
        let (ping, _) = client.send_request(ping, true).unwrap();
        assert_eq!(ping.await.unwrap().status(), 200);
        server.begin_stop();
        assert_eq!(answer.await.unwrap().status(), 200);
        // Both connections are still open: only the server can end them, and it does so before the
        // 30 seconds for requests under way are over.
        let stopped = tokio::task::spawn_blocking(move || server.stop());
        tokio::time::timeout(Duration::from_secs(25), stopped).await.unwrap().unwrap();
        assert!(client.ready().await.is_err());
    });
}

#[test]
fn one_http2_connection_cannot_ask_for_everything() {
    let pair = Pair::new();
    let server = pair.serve(&["mlp"], &[HTTPS]);
    over_http2(server.inference, pair.trust(&["h2"]), async |mut client| {
        let uri = "https://localhost/predictions/mlp";
        let large = http::Request::get(uri).header("x", "x".repeat(200 << 10)).body(()).unwrap();
        let (answer, _) = client.send_request(large, true).unwrap();
        assert_eq!(answer.await.unwrap().status(), 431);
        // Bodies that do not end: 256 wait, the others are refused at once.
        let (mut waiting, mut answers) = (Vec::new(), Vec::new());
        for _ in 0..300 {
            let request = http::Request::post(uri).body(()).unwrap();
            let (answer, sender) = client.send_request(request, false).unwrap();
            waiting.push(sender);
            answers.push(tokio::spawn(answer));
        }
        for answer in answers.drain(256..) {
            assert_eq!(answer.await.unwrap().unwrap().status(), 503);
        }
        for mut sender in waiting.drain(..256) {
            sender.send_data(Bytes::from_static(ROW), true).unwrap();
        }
        let mut served = 0;
        for answer in answers {
            served += u32::from(answer.await.unwrap().unwrap().status() == 200);
        }
        assert!(served > 0);
    });
}

#[test]
fn a_renewed_certificate_is_shown_to_new_connections_and_open_ones_go_on() {
    let mut pair = Pair::new();
    let server = pair.serve(&["mlp"], &[HTTPS]);
    // Two: a client that resumes a session is shown no certificate.
    let (before, unused) = (pair.trust(&[]), pair.trust(&[]));
    let mut open = Client::connect_tls(server.inference, before);
    assert_eq!(open.request("GET", "/ping", &[], b"").status, 200);
    pair.renew();
    server.reload();
    let after = pair.trust(&[]);
    for _ in 0..600 {
        if get(server.inference, &after, "/ping").is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(get(server.inference, &after, "/ping"), Ok(200));
    assert!(get(server.inference, &unused, "/ping").is_err());
    assert_eq!(open.request("POST", "/predictions/mlp", &[], ROW).status, 200);
}

#[test]
fn sighup_reads_the_certificate_again_and_a_bad_one_is_not_used() {
    let mut pair = Pair::new();
    let folder = tempfile::tempdir().unwrap();
    let lines = properties(&format!("load_models=mlp.mar\n{}", pair.lines().join("\n")))
        .replace("inference_address=http://", "inference_address=https://");
    let mut child =
        command(folder.path(), &lines).stdout(Stdio::piped()).spawn().expect("a process");
    let mut log = BufReader::new(child.stdout.take().unwrap());
    let mut wait_for = |part: &str| {
        let mut said = String::new();
        while !said.contains(part) {
            assert!(log.read_line(&mut said).unwrap() > 0, "never said {part}: {said}");
        }
        said
    };
    let said = wait_for("Model server started");
    let (_, rest) = said.split_once("inference API on https://").unwrap();
    let address: SocketAddr = rest.lines().next().unwrap().trim().parse().unwrap();
    let good = pair.trust(&[]);
    let key = pair.folder.path().join("key.pem");
    fs::write(&key, "no key").unwrap();
    signal(&child, "-HUP");
    let said = wait_for("the one before stays in force");
    assert!(said.contains("private_key_file: ") && said.contains("holds no private key"), "{said}");
    assert_eq!(get(address, &good, "/ping"), Ok(200));
    pair.renew();
    signal(&child, "-HUP");
    wait_for("new connections are shown the renewed certificate");
    assert_eq!(get(address, &pair.trust(&[]), "/ping"), Ok(200));
    signal(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_key_that_cannot_be_used_stops_the_start_before_a_port_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // Still taken: a server that tried to open it would say that instead.
    let taken = free.local_addr().unwrap();
    let lines = properties("private_key_file=gone.pem\ncertificate_file=cert.pem").replace(
        "inference_address=http://127.0.0.1:0",
        &format!("inference_address=https://{taken}"),
    );
    let output = command(folder.path(), &lines).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output);
    assert!(said.contains("private_key_file: gone.pem: cannot be read: No such file"), "{said}");
    assert!(!Path::new("gone.pem").exists());
}
