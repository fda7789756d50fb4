//! Text to words as TorchServe's `text_classifier` does it. PURE.
//!
//! Called by `words.rs`. In this order: markup and entities go, lower case, contractions, accents and
//! everything that is not ASCII go (NFKD), punctuation goes, split at blanks; then runs of up to
//! `ngrams` words.

use std::sync::LazyLock;

use icu_normalizer::DecomposingNormalizerBorrowed;
use regex::Regex;

use super::contractions::expand;

/// TorchServe's `CLEANUP_REGEX`.
static MARKUP: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new("<.*?>|&([a-z0-9]+|#[0-9]{1,6}|#x[0-9a-f]{1,6});").ok());

/// The words of a text.
pub(super) fn words(text: &str) -> Vec<String> {
    let text = match &*MARKUP {
        Some(markup) => markup.replace_all(text, ""),
        None => text.into(),
    };
    let text = expand(&text.to_lowercase());
    let decomposed = DecomposingNormalizerBorrowed::new_nfkd().normalize(&text);
    let mut plain = String::with_capacity(decomposed.len());
    for byte in decomposed.bytes().filter(u8::is_ascii) {
        if !byte.is_ascii_punctuation() {
            plain.push(char::from(byte.to_ascii_lowercase()));
        }
    }
    plain.split(is_blank).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The words, then each two in a row joined by a blank, then each three, up to `longest`.
pub(super) fn ngrams(words: &[String], longest: usize) -> impl Iterator<Item = String> {
    (1..=longest).flat_map(move |size| words.windows(size).map(|run| run.join(" ")))
}

/// What Python's `str.split` splits at, of ASCII.
fn is_blank(letter: char) -> bool {
    matches!(letter, '\t'..='\r' | '\x1c'..='\x1f' | ' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Golden {
        text: String,
        tokens: Vec<String>,
    }

    // `goldens/english.json`: TorchServe 0.12's own functions, by `goldens/make.py`.
    #[test]
    fn words_are_those_of_torchserve() {
        let goldens: Vec<Golden> =
            serde_json::from_str(include_str!("goldens/english.json")).unwrap();
        assert!(goldens.len() > 150);
        for Golden { text, tokens } in goldens {
            let found: Vec<_> = ngrams(&words(&text), 2).collect();
            assert_eq!(found, tokens, "{text:?}");
        }
        assert!(MARKUP.is_some());
    }

    #[test]
    fn runs_of_words_come_after_the_words() {
        let words = ["here", "we", "are"].map(str::to_owned);
        let all: Vec<_> = ngrams(&words, 3).collect();
        assert_eq!(all, ["here", "we", "are", "here we", "we are", "here we are"]);
        assert_eq!(ngrams(&words[..1], 2).count(), 1);
    }
}
