//! `docs/promises.md` says what is true: its tests exist, nothing is left out, its bounds are those of
//! the program.

use std::collections::BTreeSet;
use std::fs;

use torchfront::config::keys;

use crate::support::checkout;

/// The cells of every row of a table.
fn rows(text: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| {
        let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
        inner.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    text.lines()
        .filter(|line| line.starts_with('|') && !line.starts_with("|--"))
        .map(cells)
        .collect()
}

/// What stands between backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn document() -> String {
    fs::read_to_string(checkout("docs/promises.md")).unwrap()
}

#[test]
fn every_promise_and_every_attack_has_a_test_and_every_test_exists() {
    let text = document();
    let mut wrong = Vec::new();
    let mut named = BTreeSet::new();
    for row in rows(&text) {
        let tests: Vec<&str> = quoted(row.last().unwrap());
        let is_promise = row[0].strip_prefix('P').is_some_and(|n| n.parse::<u8>().is_ok());
        if !is_promise && row[0].parse::<u8>().is_err() {
            continue;
        }
        named.insert(row[0].clone());
        if tests.is_empty() {
            wrong.push(format!("{}: no test", row[0]));
        }
        for test in tests {
            let (file, name) = test.split_once("::").unwrap_or((test, ""));
            let text = fs::read_to_string(checkout(file)).unwrap_or_default();
            let is_there = match name {
                "" => text.contains("#[test]"),
                name => text.contains(&format!("fn {name}(")),
            };
            if !is_there {
                wrong.push(format!("{}: there is no {test}", row[0]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let promises = (1..=12).map(|n| format!("P{n}"));
    let attacks = (1..=37).map(|n: u8| n.to_string());
    assert_eq!(named, promises.chain(attacks).collect());
}

#[test]
fn every_attack_that_is_tested_is_in_the_table() {
    let text = document();
    let folder = fs::read_dir(checkout("tests/it/attacks")).unwrap();
    for file in folder.map(|entry| entry.unwrap().path()) {
        let source = fs::read_to_string(&file).unwrap();
        for (at, _) in source.match_indices("fn attack_") {
            let name = source[at + 3..].split('(').next().unwrap();
            assert!(text.contains(&format!("::{name}`")), "{name} is not in docs/promises.md");
        }
    }
}

#[test]
fn the_bounds_are_those_of_the_program() {
    let text = document();
    let table = text.split("## The bounds").nth(1).unwrap().split("## The attacks").next().unwrap();
    let bounds = rows(table);
    assert!(bounds.len() > 20);
    for row in &bounds[1..] {
        let (name, default) = (row[0].trim_matches('`'), row[1].trim_matches('`'));
        let key = keys::find(name).unwrap_or_else(|| panic!("{name} is no key"));
        assert_eq!(key.default, default, "{name}");
    }
}
