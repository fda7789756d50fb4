//! RFC 9110's small words: tokens, optional white space, comma lists. PURE.
//!
//! Used for configured lists and for `Access-Control-Request-*` values of any client, so nothing
//! here allocates or looks further than the bytes given.

/// RFC 9110 5.6.2 `tchar`, by byte.
const TOKEN_BYTES: [bool; 256] = {
    let mut bytes = [false; 256];
    let others = b"!#$%&'*+-.^_`|~";
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = (at as u8).is_ascii_alphanumeric();
        at += 1;
    }
    at = 0;
    while at < others.len() {
        bytes[others[at] as usize] = true;
        at += 1;
    }
    bytes
};

/// RFC 9110 5.6.2 `tchar`.
pub fn is_token_byte(byte: u8) -> bool {
    TOKEN_BYTES[usize::from(byte)]
}

/// RFC 9110 5.6.2 `token`: one or more `tchar`.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().copied().all(is_token_byte)
}

/// Without leading and trailing SP and HTAB, and nothing else (RFC 9110 5.6.3).
pub fn trim_ows(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The elements of a configured comma list: trimmed, empty ones left out.
pub fn config_list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|element| !element.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_no_separator_and_is_not_empty() {
        assert!(is_token(b"x-custom-token") && is_token(b"*") && is_token(b"M-SEARCH"));
        for bad in [&b""[..], b"a b", b"a,b", b"a;b", b"a:b", b"(a)", b"a\"", b"\xc3\xbc", b"a\t"] {
            assert!(!is_token(bad), "{bad:?}");
        }
    }

    #[test]
    fn optional_white_space_is_blank_and_tab_only() {
        assert_eq!(trim_ows(b" \ta b\t "), b"a b");
        assert_eq!(trim_ows("\u{a0}a".as_bytes()), "\u{a0}a".as_bytes());
        assert_eq!(trim_ows(b" \t "), b"");
    }

    #[test]
    fn empty_elements_of_a_configured_list_do_not_count() {
        assert_eq!(config_list(" a , ,b,, ").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(config_list("").count(), 0);
    }
}
