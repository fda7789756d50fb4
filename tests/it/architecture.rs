//! Who may import whom, as data. A new arrow between rooms is a decision: it is made here.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::checkout;

/// Each room, and the rooms that it may import.
const ROOMS: &[(&str, &[&str])] = &[
    ("allocator", &[]),
    ("archive", &[]),
    ("auth", &["unfinished"]),
    ("batching", &["engine", "handlers", "metrics", "trace"]),
    ("bench", &[]),
    ("cli", &[]),
    (
        "commands",
        &[
            "archive",
            "bench",
            "cli",
            "config",
            "cors",
            "engine",
            "handlers",
            "pid_file",
            "probe",
            "registry",
            "server",
            "telemetry",
        ],
    ),
    ("config", &["cli", "cors", "download", "metrics", "snapshot", "telemetry", "trace"]),
    ("cors", &[]),
    ("cors_live", &["cors", "metrics"]),
    ("download", &["metrics", "unfinished"]),
    ("engine", &[]),
    ("error", &["archive", "batching", "download", "engine", "handlers", "registry"]),
    ("handlers", &["engine"]),
    (
        "http",
        &[
            "auth",
            "batching",
            "cors",
            "cors_live",
            "error",
            "handlers",
            "metrics",
            "openapi",
            "pages",
            "registry",
            "trace",
        ],
    ),
    ("metrics", &["telemetry"]),
    ("openapi", &[]),
    ("pages", &[]),
    ("pid_file", &[]),
    ("probe", &["cors", "download"]),
    ("registry", &["archive", "batching", "download", "engine", "handlers", "metrics", "trace"]),
    (
        "server",
        &[
            "archive",
            "auth",
            "batching",
            "config",
            "cors",
            "cors_live",
            "download",
            "engine",
            "handlers",
            "http",
            "metrics",
            "registry",
            "snapshot",
            "trace",
            "unfinished",
        ],
    ),
    ("snapshot", &["unfinished"]),
    ("telemetry", &[]),
    ("trace", &["metrics"]),
    ("unfinished", &[]),
];

/// Crates that only some files may name: the crate, and where.
const CRATES: &[(&str, &[&str])] = &[
    ("libmimalloc_sys", &["allocator.rs"]),
    ("tch", &["engine/"]),
    ("torch_sys", &["engine/"]),
    (
        "actix_web",
        &[
            "http/",
            "server/",
            "middleware.rs",
            "cors/actix.rs",
            "cors/wire.rs",
            "cors/facts.rs",
            "tests.rs",
            "tests/",
        ],
    ),
    ("hyper", &["bench/", "download/", "probe/", "trace/"]),
    ("opentelemetry", &["trace/"]),
    ("opentelemetry_sdk", &["trace/"]),
    ("std::env::var", &["config/source.rs"]),
];

fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let root = checkout("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    let relative = |path: &PathBuf| path.strip_prefix(&root).unwrap().display().to_string();
    files.iter().map(|path| (relative(path), fs::read_to_string(path).unwrap())).collect()
}

/// The room that a file belongs to: its folder, or itself.
fn room(file: &str) -> &str {
    file.split('/').next().unwrap().trim_end_matches(".rs")
}

/// The code of a file without comments, and without its tests at the end.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let line = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The rooms that a piece of code names: `crate::room` and `use crate::{room, ...}`.
fn imports(code: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        rooms.push(std::mem::take(&mut word));
                        continue;
                    }
                    _ => {}
                }
                if depth == 0 {
                    word.push(c);
                }
            }
            rooms.push(word);
        } else {
            rooms.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    let first =
        |name: &String| name.trim().split("::").next().unwrap_or_default().trim().to_owned();
    rooms.iter().map(first).filter(|name| !name.is_empty()).collect()
}

#[test]
fn rooms_import_only_the_rooms_that_the_table_allows() {
    let table: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let own = room(&file);
        if matches!(own, "lib" | "main") || file.contains("tests") {
            continue;
        }
        let Some(allowed) = table.get(own) else {
            wrong.push(format!("src/{file}: the room {own} is not in the table"));
            continue;
        };
        for import in imports(&code(&text)) {
            // What is not a room is an item of the crate's root.
            let is_room = table.contains_key(import.as_str());
            if is_room && import != own && !allowed.contains(&import.as_str()) {
                wrong.push(format!("src/{file}: {own} may not import {import}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn crates_stay_in_the_rooms_that_know_them() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let code = code(&text);
        for (name, places) in CRATES {
            let named = code.match_indices(name).any(|(at, _)| {
                let before = code[..at].chars().next_back();
                let after = code[at + name.len()..].chars().next();
                let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
                !word(before) && !word(after)
            });
            if named && !places.iter().any(|place| file.contains(place)) {
                wrong.push(format!("src/{file}: {name} belongs to {places:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_opens_with_what_it_serves() {
    let silent: Vec<String> = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(file, _)| file)
        .collect();
    assert!(silent.is_empty(), "no `//!` at the top of {silent:?}");
}

#[test]
fn the_scan_sees_every_form_of_an_import() {
    let code =
        "use crate::cors::Cors;\nuse crate::{config::{Config, Level}, http};\ncrate::engine::x()";
    assert_eq!(imports(code), ["cors", "config", "http", "engine"]);
}
