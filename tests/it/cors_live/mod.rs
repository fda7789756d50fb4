//! CORS while a server runs: what is counted and shown, and policies that change under it.

mod browsers;
mod changes;
mod telemetry;
mod under_load;

use std::net::SocketAddr;

use crate::support::{Answer, TestServer, request};

const APP: &str = "https://app.example.com";
const OTHER: &str = "https://other.example.com";
const EVIL: &str = "https://evil.example";

fn preflight(address: SocketAddr, path: &str, origin: &str, method: &str) -> Answer {
    let headers = [("Origin", origin), ("Access-Control-Request-Method", method)];
    request(address, "OPTIONS", path, &headers, b"")
}

fn ask(address: SocketAddr, path: &str, origin: &str) -> Answer {
    request(address, "GET", path, &[("Origin", origin)], b"")
}

fn allowed(answer: &Answer) -> Option<String> {
    answer.header("access-control-allow-origin")
}

fn metrics(server: &TestServer) -> String {
    request(server.metrics, "GET", "/metrics", &[], b"").text().replace(",}", "}")
}

/// The sum of all samples of a name whose labels hold these texts.
fn sum(text: &str, name: &str, labels: &[&str]) -> f64 {
    let samples = text.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    let wanted = samples.filter(|line| labels.iter().all(|label| line.contains(label)));
    wanted.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// The configuration with one text in place of another, written as an editor does: elsewhere, then
/// renamed.
fn edit(server: &TestServer, from: &str, to: &str) {
    let file = server.folder.path().join("config.properties");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{text}");
    let new = server.folder.path().join("config.new");
    std::fs::write(&new, text.replace(from, to)).unwrap();
    std::fs::rename(new, file).unwrap();
}

fn reload(server: &TestServer) -> Answer {
    request(server.management, "POST", "/cors/reload", &[], b"")
}
