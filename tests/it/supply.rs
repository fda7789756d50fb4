//! What this program is made of: licences that its own allows, `unsafe` where it is known.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::checkout;

/// Licences that are compatible with Apache-2.0, for a program that is given away. `deny.toml` has the
/// same list.
const LICENCES: [&str; 12] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Files with `unsafe`, and why it has to be there.
const UNSAFE: [(&str, &str); 6] = [
    ("src/allocator.rs", "an option of the allocator, for which its crate has no safe call"),
    ("src/engine/cuda.rs", "opens the CUDA libraries with dlopen"),
    ("src/engine/ivalue.rs", "calls libtorch's C++ through the shim"),
    ("src/engine/scheduling/kernel.rs", "system calls that no crate wraps"),
    ("src/engine/shim.rs", "calls libtorch's C++ through the shim"),
    ("src/engine/threads.rs", "glibc's mallopt, which takes two numbers"),
];

/// Whether an SPDX expression leaves a choice that is allowed: `A OR (B AND C)`.
fn is_allowed(expression: &str) -> bool {
    let expression = expression.trim();
    let whole = |inner: &&str| split(inner, ")").len() == 1;
    if let Some(inner) = expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'))
        && Some(inner).filter(whole).is_some()
    {
        return is_allowed(inner);
    }
    match (split(expression, " OR "), split(expression, " AND ")) {
        (alternatives, _) if alternatives.len() > 1 => alternatives.into_iter().any(is_allowed),
        (_, parts) if parts.len() > 1 => parts.into_iter().all(is_allowed),
        _ => LICENCES.contains(&expression),
    }
}

/// Splits at `word` outside of parentheses.
fn split<'a>(expression: &'a str, word: &str) -> Vec<&'a str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_i32);
    for (at, character) in expression.char_indices() {
        if depth == 0 && at >= start && expression[at..].starts_with(word) {
            parts.push(&expression[start..at]);
            start = at + word.len();
        }
        depth += match character {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
    }
    parts.push(&expression[start..]);
    parts
}

fn cargo(arguments: &[&str]) -> Vec<u8> {
    let output =
        Command::new(env!("CARGO")).args(arguments).current_dir(checkout("")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The system that this is built on, as cargo calls it. The crates of others are not here, unless somebody
/// fetched them; `make audit` looks at all.
fn host() -> String {
    let version = String::from_utf8(cargo(&["-vV"])).unwrap();
    version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned()
}

#[test]
fn every_crate_that_is_linked_has_a_licence_that_is_allowed() {
    let host = host();
    let known = ["metadata", "--format-version", "1", "--locked", "--offline", "--all-features"];
    let metadata = cargo(&[&known[..], &["--filter-platform", &host]].concat());
    let metadata: Value = serde_json::from_slice(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100);
    let mut wrong = Vec::new();
    for package in packages {
        let (name, licence) = (&package["name"], package["license"].as_str().unwrap_or("none"));
        // The form of old manifests.
        if !is_allowed(&licence.replace('/', " OR ").replace("  ", " ")) {
            wrong.push(format!("{name}: {licence}"));
        }
        let source = package["source"].as_str().unwrap_or("own");
        if source != "own" && !source.starts_with("registry+https://github.com/rust-lang/crates.io")
        {
            wrong.push(format!("{name}: from {source}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_expressions_of_licences_are_read() {
    for allowed in ["MIT OR GPL-3.0", "(MIT OR GPL-3.0) AND Unicode-3.0", "(MIT AND Zlib)", "ISC"] {
        assert!(is_allowed(allowed), "{allowed}");
    }
    for refused in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND GPL-3.0", "none", ""] {
        assert!(!is_allowed(refused), "{refused}");
    }
}

#[test]
fn unsafe_code_stands_in_named_files_with_a_reason_each() {
    let mut found = BTreeSet::new();
    let mut folders = vec![checkout("src")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap_or_default();
            let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
            let uses = |line: &str| {
                ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "unsafe_code"]
                    .iter()
                    .any(|word| line.contains(word))
            };
            if path.extension().is_some_and(|end| end == "rs") && code.clone().any(uses) {
                let path = path.strip_prefix(checkout("")).unwrap();
                found.insert(path.display().to_string());
            }
        }
    }
    let named: BTreeMap<&str, &str> = UNSAFE.into_iter().collect();
    assert!(named.values().all(|reason| reason.len() > 10));
    assert_eq!(found, named.keys().map(|file| (*file).to_owned()).collect());
    // The lint that keeps it out of every other file.
    let manifest = fs::read_to_string(checkout("Cargo.toml")).unwrap();
    assert!(manifest.contains("unsafe_code = \"deny\""));
}
