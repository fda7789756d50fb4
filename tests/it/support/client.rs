//! An HTTP/1.1 client that is small enough to see every byte of an answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// One connection.
pub struct Client {
    stream: Box<dyn Stream>,
    peer: SocketAddr,
    /// Read, not yet used.
    rest: Vec<u8>,
}

/// Plain, or inside TLS.
trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// An answer as it came.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// One request on a connection of its own.
#[track_caller]
pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    Client::connect(address).request(method, path, headers, body)
}

impl Client {
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream: Box::new(stream), peer: address, rest: Vec::new() }
    }

    /// The same inside TLS with `localhost`; trusts what `config` trusts.
    #[track_caller]
    pub fn connect_tls(address: SocketAddr, config: Arc<rustls::ClientConfig>) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let name = "localhost".try_into().unwrap();
        let session = rustls::ClientConnection::new(config, name).unwrap();
        let stream = rustls::StreamOwned::new(session, stream);
        Client { stream: Box::new(stream), peer: address, rest: Vec::new() }
    }

    /// Sends a request with `Content-Length` and reads the answer; the connection stays open.
    #[track_caller]
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head += &format!("Host: {}\r\n", self.peer);
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("Content-Length: {}\r\n\r\n", body.len());
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        // A server may answer and close before it has read everything.
        let _early = self.stream.write_all(&bytes);
        self.answer(method)
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Reads one answer.
    #[track_caller]
    pub fn answer(&mut self, method: &str) -> Answer {
        let end = loop {
            if let Some(end) = self.rest.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            assert!(self.read_more(), "closed before an answer: {:?}", self.rest);
        };
        let head = String::from_utf8(self.rest.drain(..end + 4).collect()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let is_chunked = headers.iter().any(|(name, value)| {
            name == "transfer-encoding" && value.eq_ignore_ascii_case("chunked")
        });
        if is_chunked && method != "HEAD" {
            return Answer { status, headers, body: self.chunks() };
        }
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap());
        let length = if method == "HEAD" { 0 } else { length };
        while self.rest.len() < length {
            assert!(self.read_more(), "closed inside a body");
        }
        Answer { status, headers, body: self.rest.drain(..length).collect() }
    }

    /// A chunked body, put together; its pieces must be whole.
    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                match self.rest.windows(2).position(|pair| pair == b"\r\n") {
                    Some(end) => break end,
                    None => assert!(self.read_more(), "closed inside a chunked body"),
                }
            };
            let size = String::from_utf8(self.rest.drain(..end + 2).collect()).unwrap();
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            while self.rest.len() < size + 2 {
                assert!(self.read_more(), "closed inside a chunk");
            }
            body.extend(self.rest.drain(..size));
            assert_eq!(self.rest.drain(..2).collect::<Vec<u8>>(), b"\r\n");
            if size == 0 {
                return body;
            }
        }
    }

    fn read_more(&mut self) -> bool {
        let mut piece = [0; 65_536];
        let read = self.stream.read(&mut piece).unwrap_or(0);
        self.rest.extend_from_slice(&piece[..read]);
        read > 0
    }
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// All lines of a header, joined.
    pub fn header(&self, name: &str) -> Option<String> {
        let lines: Vec<&str> = self
            .headers
            .iter()
            .filter(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect();
        (!lines.is_empty()).then(|| lines.join(", "))
    }

    /// TorchServe's error body: status, type and message.
    #[track_caller]
    pub fn error(&self) -> (u16, String, String) {
        let body = self.json();
        assert_eq!(body["code"], self.status, "{body}");
        let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
        (self.status, text("type"), text("message"))
    }
}
