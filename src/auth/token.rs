//! One key. Its text leaves this type in one place only, the key file; no log line and no error can
//! hold it.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

/// Random bytes of a key: 128 bits cannot be guessed.
const RANDOM_BYTES: usize = 16;

/// A key as its holder sends it: base64url, 22 characters.
#[derive(Clone)]
pub(super) struct Token(String);

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("no access token can be made: the operating system gives no random bytes: {0}")]
pub struct NoRandomness(#[from] getrandom::Error);

// === impl Token ===

impl Token {
    /// A new key.
    pub(super) fn generate() -> Result<Token, NoRandomness> {
        let mut bytes = [0; RANDOM_BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Token(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Whether `presented` is this key. The time does not depend on where the two differ; that it
    /// depends on the length tells nothing, all keys are equally long.
    pub(super) fn matches(&self, presented: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(presented).into()
    }

    /// The text, for the key file.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn is_22_characters_of_base64url_and_never_the_same_twice() {
        let tokens: BTreeSet<String> = (0..200).map(|_| Token::generate().unwrap().0).collect();
        assert_eq!(tokens.len(), 200);
        for token in &tokens {
            assert_eq!(URL_SAFE_NO_PAD.decode(token).unwrap().len(), RANDOM_BYTES, "{token}");
        }
    }

    #[test]
    fn matches_itself_and_nothing_near() {
        let token = Token::generate().unwrap();
        let text = token.reveal().as_bytes();
        assert!(token.matches(text));
        for at in 0..text.len() {
            let mut other = text.to_vec();
            other[at] ^= 1;
            assert!(!token.matches(&other), "differs at {at}");
            assert!(!token.matches(&text[..at]), "cut at {at}");
        }
        assert!(!token.matches(&[text, b"A"].concat()));
    }

    #[test]
    fn is_not_shown() {
        let token = Token::generate().unwrap();
        assert_eq!(format!("{token:?}"), "Token(redacted)");
    }
}
