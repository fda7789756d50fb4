//! `Vary`, merged: nothing that other layers said is lost, no name appears twice (B18).

use super::{
    syntax,
    wire::{HeaderMap, HeaderValue, header},
};

/// Adds the names in `ours`, a list without repetition. `Vary: *` already says everything.
pub(super) fn merge(headers: &mut HeaderMap, ours: &HeaderValue) {
    let lines = headers.get_all(&header::VARY).as_slice();
    let merged = match lines {
        [] => ours.clone(),
        lines => {
            let mut names: Vec<&[u8]> = Vec::new();
            for line in lines.iter().chain([ours]) {
                for name in line.as_bytes().split(|&byte| byte == b',').map(syntax::trim_ows) {
                    if !name.is_empty() && !names.iter().any(|n| n.eq_ignore_ascii_case(name)) {
                        names.push(name);
                    }
                }
            }
            if names.contains(&&b"*"[..]) {
                return;
            }
            // Parts of header values joined by a comma are a header value.
            let Ok(merged) = HeaderValue::from_bytes(&names.join(&b", "[..])) else { return };
            merged
        }
    };
    headers.insert(header::VARY, merged);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(lines: &[&'static str], ours: &'static str) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::VARY, HeaderValue::from_static(line));
        }
        merge(&mut headers, &HeaderValue::from_static(ours));
        headers.get_all(&header::VARY).map(|line| line.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn b18_vary_is_merged_without_loss_or_repetition() {
        assert_eq!(merged(&[], "Origin"), ["Origin"]);
        assert_eq!(merged(&["accept-encoding"], "Origin"), ["accept-encoding, Origin"]);
        assert_eq!(merged(&["origin"], "Origin"), ["origin"]);
        assert_eq!(merged(&["a, Origin", "b,,a"], "Origin"), ["a, Origin, b"]);
        assert_eq!(merged(&["a"], "Origin, A, B"), ["a, Origin, B"]);
    }

    #[test]
    fn b18_vary_asterisk_is_left_alone() {
        assert_eq!(merged(&["*"], "Origin"), ["*"]);
        assert_eq!(merged(&["a", "*"], "Origin"), ["a", "*"]);
    }
}
