//! Models that are registered from URLs: a server of this machine gives them, and the store keeps
//! them for as long as they are registered.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use serde_json::{Value, json};

use crate::support::{Answer, TestServer, checkout, golden_archives, request};

/// Gives the files of `tests/goldens/archives`, one connection after the other, for ever.
fn host() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read > 0)
            {
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            let path = head.split([' ', '?']).nth(1).unwrap();
            let file = checkout("tests/goldens/archives").join(path.trim_start_matches('/'));
            let answer = match fs::read(file) {
                Ok(body) => {
                    let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: ".to_vec();
                    answer.extend(format!("{}\r\n\r\n", body.len()).bytes());
                    answer.extend(body);
                    answer
                }
                Err(_) => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
            };
            let _gone = stream.write_all(&answer);
        }
    });
    address
}

fn server(lines: &[&str]) -> TestServer {
    let own = ["load_models=none", "enable_model_api=true"];
    TestServer::start(&[], &[&own[..], lines].concat())
}

/// A server that may download from `host`.
fn trusting(host: SocketAddr) -> TestServer {
    let urls = format!("allowed_urls=http://{}/.*", host.to_string().replace('.', r"\\."));
    server(&[&urls, "download_allowed_networks=127.0.0.0/8"])
}

fn manage(server: &TestServer, method: &str, path: &str) -> Answer {
    request(server.management, method, path, &[], b"")
}

/// What lies in the model store.
fn store(server: &TestServer) -> Vec<String> {
    let entries = fs::read_dir(server.folder.path().join("store")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_model_from_a_url_serves_and_its_file_goes_with_it() {
    let host = host();
    let server = trusting(host);
    let url = format!("http://{host}/mlp.mar");
    let register = format!("/models?url={url}%3Fsig=secret&initial_workers=1");
    let text = "Model \"mlp\" Version: 1.0 registered with 1 initial workers";
    let answer = manage(&server, "POST", &register);
    assert_eq!((answer.status, answer.json()), (200, json!({"status": text})));
    assert_eq!(store(&server), ["mlp.mar"]);
    let golden = &golden_archives()["mlp"]["cases"][0];
    let answer = server.predict("mlp", json!({"inputs": golden["inputs"]}).to_string());
    assert_eq!(answer.status, 200, "{}", answer.text());
    // Its query may be a secret: nobody is shown it.
    let described = manage(&server, "GET", "/models/mlp").json();
    assert_eq!(described[0]["modelUrl"], Value::from(url.as_str()));
    let error = manage(&server, "POST", &register).error();
    let exists = "Model file already exists mlp.mar".to_owned();
    assert_eq!(error, (500, "InternalServerException".to_owned(), exists));
    assert_eq!(manage(&server, "DELETE", "/models/mlp").status, 200);
    assert_eq!(store(&server), Vec::<String>::new());
    let again = format!("{{'url': '{url}', 'model_name': 'second'}}");
    let json = [("Content-Type", "application/json")];
    let answer = request(server.management, "POST", "/models", &json, again.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(server.metric("ts_model_downloads_total{outcome=\"ok\"}"), 2.0);
}

#[test]
fn a_model_that_cannot_be_served_leaves_no_file() {
    let host = host();
    let server = trusting(host);
    for (file, status, kind) in [
        ("python_handler.mar", 400, "HandlerNotSupportedException"),
        ("not_torchscript.mar", 400, "InvalidModelException"),
        ("none.mar", 400, "DownloadArchiveException"),
    ] {
        let path = format!("/models?url=http://{host}/{file}&initial_workers=1");
        let (got, got_kind, message) = manage(&server, "POST", &path).error();
        assert_eq!((got, got_kind.as_str()), (status, kind), "{file}: {message}");
        assert_eq!(store(&server), Vec::<String>::new(), "{file}");
    }
    // One of two that come at once wins, and the loser takes nothing from it.
    let address = server.management;
    let threads: Vec<_> = ["?a", "?b", "?c", "?d"]
        .map(|query| {
            let path = format!("/models?url=http://{host}/mlp.mar{}", query.replace('?', "%3F"));
            std::thread::spawn(move || request(address, "POST", &path, &[], b"").status)
        })
        .into_iter()
        .collect();
    let mut statuses: Vec<u16> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 500, 500, 500]);
    assert_eq!(store(&server), ["mlp.mar"]);
}

#[test]
fn what_is_not_allowed_is_refused_and_the_key_that_allows_it_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let closed = server(&[]);
    let open = server(&["allowed_urls=file://.*|http(s)?://.*"]);
    let url = format!("http://{address}/m.mar");
    for (server, url, status, kind, part) in [
        (&closed, url.as_str(), 404, "ModelNotFoundException", "allowed_urls in config"),
        (&open, &url, 403, "DownloadArchiveException", "download_allowed_networks in config"),
        (&open, "http://[::ffff:10.0.0.1]/m.mar", 403, "DownloadArchiveException", "private"),
        (&open, "http://0x7f.1/m.mar", 403, "DownloadArchiveException", "loopback"),
        (&open, "http://169.254.169.254/latest/m", 403, "DownloadArchiveException", "link-local"),
        (&open, "http://good.example@10.0.0.1/m.mar", 400, "BadRequestException", "password"),
        (&open, "http://h/a/../m.mar", 404, "ModelNotFoundException", "Relative path is not"),
        (&open, "file:///etc/passwd", 400, "BadRequestException", "file: URLs"),
        (&open, "s3://bucket/m.mar", 400, "BadRequestException", "s3: URLs"),
        (&open, "gopher://h/m.mar", 400, "BadRequestException", "gopher: URLs"),
        (&open, "https://h/m.mar&s3_sse_kms=true", 400, "BadRequestException", "s3_sse_kms"),
        (&open, "/etc/passwd", 404, "ModelNotFoundException", "Model not found at"),
    ] {
        let (got, got_kind, text) = manage(server, "POST", &format!("/models?url={url}")).error();
        assert_eq!((got, got_kind.as_str()), (status, kind), "{url}: {text}");
        assert!(text.contains(part), "{url}: {text}");
    }
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert!(store(&open).is_empty() && store(&closed).is_empty());
}

#[test]
fn models_of_the_start_may_be_urls() {
    let host = host();
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    fs::create_dir(&store).unwrap();
    let lines = [
        format!("load_models=http://{host}/mlp.mar?v=1,named=http://{host}/mlp_v2.mar"),
        "allowed_urls=http://127.*".to_owned(),
        "download_allowed_networks=127.0.0.1".to_owned(),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let server = TestServer::start_in(folder, &store, &lines);
    let names: Vec<Value> = manage(&server, "GET", "/models").json()["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["modelName"].clone())
        .collect();
    assert_eq!(names, ["mlp", "named"]);
    server.stop();
}
