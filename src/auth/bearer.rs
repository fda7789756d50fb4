//! Reads the value of `Authorization`. PURE.
//!
//! TorchServe's pattern is `^Bearer\s+(\S+)$`: the scheme with a capital B, white space, one word
//! and nothing else. The white space is Java's `\s`.

/// The token of one header value.
pub(super) fn bearer(value: &[u8]) -> Option<&[u8]> {
    let rest = value.strip_prefix(b"Bearer")?;
    let spaces = rest.iter().take_while(|byte| is_space(**byte)).count();
    let token = &rest[spaces..];
    let one_word = !token.is_empty() && !token.iter().any(|byte| is_space(*byte));
    (spaces > 0 && one_word).then_some(token)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_torchserves_pattern_reads_and_nothing_else() {
        for (value, token) in [
            ("Bearer abc", Some("abc")),
            ("Bearer  \t abc", Some("abc")),
            ("Bearer a-b_c==", Some("a-b_c==")),
            ("Bearer Bearer", Some("Bearer")),
            ("Bearer \u{e9}", Some("\u{e9}")),
            ("bearer abc", None),
            ("BEARER abc", None),
            ("Bearerabc", None),
            ("Bearer", None),
            ("Bearer ", None),
            ("Bearer a b", None),
            ("Bearer abc ", None),
            (" Bearer abc", None),
            ("Basic abc", None),
            ("abc", None),
            ("", None),
        ] {
            assert_eq!(bearer(value.as_bytes()), token.map(str::as_bytes), "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn a_token_is_one_word_behind_the_scheme(
            spaces in "[ \t\n\r\x0b\x0c]{1,5}",
            token in r"[^ \t\n\r\x0b\x0c]{1,40}",
        ) {
            let value = format!("Bearer{spaces}{token}");
            prop_assert_eq!(bearer(value.as_bytes()), Some(token.as_bytes()));
        }

        // The other direction, on values that are nearly right: what is read must be the value's
        // only word behind `Bearer`, and what is not read must not have that form.
        #[test]
        fn agrees_with_splitting_at_white_space(value in "(Bearer|bearer|Bear|)[ \tBa]{0,6}") {
            let words: Vec<&str> = value.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
            let expected = match words.as_slice() {
                ["Bearer", token] if value.starts_with('B') && value.ends_with(token)
                    && !value.ends_with([' ', '\t']) => Some(token.as_bytes()),
                _ => None,
            };
            prop_assert_eq!(bearer(value.as_bytes()), expected, "{:?}", value);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic_and_whole(value in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(token) = bearer(&value) {
                prop_assert!(value.starts_with(b"Bearer") && value.ends_with(token));
                prop_assert!(!token.is_empty() && token.len() + "Bearer ".len() <= value.len());
            }
        }
    }
}
