//! What hostile and careless clients do, over real sockets: each is bounded, told where it can be,
//! and the server goes on. `docs/promises.md` has the table: which attack, which test, which limits.

mod bodies;
mod connections;
mod heads;
mod http2;
mod models;
mod names;

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process;
use crate::support::{TestServer, request};

pub const ROW: &str = "[0.1, -0.2, 0.3, 0.4]";
/// More than anything here takes, on a slow machine too.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What came until the server closed the connection.
pub struct Said {
    pub text: String,
    /// False: it was still open after [`PATIENCE`].
    pub closed: bool,
}

impl Said {
    /// The statuses of all answers.
    pub fn statuses(&self) -> Vec<u16> {
        let status = |(at, _): (usize, &str)| self.text[at + 9..at + 12].parse().unwrap();
        self.text.match_indices("HTTP/1.1 ").map(status).collect()
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads until the end; a reset is an end, too.
pub fn rest(stream: &mut TcpStream) -> Said {
    let (mut bytes, mut piece) = (Vec::new(), [0; 65_536]);
    let closed = loop {
        match stream.read(&mut piece) {
            Ok(0) => break true,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
            Err(error) => break error.kind() != std::io::ErrorKind::WouldBlock,
        }
    };
    Said { text: String::from_utf8_lossy(&bytes).into_owned(), closed }
}

/// Sends bytes on a connection of their own and reads until the server closes it.
pub fn say(address: SocketAddr, bytes: &[u8]) -> Said {
    let mut stream = connect(address);
    // It may answer and close before it has read everything.
    let _early = stream.write_all(bytes);
    rest(&mut stream)
}

/// The server answers a prediction.
#[track_caller]
pub fn is_alive(address: SocketAddr) {
    let began = Instant::now();
    let json = [("Content-Type", "application/json")];
    let answer = request(address, "POST", "/predictions/mlp", &json, ROW.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(began.elapsed() < PATIENCE);
}

pub fn serve(lines: &[&str]) -> TestServer {
    TestServer::start(&["mlp"], lines)
}

/// A server in a process of its own, whose memory can be told from that of the tests.
pub struct OwnProcess {
    pub inference: SocketAddr,
    child: Child,
    _log: std::thread::JoinHandle<()>,
    _folder: TempDir,
}

impl OwnProcess {
    pub fn serve(lines: &str) -> OwnProcess {
        OwnProcess::serve_models("mlp.mar", lines)
    }

    pub fn serve_models(models: &str, lines: &str) -> OwnProcess {
        let folder = tempfile::tempdir().unwrap();
        let lines = format!("load_models={models}\naccess_log=false\n{lines}");
        let mut text = process::properties(&lines);
        // One line of a key.
        if lines.contains("model_store=") {
            let own = text.lines().filter(|line| !line.ends_with("tests/goldens/archives"));
            text = own.collect::<Vec<_>>().join("\n");
        }
        let mut command = process::command(folder.path(), &text);
        let (child, inference, log) = process::start(&mut command);
        let log = std::thread::spawn(move || swallow(log));
        OwnProcess { inference, child, _log: log, _folder: folder }
    }

    /// Bytes of memory, at their highest.
    pub fn peak(&self) -> u64 {
        let status = Path::new("/proc").join(self.child.id().to_string()).join("status");
        let text = std::fs::read_to_string(status).unwrap();
        let line = text.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
    }
}

impl Drop for OwnProcess {
    fn drop(&mut self) {
        process::signal(&self.child, "-TERM");
        let _ended = self.child.wait();
    }
}

fn swallow(mut log: BufReader<ChildStdout>) {
    let _ended = std::io::copy(&mut log, &mut std::io::sink());
}
