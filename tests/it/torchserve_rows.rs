//! `docs/torchserve.md` is true: what it names exists, and it names every key.

use std::collections::BTreeSet;
use std::fs;

use crate::support::checkout;

/// Sections of the document whose rows must each name something.
const SECTIONS: usize = 7;

fn read(path: &str) -> String {
    fs::read_to_string(checkout(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names of all requests that TorchServe has answered.
fn cases() -> Vec<String> {
    let folder = fs::read_dir(checkout("tests/torchserve/recorded")).unwrap();
    let files = folder.map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|end| end == "json"));
    let names = files.flat_map(|path| {
        let text = fs::read_to_string(path).unwrap();
        let answers: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&text).unwrap();
        answers.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    });
    names.collect()
}

/// The rows of tables with two columns, below the second heading: what, and what keeps it.
fn rows(document: &str) -> Vec<(String, String)> {
    let body = document.split("\n## 1.").nth(1).unwrap();
    let rows = body.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| row "));
    rows.map(|line| {
        let line = line.replace("\\|", "/");
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 2, "{line}");
        (cells[0].to_owned(), cells[1].to_owned())
    })
    .collect()
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// D.. outside of backticks.
fn differences(text: &str) -> Vec<&str> {
    let plain = text.split('`').step_by(2);
    let words = plain.flat_map(|part| part.split(|c: char| !c.is_ascii_alphanumeric()));
    words
        .filter(|word| word.len() == 3 && word.starts_with('D'))
        .filter(|word| word[1..].bytes().all(|byte| byte.is_ascii_digit()))
        .collect()
}

/// True when the file has this function: Rust's or Python's.
fn has_function(path: &str, name: &str) -> bool {
    let text = fs::read_to_string(checkout(path)).unwrap_or_default();
    [format!("fn {name}("), format!("def {name}(")].iter().any(|start| text.contains(start))
}

/// Why a reference leads nowhere; none when it leads somewhere.
fn dangling(reference: &str, cases: &[String]) -> Option<String> {
    if let Some(pattern) = reference.strip_prefix("case ") {
        let pattern = glob::Pattern::new(pattern).unwrap();
        return (!cases.iter().any(|case| pattern.matches(case)))
            .then(|| format!("no recorded request is called {pattern}"));
    }
    let (place, name) = reference.split_once("::")?;
    let candidates = match place.strip_prefix("it/") {
        Some(file) => vec![format!("tests/it/{file}.rs")],
        None if place.starts_with("tests/") => vec![place.to_owned()],
        None => vec![format!("src/{place}.rs"), format!("src/{place}/mod.rs")],
    };
    (!candidates.iter().any(|path| has_function(path, name)))
        .then(|| format!("{name} is not in {candidates:?}"))
}

#[test]
fn every_row_names_what_keeps_it_and_that_exists() {
    let document = read("docs/torchserve.md");
    assert_eq!(document.matches("\n## ").count(), SECTIONS);
    let (readme, cases) = (read("README.md"), cases());
    assert!(cases.len() > 600, "{}", cases.len());
    let rows = rows(&document);
    assert!(rows.len() > 250, "{}", rows.len());
    let mut wrong = Vec::new();
    for (row, keeper) in &rows {
        let references: Vec<&str> =
            quoted(keeper).into_iter().filter(|text| is_reference(text)).collect();
        let differences = differences(keeper);
        let said = ["a notice", "a warning", "none:", "shown as"];
        if references.is_empty()
            && differences.is_empty()
            && !said.iter().any(|words| keeper.contains(words))
            && !keeper.contains("see 2.2")
        {
            wrong.push(format!("{row}: nothing is named"));
        }
        for reference in references {
            wrong.extend(dangling(reference, &cases).map(|why| format!("{row}: {why}")));
        }
        for difference in differences {
            if !readme.contains(&format!("| {difference} |")) {
                wrong.push(format!("{row}: the README has no {difference}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn is_reference(text: &str) -> bool {
    text.starts_with("case ") || text.contains("::")
}

#[test]
fn every_key_of_torchserve_and_every_difference_has_its_row() {
    let document = read("docs/torchserve.md");
    let rows = rows(&document);
    let keys: BTreeSet<&str> = rows.iter().flat_map(|(row, _)| quoted(row)).collect();
    let missing: Vec<&str> = torchfront::config::keys::TORCHSERVE
        .iter()
        .chain(torchfront::config::keys::TORCHSERVE_EXTRA)
        .map(|key| key.name)
        // Of a TorchServe before 0.12.
        .filter(|name| *name != "metrics_format" && !keys.contains(name))
        .collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn a_reference_that_leads_nowhere_is_found() {
    let cases = ["list".to_owned(), "list-limit=1".to_owned()];
    assert_eq!(dangling("case list-*", &cases), None);
    assert!(dangling("case lists", &cases).is_some());
    assert_eq!(dangling("it/torchserve_rows::quoted", &cases), None);
    assert!(dangling("it/torchserve_rows::unquoted", &cases).is_some());
    assert!(dangling("config/tests::nothing", &cases).is_some());
    assert_eq!(dangling("tests/clients/run.py::main", &cases), None);
    assert_eq!(differences("`D01` D22, D3 and D400; D05"), ["D22", "D05"]);
}
