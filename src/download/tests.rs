//! Downloads from servers of this machine, which answer what a test wants.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use tempfile::TempDir;

use super::*;
use crate::metrics::Metrics;

/// No connection of a test is waited for longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that answers each connection with the next of its answers, and tells the request heads.
struct Host {
    address: SocketAddr,
    asked: mpsc::Receiver<String>,
}

/// A store, and downloads into it.
struct Scene {
    store: TempDir,
    metrics: Metrics,
    downloads: Downloads,
}

impl Host {
    fn answering(answers: Vec<Vec<u8>>) -> Host {
        Host::at("127.0.0.1:0", answers)
    }

    fn at(address: &str, answers: Vec<Vec<u8>>) -> Host {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, asked) = mpsc::channel();
        thread::spawn(move || {
            for answer in answers {
                let Ok((mut stream, _)) = listener.accept() else { return };
                let _gone = sender.send(head(&mut stream));
                // A client that has read enough may be gone.
                let _gone = stream.write_all(&answer);
            }
        });
        Host { address, asked }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn next(&self) -> String {
        self.asked.recv_timeout(PATIENCE).unwrap()
    }
}

impl Scene {
    /// Loopback is allowed, and every URL.
    fn open() -> Scene {
        Scene::new(DownloadPolicy {
            urls: AllowedUrls::parse(".*").unwrap(),
            networks: AllowedNetworks::parse("127.0.0.1").unwrap(),
            limits: DownloadLimits { max_size: 1000, timeout: PATIENCE, min_rate: 0 },
        })
    }

    fn new(policy: DownloadPolicy) -> Scene {
        let metrics = Metrics::new("test").unwrap();
        let downloads = Downloads::new(policy, metrics.downloads());
        Scene { store: tempfile::tempdir().unwrap(), metrics, downloads }
    }

    fn fetch(&self, url: &str) -> Result<Downloaded, DownloadError> {
        self.downloads.fetch(&ModelUrl::parse(url).expect(url)?, self.store.path())
    }

    /// Why `url` was not downloaded; that nothing is left of it.
    #[track_caller]
    fn refused(&self, url: &str) -> String {
        let error = self.fetch(url).map(|_| ()).expect_err(url);
        assert_eq!(fs::read_dir(self.store.path()).unwrap().count(), 0, "{url} left a file");
        error.to_string()
    }
}

/// Reads the head of a request.
fn head(stream: &mut impl Read) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read > 0) {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn redirect(location: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

#[test]
fn a_model_comes_whole_and_the_request_holds_nothing_of_this_server() {
    let host = Host::answering(vec![ok("a model")]);
    let scene = Scene::open();
    let downloaded = scene.fetch(&host.url("/a/m.mar?sig=a%2Fb")).unwrap();
    assert_eq!(downloaded.path(), scene.store.path().join("m.mar"));
    assert_eq!(fs::read(downloaded.path()).unwrap(), b"a model");
    let head = host.next();
    let mut lines: Vec<&str> = head.trim_end().split("\r\n").collect();
    assert_eq!(lines.remove(0), "GET /a/m.mar?sig=a%2Fb HTTP/1.1");
    let names: Vec<&str> = lines.iter().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(names, ["host", "user-agent", "accept", "accept-encoding", "connection"]);
    assert_eq!(lines[0], format!("host: {}", host.address));
    let text = scene.metrics.text(&[]);
    for line in [
        "ts_model_downloads_total{outcome=\"ok\",} 1.0",
        "ts_model_download_bytes_total 7.0",
        "ts_model_downloads_active 0.0",
    ] {
        assert!(text.contains(line), "{line}");
    }
    let again = scene.fetch(&host.url("/m.mar")).unwrap_err();
    assert_eq!(again.to_string(), "Model file already exists m.mar");
}

#[test]
fn addresses_that_are_not_public_are_refused_before_a_connection_is_made() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let urls = AllowedUrls::parse("https?://.*").unwrap();
    let scene = Scene::new(DownloadPolicy { urls, ..DownloadPolicy::default() });
    for (host, class) in [
        ("127.0.0.1", "loopback"),
        ("localhost", "loopback"),
        ("127.1", "loopback"),
        ("0x7f.1", "loopback"),
        ("0177.0.0.1", "loopback"),
        ("2130706433", "loopback"),
        ("0", "loopback"),
        ("[::1]", "loopback"),
        ("[::ffff:127.0.0.1]", "loopback"),
        ("[::ffff:7f00:1]", "loopback"),
        ("[64:ff9b::127.0.0.1]", "loopback"),
        ("10.0.0.1", "private"),
        ("[::ffff:10.0.0.1]", "private"),
        ("[fd00::1]", "private"),
        ("169.254.169.254", "link-local"),
        ("[fe80::1]", "link-local"),
        ("100.100.100.200", "shared"),
        ("224.0.0.1", "multicast"),
    ] {
        for scheme in ["http", "https"] {
            let text = scene.refused(&format!("{scheme}://{host}:{port}/m.mar"));
            assert!(text.contains(&format!("address is {class};")), "{host}: {text}");
            assert!(text.contains("download_allowed_networks"), "{text}");
        }
    }
    let accepted = listener.accept().map(|_| ());
    assert_eq!(accepted.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn every_redirect_is_vetted_like_the_first_url_and_counted() {
    // Loopback, too, but not the address that is allowed.
    let inner = TcpListener::bind("127.0.0.2:0").unwrap();
    inner.set_nonblocking(true).unwrap();
    let inner_url = format!("http://{}/m.mar", inner.local_addr().unwrap());
    let scene = Scene::open();
    let to = |location: &str| {
        let host = Host::answering(vec![redirect(location)]);
        scene.refused(&host.url("/m.mar"))
    };
    assert!(to(&inner_url).contains("address is loopback"));
    assert!(to("http://169.254.169.254/latest").contains("address is link-local"));
    assert!(to("file:///etc/passwd").contains("neither http: nor https:"));
    assert!(to("http://user:pw@127.0.0.1/").contains("user or a password"));
    assert!(to("").contains("more than 5") || to("").contains("connection"));
    assert_eq!(inner.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);

    let turning = Host::answering((0..9).map(|_| redirect("/again/m.mar")).collect());
    assert!(scene.refused(&turning.url("/m.mar")).contains("more than 5 redirects"));
    assert_eq!(turning.asked.try_iter().count(), 6);

    let host = Host::answering(vec![redirect("/other?x=1"), ok("moved")]);
    let downloaded = scene.fetch(&host.url("/a/m.mar")).unwrap();
    assert_eq!(fs::read(downloaded.path()).unwrap(), b"moved");
    assert!(downloaded.path().ends_with("m.mar"));
    assert!(host.next().starts_with("GET /a/m.mar ") && host.next().starts_with("GET /other?x=1 "));
}

#[test]
fn a_redirect_must_be_allowed_too() {
    let target = Host::answering(vec![ok("x")]);
    let host = Host::answering(vec![redirect(&target.url("/n.mar"))]);
    let urls = AllowedUrls::parse(&format!("http://{}/.*", host.address)).unwrap();
    let mut scene = Scene::open();
    scene.downloads.policy.urls = urls;
    let text = scene.refused(&host.url("/m.mar"));
    assert!(text.contains(&target.url("/n.mar")) && text.contains("any allowed URL"), "{text}");
    assert!(target.asked.try_recv().is_err());
}

#[test]
fn answers_that_are_no_whole_model_leave_nothing() {
    let scene = Scene::open();
    let big = "x".repeat(1001);
    let chunked =
        |body: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    let many = format!("3e8\r\n{}\r\n", "x".repeat(1000)).repeat(50);
    for (answer, expected) in [
        (ok(&big), "larger than 1000 bytes; download_max_size"),
        (chunked(&many).into_bytes(), "larger than 1000 bytes; download_max_size"),
        // Ends with the connection: its length is not known before.
        (format!("HTTP/1.1 200 OK\r\n\r\n{big}").into_bytes(), "larger than 1000 bytes"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_vec(),
            "before the answer was whole",
        ),
        (chunked("4\r\nhalf\r\n").into_bytes(), "connection"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(), "it answered 404"),
        (b"HTTP/1.1 206 Partial\r\nContent-Length: 1\r\n\r\nx".to_vec(), "it answered 206"),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n".to_vec(), "redirects to nowhere"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx".to_vec(),
            "Content-Encoding",
        ),
        (b"220 smtp ready\r\n\r\n".to_vec(), "not HTTP"),
        (format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(200_000)).into_bytes(), "not HTTP"),
        (b"".to_vec(), "before the answer was whole"),
    ] {
        let host = Host::answering(vec![answer.clone()]);
        let url = host.url("/m.mar?secret");
        let text = scene.refused(&url);
        let shown = String::from_utf8_lossy(&answer[..answer.len().min(60)]).into_owned();
        assert!(text.contains(expected), "{shown:?}: {text}");
        let start = format!("Failed to download archive from: {} (", host.url("/m.mar"));
        assert!(text.starts_with(&start) && !text.contains("secret"), "{text}");
    }
    assert!(scene.metrics.text(&[]).contains("ts_model_downloads_total{outcome=\"error\",} 12.0"));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = scene.refused(&format!("http://{nobody}/m.mar"));
    assert!(text.contains("no connection: connection refused"), "{text}");
    assert!(scene.refused("http://no-such-host.invalid/m.mar").contains("the host is not known"));
}

/// A server that begins a body and says nothing more.
fn stalling() -> (SocketAddr, mpsc::Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, begun) = mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nhalf").unwrap();
        sender.send(stream).unwrap();
    });
    (address, begun)
}

#[test]
fn a_server_that_stalls_is_given_up_at_the_time_limit() {
    let (address, _begun) = stalling();
    let mut scene = Scene::open();
    scene.downloads.policy.limits.timeout = Duration::from_secs(1);
    let text = scene.refused(&format!("http://{address}/m.mar"));
    assert!(text.contains("not done after 1 s; download_timeout"), "{text}");
}

#[test]
fn a_server_that_trickles_is_given_up_for_its_rate() {
    let (address, begun) = stalling();
    let mut scene = Scene::open();
    scene.downloads.policy.limits.min_rate = 100;
    let trickling = thread::spawn(move || {
        let mut stream = begun.recv().unwrap();
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    });
    let text = scene.refused(&format!("http://{address}/m.mar"));
    assert!(text.contains("slower than 100 bytes a second; download_min_rate"), "{text}");
    trickling.join().unwrap();
}

#[test]
fn a_stopping_server_waits_for_no_download() {
    let (address, begun) = stalling();
    let scene = Arc::new(Scene::open());
    let fetching = {
        let scene = Arc::clone(&scene);
        thread::spawn(move || scene.refused(&format!("http://{address}/m.mar")))
    };
    let _stream = begun.recv_timeout(PATIENCE).unwrap();
    scene.downloads.stop();
    assert!(fetching.join().unwrap().contains("is stopping"));
    assert!(scene.refused("http://127.0.0.1/m.mar").contains("is stopping"));
}

#[test]
fn https_needs_a_certificate_of_a_trusted_authority_and_is_never_left() {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = certified.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.unwrap())
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for answer in [ok("sealed"), redirect("http://localhost/m.mar"), Vec::new()] {
            let (stream, _) = listener.accept().unwrap();
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream);
            head(&mut stream);
            let _refused = stream.write_all(&answer);
            stream.conn.send_close_notify();
            let _gone = stream.flush();
        }
    });
    let mut scene = Scene::open();
    scene.downloads.policy.networks = AllowedNetworks::parse("127.0.0.1, ::1").unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    scene.downloads.connector = Connector::trusting(scene.downloads.policy.networks.clone(), roots);
    let url = format!("https://localhost:{port}/m.mar");
    assert_eq!(fs::read(scene.fetch(&url).unwrap().path()).unwrap(), b"sealed");
    assert!(scene.refused(&url).contains("redirects from https to http"));
    let strangers = rustls::RootCertStore::empty();
    scene.downloads.connector =
        Connector::trusting(scene.downloads.policy.networks.clone(), strangers);
    let text = scene.refused(&url);
    assert!(text.contains("TLS: ") && text.contains("certificate"), "{text}");
}

#[test]
fn what_is_shown_of_a_url_holds_no_secret() {
    for (url, shown) in [
        ("m.mar", "m.mar"),
        ("https://h/m.mar?sig=secret#x", "https://h/m.mar"),
        ("https://user:secret@h/m.mar", "https://..."),
        ("http://h/../m.mar?secret", "http://..."),
    ] {
        assert_eq!(without_secrets(url), shown);
    }
}
