//! Servers that a test makes up: a proxy that does to CORS headers what edges do by mistake, and
//! servers with a mistake of their own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::{Answer, Client};

/// What an edge does to answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Takes away the headers of this name.
    Strip(&'static str),
    /// Says `*`, and lets credentials in.
    WildcardWithCredentials,
    /// Takes a method out of `Access-Control-Allow-Methods`.
    RemoveMethod(&'static str),
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Answers each request; runs until the test ends.
pub struct Edge {
    pub address: SocketAddr,
    fault: Arc<Mutex<Fault>>,
}

impl Edge {
    /// Stands in front of `server`.
    pub fn before(server: SocketAddr) -> Edge {
        let fault = Arc::new(Mutex::new(Fault::None));
        let shared = Arc::clone(&fault);
        let address = serve(move |request| {
            let fault = *shared.lock().unwrap();
            let mut answer = forward(server, &request);
            apply(fault, &mut answer.headers);
            answer
        });
        Edge { address, fault }
    }

    /// From now on it does this.
    pub fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }
}

impl Request {
    /// The first line of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// A server that answers with `answer`, on a thread of its own.
pub fn serve(answer: impl Fn(Request) -> Answer + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || converse(stream, &*answer));
        }
    });
    address
}

/// An answer of a made-up server.
pub fn answer(status: u16, headers: &[(&str, &str)]) -> Answer {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Answer { status, headers: headers.collect(), body: Vec::new() }
}

fn converse(mut stream: TcpStream, answer: &dyn Fn(Request) -> Answer) {
    while let Some(request) = read(&mut stream) {
        let head = request.method == "HEAD";
        let Answer { status, headers, body } = answer(request);
        let mut text = format!("HTTP/1.1 {status} Made up\r\n");
        for (name, value) in headers {
            if !matches!(name.as_str(), "content-length" | "connection" | "transfer-encoding") {
                text += &format!("{name}: {value}\r\n");
            }
        }
        if status != 204 {
            text += &format!("content-length: {}\r\n", body.len());
        }
        text += "\r\n";
        let body = if head || status == 204 { Vec::new() } else { body };
        if stream.write_all(&[text.as_bytes(), &body].concat()).is_err() {
            return;
        }
    }
}

/// The next request; `None` when there is none.
fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        let read = stream.read(&mut piece).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&piece[..read]);
    };
    let mut body = bytes.split_off(end);
    let head = String::from_utf8(bytes).ok()?;
    let mut lines = head.trim_end().split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap_or(0));
    while body.len() < length {
        let read = stream.read(&mut piece).ok().filter(|read| *read > 0)?;
        body.extend_from_slice(&piece[..read]);
    }
    Some(Request { method, path, headers, body })
}

fn forward(server: SocketAddr, request: &Request) -> Answer {
    let headers: Vec<(&str, &str)> = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| !matches!(*name, "content-length" | "connection"))
        .collect();
    Client::connect(server).request(&request.method, &request.path, &headers, &request.body)
}

fn apply(fault: Fault, headers: &mut Vec<(String, String)>) {
    match fault {
        Fault::None => {}
        Fault::Strip(name) => headers.retain(|(known, _)| known != name),
        Fault::WildcardWithCredentials => {
            headers.retain(|(known, _)| {
                known != "access-control-allow-origin"
                    && known != "access-control-allow-credentials"
            });
            for (name, value) in
                [("access-control-allow-origin", "*"), ("access-control-allow-credentials", "true")]
            {
                headers.push((name.to_owned(), value.to_owned()));
            }
        }
        Fault::RemoveMethod(method) => {
            for (_, value) in
                headers.iter_mut().filter(|(name, _)| name == "access-control-allow-methods")
            {
                let left: Vec<&str> =
                    value.split(',').map(str::trim).filter(|name| *name != method).collect();
                *value = left.join(", ");
            }
        }
    }
}
