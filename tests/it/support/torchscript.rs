//! Archives whose model does what no committed model should: `echo` with other code.

use std::fs::{self, File};
use std::io::{Cursor, Read, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::checkout;

/// Writes an archive `file.mar` into `store`: a model of this name and version whose `forward` takes a
/// tensor `x` and has these lines of TorchScript as its body.
pub fn altered_echo(store: &Path, file: &str, (name, version): (&str, &str), forward: &[&str]) {
    let echo = fs::read(checkout("tests/goldens/archives/echo.mar")).unwrap();
    let altered = rewritten(&echo, |entry, content| match entry {
        "model.pt" => rewritten(&content, |entry, content| {
            if !entry.ends_with(".py") {
                return content;
            }
            let text = String::from_utf8(content).unwrap();
            let body: String = forward.iter().map(|line| format!("    {line}\n")).collect();
            let altered = text.replace("    return torch.clone(x)\n", &body);
            assert_ne!(altered, text, "echo is not what it was");
            altered.into_bytes()
        }),
        _ => {
            let text = String::from_utf8(content).unwrap();
            let text = text.replace("\"echo\"", &format!("\"{name}\""));
            text.replace("\"1.0\"", &format!("\"{version}\"")).into_bytes()
        }
    });
    File::create(store.join(format!("{file}.mar"))).unwrap().write_all(&altered).unwrap();
}

/// A ZIP file with every entry changed.
fn rewritten(zip: &[u8], change: impl Fn(&str, Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    let mut from = ZipArchive::new(Cursor::new(zip)).unwrap();
    let mut to = ZipWriter::new(Cursor::new(Vec::new()));
    // As libtorch writes them.
    let stored = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .with_alignment(64);
    for index in 0..from.len() {
        let mut entry = from.by_index(index).unwrap();
        let (name, mut content) = (entry.name().unwrap().into_owned(), Vec::new());
        entry.read_to_end(&mut content).unwrap();
        to.start_file(&name, stored).unwrap();
        to.write_all(&change(&name, content)).unwrap();
    }
    to.finish().unwrap().into_inner()
}
