//! `docs/cors-guide.md` and `docs/runbook-cors.md` hold what they promise: every line of the table has
//! a proof that exists, every command is one that the binary knows, every alert has its section.

use std::collections::BTreeSet;
use std::path::Path;

use regex::Regex;
use serde_json::Value;
use torchfront::cli::Cli;

use crate::support::checkout;

fn read(path: &str) -> String {
    std::fs::read_to_string(checkout(path)).unwrap()
}

/// Every line of the guide for reliability engineers.
fn items() -> Vec<String> {
    let numbers = |prefix: &str, from: usize, to: usize| {
        (from..=to).map(|n| format!("{prefix}{n}")).collect::<Vec<_>>()
    };
    [
        numbers("2.", 1, 53),
        numbers("F", 1, 7),
        numbers("G", 1, 40),
        numbers("M", 1, 7),
        numbers("2.", 60, 82),
        numbers("U", 1, 10),
        numbers("S", 1, 4),
        numbers("X", 1, 24),
        numbers("2.", 90, 131),
    ]
    .concat()
}

/// The text of all sources and tests.
fn sources() -> String {
    fn walk(folder: &Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut text = String::new();
    for folder in ["src", "tests/it"] {
        walk(&checkout(folder), &mut text);
    }
    text
}

/// The anchors of a document's headings.
fn anchors(document: &str) -> BTreeSet<String> {
    let anchor = |heading: &str| -> String {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept =
            heading.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-' || *c == '_');
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    document.lines().filter(|line| line.starts_with('#')).map(anchor).collect()
}

#[test]
fn every_line_of_the_guide_has_a_proof_that_exists() {
    let guide = read("docs/cors-guide.md");
    let (_, guide) = guide.split_once("## Every line of the guide").unwrap();
    let rows: Vec<Vec<&str>> = guide
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .map(|line| line.split(" | ").collect())
        .collect();
    let (sources, rules) = (sources(), read("deploy/prometheus/torchfront-cors.rules.yml"));
    let boards = ["executive", "oncall", "debug"]
        .map(|name| read(&format!("deploy/grafana/torchfront-cors-{name}.json")))
        .concat();
    let vectors: Value = serde_json::from_str(&read("tests/cors/vectors.json")).unwrap();
    let cases: Vec<&str> = vectors["groups"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| group["cases"].as_array().unwrap())
        .map(|case| case["id"].as_str().unwrap())
        .collect();
    let quoted = Regex::new("`([^`]+)`").unwrap();
    let mut wrong = Vec::new();
    for item in items() {
        let found: Vec<_> = rows.iter().filter(|row| row[0] == item).collect();
        let [row] = found[..] else {
            wrong.push(format!("{item} has {} lines", found.len()));
            continue;
        };
        let proof = row[row.len() - 1];
        let mut proofs = usize::from(proof.contains("does not apply: ") || proof.contains("]("));
        for name in quoted.captures_iter(proof).map(|found| found[1].to_owned()) {
            let exists = if let Some(alert) = name.strip_prefix("alert ") {
                rules.contains(&format!("- alert: {alert}\n"))
            } else if let Some(case) = name.strip_prefix("vectors ") {
                cases.iter().any(|id| id.starts_with(&format!("{case}-")))
            } else if name.starts_with("ts_cors_") {
                // tests/operations/run.py holds them against a server.
                rules.contains(&name) || boards.contains(&name)
            } else if name.contains('/') && !name.contains(':') {
                checkout(&name).exists()
            } else if name.contains('_') {
                sources.contains(&format!("fn {name}("))
            } else {
                // A word of the text.
                continue;
            };
            proofs += 1;
            if !exists {
                wrong.push(format!("{item}: there is no `{name}`"));
            }
        }
        if proofs == 0 {
            wrong.push(format!("{item} has no proof: {proof}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn links_of_the_documents_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)#\s]*)(#[^)\s]*)?\)").unwrap();
    let mut wrong = Vec::new();
    for document in ["docs/cors-guide.md", "docs/runbook-cors.md", "docs/cors.md"] {
        let text = read(document);
        for found in link.captures_iter(&text) {
            let (path, anchor) = (&found[1], found.get(2).map(|anchor| &anchor.as_str()[1..]));
            if path.contains("://") {
                continue;
            }
            let target = match path {
                "" => document.to_owned(),
                path => format!("docs/{path}"),
            };
            let there = checkout(&target).exists()
                && anchor.is_none_or(|anchor| anchors(&read(&target)).contains(anchor));
            if !there {
                wrong.push(format!("{document}: {}", &found[0]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_runbook_names_commands_that_exist_and_every_alert() {
    let mut commands = 0;
    for document in ["docs/runbook-cors.md", "docs/cors-guide.md"] {
        for line in read(document).lines() {
            let Some(line) = line.strip_prefix("$ torchfront ") else { continue };
            let line = line.split([';', '|', '>']).next().unwrap();
            let words = std::iter::once("torchfront").chain(line.split_whitespace());
            let parsed = <Cli as clap::Parser>::try_parse_from(words);
            assert!(parsed.is_ok(), "{document}: {line}: {}", parsed.err().unwrap());
            commands += 1;
        }
    }
    assert!(commands > 10, "{commands} commands");
    let sections = anchors(&read("docs/runbook-cors.md"));
    let rules = read("deploy/prometheus/torchfront-cors.rules.yml");
    for line in rules.lines() {
        if let Some((_, anchor)) = line.split_once("runbook: docs/runbook-cors.md#") {
            assert!(sections.contains(anchor), "no section for {anchor}: {sections:?}");
        }
    }
}
