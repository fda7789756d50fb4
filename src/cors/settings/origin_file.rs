//! `cors.allowed.origin.file`: an allow-list of its own, one entry per line, `#` for comments.
//!
//! Read at start and merged with the inline list. `*` is not allowed in it: a file that tenants
//! fill must not open the server to everyone.

use std::path::{Path, PathBuf};

use super::{Setting, files::Files, operation::OriginFile};
use crate::cors::{
    diagnostic::{Diagnostic, Finding},
    origins,
    pattern::OriginPattern,
};

/// Reads the file that a setting names; none when it cannot be read.
pub fn read(
    setting: &Setting,
    files: &dyn Files,
    report: &mut Vec<Diagnostic>,
) -> Option<(Vec<OriginPattern>, OriginFile)> {
    let path = resolve(setting);
    let text = match files.read(&path) {
        Ok(text) => text,
        Err(why) => {
            report.push(
                setting.diagnose(
                    Finding::new("CORS-E090", format!("`{}`: {why}", path.display()))
                        .fix("name a readable text file with one origin per line"),
                ),
            );
            return None;
        }
    };
    let patterns = parse(&text, |line, finding| {
        let code = if finding.code.starts_with("CORS-W") { finding.code } else { "CORS-E091" };
        let message = format!("`{}`:{line}: {}", path.display(), finding.message);
        report.push(setting.diagnose(Finding { code, message, ..finding }));
    });
    let entries = patterns.len();
    Some((patterns, OriginFile { path, text, entries }))
}

/// Reads entries; `report` gets the line of each finding, 1 is the first.
fn parse(text: &str, mut report: impl FnMut(usize, Finding)) -> Vec<OriginPattern> {
    let lines: Vec<(usize, &str)> = (1..)
        .zip(text.trim_start_matches('\u{feff}').lines())
        .map(|(line, entry)| (line, entry.split('#').next().unwrap_or_default().trim()))
        .filter(|(_, entry)| !entry.is_empty())
        .collect();
    for (line, entry) in &lines {
        if *entry == "*" {
            let finding = Finding::new("CORS-E091", "`*` is not allowed in the file");
            report(*line, finding.fix("list the origins"));
        }
    }
    let entries: Vec<(usize, &str)> =
        lines.into_iter().filter(|(_, entry)| *entry != "*").collect();
    origins::parse_entries(entries.iter().map(|(_, entry)| *entry), |position, finding| {
        report(entries.get(position).map_or(0, |(line, _)| *line), finding);
    })
}

/// Relative paths start in the folder of the configuration file.
pub fn resolve(setting: &Setting) -> PathBuf {
    let folder = Path::new(&setting.file).parent().unwrap_or(Path::new(""));
    folder.join(setting.value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e091_names_the_line_of_a_bad_entry() {
        let mut found = Vec::new();
        let text =
            "# tenants\nhttps://a.example # first\n\n*\nhttps://b.example/\n https://a.example \n";
        let patterns = parse(text, |line, finding| found.push((line, finding.code)));
        assert_eq!(patterns.len(), 1);
        assert_eq!(found, [(4, "CORS-E091"), (5, "CORS-E014"), (6, "CORS-W112")]);
    }
}
