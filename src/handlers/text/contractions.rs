//! Contractions as TorchServe's `text_classifier` expands them (`reference`: TorchServe's
//! `contractions.py`, read as a rule): the first spelling that fits, without a look at what is around
//! it, and the first letter is kept, so that `ain't` becomes `as not`. PURE.
//!
//! A spelling that starts with another one of the list is never reached and not in the table: of
//! `can't've`, `can't` is expanded.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// Stems before `n't`, with what follows the first letter in the expansion.
const NOT: &[(&str, &str)] = &[
    ("ai", "is not"),
    ("are", "are not"),
    ("ca", "cannot"),
    ("could", "could not"),
    ("did", "did not"),
    ("does", "does not"),
    ("do", "do not"),
    ("had", "had not"),
    ("has", "has not"),
    ("have", "have not"),
    ("is", "is not"),
    ("may", "may not"),
    ("might", "might not"),
    ("must", "must not"),
    ("need", "need not"),
    ("ought", "ought not"),
    ("sha", "shall not"),
    ("should", "should not"),
    ("was", "was not"),
    ("were", "were not"),
    ("wo", "will not"),
    ("would", "would not"),
];

/// Endings and the words that may have them.
const ENDINGS: &[(&str, &str, &[&str])] = &[
    (
        "'ve",
        " have",
        &[
            "could", "i", "might", "must", "should", "so", "they", "to", "we", "what", "when",
            "where", "who", "why", "will", "would", "you",
        ],
    ),
    ("'d", " would", &["he", "i", "it", "she", "that", "there", "they", "we", "you"]),
    ("'d", " did", &["how", "where"]),
    ("'ll", " will", &["he", "how", "i", "it", "she", "they", "we", "what", "who", "you"]),
    (
        "'s",
        " is",
        &["he", "how", "it", "she", "that", "there", "what", "when", "where", "who", "why"],
    ),
    ("'s", " us", &["let"]),
    ("'s", " as", &["so"]),
    ("'m", " am", &["i"]),
    ("'re", " are", &["they", "we", "what", "you"]),
];

/// All others.
const OTHERS: &[(&str, &str)] = &[
    ("'cause", "because"),
    ("ma'am", "madam"),
    ("o'clock", "of the clock"),
    ("sha'n't", "shall not"),
    ("y'all", "you all"),
];

/// Spellings and expansions, and the pattern that finds the spellings.
struct Table {
    spellings: Vec<(String, String)>,
    pattern: Option<Regex>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let not = NOT.iter().map(|(stem, whole)| (format!("{stem}n't"), (*whole).to_owned()));
    let endings = ENDINGS.iter().flat_map(|(ending, meaning, stems)| {
        stems.iter().map(move |stem| (format!("{stem}{ending}"), format!("{stem}{meaning}")))
    });
    let others = OTHERS.iter().map(|(one, two)| ((*one).to_owned(), (*two).to_owned()));
    let spellings: Vec<(String, String)> = not.chain(endings).chain(others).collect();
    let alternatives = spellings.iter().map(|(spelling, _)| spelling.as_str());
    // The spellings are plain letters and apostrophes: it compiles, as a test shows.
    let pattern = Regex::new(&alternatives.collect::<Vec<_>>().join("|")).ok();
    Table { spellings, pattern }
});

/// Lower-case text with its contractions expanded and without apostrophes.
pub(super) fn expand(text: &str) -> String {
    let table = &*TABLE;
    let expansion = |found: &Captures<'_>| {
        let found = &found[0];
        let whole = table.spellings.iter().find(|(spelling, _)| spelling == found);
        match (found.chars().next(), whole) {
            (Some(first), Some((_, whole))) => format!("{first}{}", &whole[1..]),
            _ => found.to_owned(),
        }
    };
    let expanded = match &table.pattern {
        Some(pattern) => pattern.replace_all(text, expansion),
        None => Cow::Borrowed(text),
    };
    expanded.replace('\'', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    // Python: `TextHandler._expand_contractions` of TorchServe 0.12; `english.json` has many more.
    #[test]
    fn contractions_are_expanded_as_torchserve_does() {
        assert!(TABLE.pattern.is_some());
        for (text, expanded) in [
            ("i'd say it ain't so", "i would say it as not so"),
            ("can't've won't shan't sha'n't", "cannotve will not shall not shall not"),
            ("'cause y'all'd've", "ecause you alldve"),
            ("o'clock ma'am let's so's", "of the clock madam let us so as"),
            ("the'd rock'n'roll 'quoted'", "the would rocknroll quoted"),
        ] {
            assert_eq!(expand(text), expanded, "{text}");
        }
    }
}
