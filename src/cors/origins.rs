//! The compiled allow-list: exact origins in a hash set, patterns by port, scheme and suffix.
//!
//! Built once per policy, asked once per cross-origin request. A lookup costs one hash for an exact
//! origin and at most one more per label of the host for patterns, whatever the size of the list;
//! it never allocates, and no entry is ever matched by prefix, suffix or substring (B11).

use std::{collections::HashMap, sync::Arc};

use super::{
    diagnostic::{Finding, Parsed},
    origin::{self, MAX_ORIGIN_BYTES, OriginFault, SerializedOrigin},
    pattern::{HostPattern, OriginPattern, PortPattern},
    syntax,
};

/// What `cors.allowed.origin` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// Nothing: cross-origin resource sharing is off.
    #[default]
    None,
    /// `*`.
    Any,
    /// These origins and patterns, in configuration order, each once.
    Listed(Vec<OriginPattern>),
}

/// Where an entry stands in the list, for counters with one slot per entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryIndex(pub u32);

/// [`AllowedOrigins`] made ready for lookups.
#[derive(Clone, Debug)]
pub struct OriginSet {
    entries: Arc<[OriginPattern]>,
    any: bool,
    exact: ExactSet,
    by_port: HashMap<PortPattern, Vec<SchemeGroup>>,
}

/// A handful of origins is compared faster than hashed.
#[derive(Clone, Debug)]
enum ExactSet {
    Few(Vec<(Box<[u8]>, EntryIndex)>),
    Many(HashMap<Box<[u8]>, EntryIndex>),
}

/// The patterns of one scheme and one port.
#[derive(Clone, Debug, Default)]
struct SchemeGroup {
    scheme: Box<[u8]>,
    hosts: HashMap<Box<[u8]>, EntryIndex>,
    bases: HashMap<Box<[u8]>, EntryIndex>,
}

/// Up to this many exact origins are compared one by one.
const FEW: usize = 4;

// === impl AllowedOrigins ===

impl AllowedOrigins {
    /// Reads the value of `cors.allowed.origin`: a comma list, or `*` alone.
    pub fn parse(value: &str) -> Parsed<Self> {
        let mut findings = Vec::new();
        let entries: Vec<&str> = syntax::config_list(value).collect();
        if entries == ["*"] {
            return Parsed { value: Self::Any, findings };
        }
        if entries.contains(&"*") {
            findings.push(
                Finding::new("CORS-E011", "`*` must stand alone")
                    .fix("remove `*`, or the other origins"),
            );
        }
        let listed = entries.into_iter().filter(|&entry| entry != "*");
        let patterns = parse_entries(listed, |_, finding| findings.push(finding));
        Parsed { value: Self::from_patterns(patterns), findings }
    }

    /// The list, or [`AllowedOrigins::None`] when it is empty.
    pub fn from_patterns(patterns: Vec<OriginPattern>) -> Self {
        if patterns.is_empty() { Self::None } else { Self::Listed(patterns) }
    }

    /// The listed entries; none for `*`.
    pub fn patterns(&self) -> &[OriginPattern] {
        match self {
            Self::Listed(patterns) => patterns,
            Self::None | Self::Any => &[],
        }
    }

    /// Both lists, each entry once. `*` absorbs everything.
    #[must_use]
    pub fn union(self, more: Vec<OriginPattern>) -> Self {
        match self {
            Self::Any => Self::Any,
            Self::None => Self::from_patterns(more),
            Self::Listed(mut patterns) => {
                let known: std::collections::HashSet<_> = patterns.iter().cloned().collect();
                patterns.extend(more.into_iter().filter(|pattern| !known.contains(pattern)));
                Self::Listed(patterns)
            }
        }
    }
}

/// Reads entries one by one; `report` gets the position of each finding.
pub fn parse_entries<'a>(
    entries: impl Iterator<Item = &'a str>,
    mut report: impl FnMut(usize, Finding),
) -> Vec<OriginPattern> {
    let mut seen = std::collections::HashSet::new();
    let mut patterns = Vec::new();
    for (position, entry) in entries.enumerate() {
        match OriginPattern::parse(entry) {
            Ok(pattern) if seen.insert(pattern.clone()) => patterns.push(pattern),
            Ok(_) => {
                report(position, Finding::new("CORS-W112", format!("`{entry}` is listed twice")));
            }
            Err(finding) => report(position, finding),
        }
    }
    patterns
}

// === impl OriginSet ===

impl OriginSet {
    /// Prepares the lookups.
    pub fn new(origins: &AllowedOrigins) -> Self {
        let entries: Arc<[OriginPattern]> = origins.patterns().into();
        let mut exact = Vec::new();
        let mut by_port: HashMap<PortPattern, Vec<SchemeGroup>> = HashMap::new();
        for (index, entry) in (0u32..).map(EntryIndex).zip(entries.iter()) {
            if entry.is_exact() {
                exact.push((Box::from(entry.as_str().as_bytes()), index));
                continue;
            }
            let groups = by_port.entry(entry.port()).or_default();
            let scheme = entry.scheme().as_bytes();
            let at =
                groups.iter().position(|group| *group.scheme == *scheme).unwrap_or_else(|| {
                    groups.push(SchemeGroup { scheme: scheme.into(), ..SchemeGroup::default() });
                    groups.len() - 1
                });
            let group = &mut groups[at];
            match entry.host() {
                HostPattern::Exact(host) => group.hosts.insert(host.as_bytes().into(), index),
                HostPattern::Subdomains(base) => group.bases.insert(base.as_bytes().into(), index),
            };
        }
        let exact = if exact.len() > FEW {
            ExactSet::Many(exact.into_iter().collect())
        } else {
            ExactSet::Few(exact)
        };
        Self { entries, any: matches!(origins, AllowedOrigins::Any), exact, by_port }
    }

    /// `*`.
    pub fn is_any(&self) -> bool {
        self.any
    }

    /// No origin is allowed.
    pub fn is_empty(&self) -> bool {
        !self.any && self.entries.is_empty()
    }

    /// The entries in configuration order; none for `*`.
    pub fn entries(&self) -> &[OriginPattern] {
        &self.entries
    }

    /// The entry that covers the value of an `Origin` header, `None` when it is a sound origin that
    /// no entry covers. Says nothing about `*`.
    ///
    /// # Errors
    /// Why the value is no origin at all.
    pub fn find(&self, value: &[u8]) -> Result<Option<EntryIndex>, OriginFault> {
        if value.len() > MAX_ORIGIN_BYTES {
            return Err(OriginFault::TooLong);
        }
        // Entries are sound origins, so that equality proves the grammar.
        if let Some(index) = self.exact.find(value) {
            return Ok(Some(index));
        }
        let origin = SerializedOrigin::parse(value)?;
        Ok(self.find_pattern(&origin))
    }

    /// Where this entry stands.
    pub fn index_of(&self, entry: &OriginPattern) -> Option<EntryIndex> {
        if entry.is_exact() {
            return self.exact.find(entry.as_str().as_bytes());
        }
        let groups = self.by_port.get(&entry.port())?;
        let group = groups.iter().find(|group| *group.scheme == *entry.scheme().as_bytes())?;
        match entry.host() {
            HostPattern::Exact(host) => group.hosts.get(host.as_bytes()).copied(),
            HostPattern::Subdomains(base) => group.bases.get(base.as_bytes()).copied(),
        }
    }

    fn find_pattern(&self, origin: &SerializedOrigin<'_>) -> Option<EntryIndex> {
        if self.by_port.is_empty() {
            return None;
        }
        let port = origin.port.map_or(PortPattern::Default, PortPattern::Number);
        [port, PortPattern::Any]
            .iter()
            .filter_map(|port| self.by_port.get(port))
            .flatten()
            .filter(|group| *group.scheme == *origin.scheme)
            .find_map(|group| group.find(origin.host))
    }
}

// === impl ExactSet ===

impl ExactSet {
    fn find(&self, value: &[u8]) -> Option<EntryIndex> {
        match self {
            Self::Few(list) => list.iter().find(|(entry, _)| **entry == *value).map(|&(_, i)| i),
            Self::Many(map) => map.get(value).copied(),
        }
    }
}

// === impl SchemeGroup ===

impl SchemeGroup {
    fn find(&self, host: &[u8]) -> Option<EntryIndex> {
        if let Some(&index) = self.hosts.get(host) {
            return Some(index);
        }
        if self.bases.is_empty() || !origin::is_dotted_labels(host) {
            return None;
        }
        // Every dot starts a suffix; the labels before it are non-empty by the grammar (B13).
        let dots = host.iter().enumerate().filter(|&(_, &byte)| byte == b'.').map(|(at, _)| at);
        dots.filter_map(|dot| self.bases.get(&host[dot + 1..])).next().copied()
    }
}
