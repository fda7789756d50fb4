//! The name of one archive entry, checked. PURE.
//!
//! Called for every zip and tar entry before anything of it is read. An [`EntryPath`] is relative,
//! goes only downwards, and means the same on every file system.

/// Bytes of a whole name.
const MAX_LENGTH: usize = 1024;
/// Bytes of one component: what ext4, XFS, APFS and NTFS take.
const MAX_COMPONENT_LENGTH: usize = 255;
/// Components of a name.
const MAX_DEPTH: usize = 32;

/// A relative path with `/` between its components, without `.`, `..` or empty ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EntryPath(String);

// === impl EntryPath ===

impl EntryPath {
    /// Checks a name as it stands in the archive. A single trailing `/` (a directory) is dropped.
    ///
    /// # Errors
    /// The rule that is broken, as the end of a sentence that begins with the entry's name.
    pub(super) fn parse(raw: &[u8]) -> Result<EntryPath, &'static str> {
        if raw.len() > MAX_LENGTH {
            return Err("has a name of more than 1,024 bytes");
        }
        let name = std::str::from_utf8(raw).map_err(|_| "has a name that is not UTF-8")?;
        let name = name.strip_suffix('/').unwrap_or(name);
        if name.is_empty() {
            return Err("has an empty name");
        }
        if name.contains(char::is_control) {
            return Err("has a control character in its name");
        }
        if name.contains('\\') {
            return Err("has a backslash in its name");
        }
        if name.starts_with('/') {
            return Err("has an absolute path");
        }
        if matches!(name.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic()) {
            return Err("begins with a drive letter");
        }
        for (depth, component) in name.split('/').enumerate() {
            if depth == MAX_DEPTH {
                return Err("lies deeper than 32 directories");
            }
            match component {
                "" => return Err("has an empty component in its path"),
                "." => return Err("has `.` in its path"),
                ".." => return Err("has `..` in its path and would leave the model's directory"),
                _ if component.len() > MAX_COMPONENT_LENGTH => {
                    return Err("has a path component of more than 255 bytes");
                }
                _ => {}
            }
        }
        Ok(EntryPath(name.to_owned()))
    }

    /// The path with `/` between its components.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The directories above, outermost first.
    pub(super) fn parents(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(end, _)| &self.0[..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_torch_model_archiver_writes() {
        for name in ["model.pt", "MAR-INF/MANIFEST.json", "MAR-INF/", "a b/ü.txt", "..a", "ab:c"] {
            let path = EntryPath::parse(name.as_bytes()).expect(name);
            assert_eq!(path.as_str(), name.trim_end_matches('/'));
        }
    }

    #[test]
    fn refuses_every_name_that_could_leave_or_confuse_the_directory() {
        let long = "x".repeat(256);
        let deep = "d/".repeat(32) + "x";
        let huge = "abc/".repeat(300);
        let names: [&[u8]; 21] = [
            b"",
            b"/",
            b"//",
            b"..",
            b"../x",
            b"a/../../x",
            b"a/..",
            b"./a",
            b"a/./b",
            b"a//b",
            b"/etc/passwd",
            b"C:/x",
            b"c:x",
            b"..\\x",
            b"\\\\host\\share",
            b"a\0b",
            b"a\nb",
            b"\xff\xfe",
            long.as_bytes(),
            deep.as_bytes(),
            huge.as_bytes(),
        ];
        for name in names {
            assert!(EntryPath::parse(name).is_err(), "{:?}", String::from_utf8_lossy(name));
        }
    }

    #[test]
    fn lists_the_directories_above_from_the_outside_in() {
        let path = EntryPath::parse(b"a/b/c").expect("a valid name");
        assert_eq!(path.parents().collect::<Vec<_>>(), ["a", "a/b"]);
    }
}
