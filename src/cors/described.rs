//! What a policy says as text: for the hash that names it, and for the difference between two.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::{listener::ListenerPolicy, policy::CorsPolicy, spec::PolicySpec};

/// Hexadecimal digits of a hash.
const HASH_DIGITS: usize = 8;

impl PolicySpec {
    /// Every property but the origins and the acknowledgements: name and value.
    pub fn described(&self) -> [(&'static str, String); 16] {
        let debug = |value: &dyn std::fmt::Debug| format!("{value:?}").to_ascii_lowercase();
        let hosts = |list: &super::HostList| list.listed().collect::<Vec<_>>().join(", ");
        let cache_control = self.preflight_cache_control.as_ref();
        [
            ("allowed.methods", self.methods.header_value()),
            ("allowed.headers", self.headers.header_value()),
            ("exposed.headers", self.exposed.header_value().unwrap_or_default()),
            ("allow.credentials", self.credentials.to_string()),
            ("max.age", self.max_age.to_string()),
            ("block.disallowed", debug(&self.block)),
            ("allow.timing", self.timing.to_string()),
            ("allow.private.network", self.private_network.to_string()),
            ("preflight.status", debug(&self.preflight_status)),
            (
                "preflight.cache.control",
                cache_control.map(|value| debug(value)).unwrap_or_default(),
            ),
            ("mode", debug(&self.mode)),
            ("debug", self.debug.to_string()),
            ("engine", debug(&self.engine)),
            ("same.origin.hosts", hosts(&self.same_origin_hosts)),
            ("allowed.hosts", hosts(&self.allowed_hosts)),
            ("https", self.https.to_string()),
        ]
    }
}

impl CorsPolicy {
    /// The entries of the allow-list, sorted; `*` alone for any origin.
    pub fn sorted_origins(&self) -> Vec<&str> {
        if self.origins().is_any() {
            return vec!["*"];
        }
        let entries = self.origins().entries().iter();
        let mut entries: Vec<&str> = entries.map(|entry| entry.as_str()).collect();
        entries.sort_unstable();
        entries
    }
}

/// The hash of what a listener's policies say: 8 hexadecimal digits, the same on every machine. The
/// order of an allow-list does not matter.
pub fn hash(listener: &ListenerPolicy) -> String {
    let mut hasher = Sha256::new();
    for policy in std::iter::once(listener.base()).chain(listener.overrides()) {
        hasher.update(policy.label().as_bytes());
        hasher.update([0]);
        if let Some(route) = listener.route_of(policy) {
            hasher.update(route.to_string());
        }
        for (name, value) in policy.spec().described() {
            hasher.update([1]);
            hasher.update(name);
            hasher.update([2]);
            hasher.update(value);
        }
        for origin in policy.sorted_origins() {
            hasher.update([3]);
            hasher.update(origin);
        }
    }
    hex(&hasher.finalize())
}

/// The hash of several hashes, or of a text.
pub fn hash_of_text(text: &str) -> String {
    hex(&Sha256::digest(text))
}

fn hex(digest: &[u8]) -> String {
    let mut text = String::with_capacity(HASH_DIGITS);
    for byte in &digest[..HASH_DIGITS / 2] {
        // Writing to a string cannot fail.
        let _written = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::settings::{ListenerFacts, Setting, compile};
    use super::*;

    fn hash_of(lines: &[(&str, &str)]) -> String {
        let settings: Vec<_> =
            lines.iter().map(|(key, value)| Setting::in_file(key, value, "f", 1)).collect();
        hash(&compile(&settings, &ListenerFacts::default()).policies.expect("sound").inference)
    }

    #[test]
    fn a_hash_changes_with_everything_that_a_policy_says_and_with_nothing_else() {
        let origins = ("cors.allowed.origin", "https://a.example, https://b.example");
        let first = hash_of(&[origins]);
        assert_eq!(first.len(), HASH_DIGITS);
        assert_eq!(
            first,
            hash_of(&[("cors.allowed.origin", "https://b.example,https://a.example")])
        );
        assert_eq!(first, hash_of(&[origins, ("cors.max.age", "600")]));
        assert_eq!(first, hash_of(&[origins, ("cors.log", "all")]));
        let mut all = vec![first];
        for more in [
            ("cors.max.age", "601"),
            ("cors.allow.credentials", "true"),
            ("cors.allowed.headers", "X-A"),
            ("cors.exposed.headers", "X-A"),
            ("cors.allowed.methods", "GET"),
            ("cors.block.disallowed", "all"),
            ("cors.mode", "shadow"),
            ("cors.debug", "true"),
            ("cors.preflight.status", "200"),
            ("cors.preflight.cache.control", "public"),
            ("cors.allowed.hosts", "a.example"),
            ("cors.same.origin.hosts", "a.example"),
            ("cors.allow.private.network", "true"),
            ("cors.model.m.allowed.origin", "https://a.example"),
        ] {
            all.push(hash_of(&[origins, more]));
        }
        let mut route = |path| {
            let path = ("cors.route.r.path", path);
            all.push(hash_of(&[origins, ("cors.route.r.max.age", "5"), path]));
        };
        route("/a");
        route("/b");
        route("/a/*");
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len(), "{all:?}");
    }
}
