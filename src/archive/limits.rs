//! How much an archive may unpack to, and the running count while it does.
//!
//! Set by the configuration (`archive_max_size`, `archive_max_entries`, `archive_max_ratio`), kept
//! by `tree.rs`, which counts what is really written: sizes in headers are only claims.

/// Unpacked bytes that are always allowed, whatever the ratio: small archives of zeros are normal
/// (a freshly initialised model), and a bomb of this size harms nobody.
const RATIO_FREE_BYTES: u64 = 16 << 20;

/// What one archive may unpack to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// `archive_max_size`: bytes of all files together.
    pub max_size: u64,
    /// `archive_max_entries`: files and directories, those that only occur in paths included.
    pub max_entries: u64,
    /// `archive_max_ratio`: unpacked bytes for each byte of the archive, once 16 MiB are unpacked.
    pub max_ratio: u64,
}

/// The limit that an archive passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// [`ArchiveLimits::max_size`].
    Size,
    /// [`ArchiveLimits::max_entries`].
    Entries,
    /// [`ArchiveLimits::max_ratio`].
    Ratio,
}

/// What has been unpacked so far.
#[derive(Debug)]
pub(super) struct Budget {
    limits: ArchiveLimits,
    archive_size: u64,
    entries: u64,
    bytes: u64,
}

/// A limit was passed; `max` is its configured value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exceeded {
    pub(super) limit: Limit,
    pub(super) max: u64,
}

// === impl ArchiveLimits ===

impl Default for ArchiveLimits {
    /// 16 GiB: above the largest TorchScript model in common use. 10,000 entries: a model with its
    /// tokenizer has tens. 200: trained weights hardly compress, and deflate can reach 1,032.
    fn default() -> ArchiveLimits {
        ArchiveLimits { max_size: 8 << 30, max_entries: 10_000, max_ratio: 200 }
    }
}

// === impl Limit ===

impl Limit {
    /// The configuration key that raises this limit.
    pub fn key(self) -> &'static str {
        match self {
            Limit::Size => "archive_max_size",
            Limit::Entries => "archive_max_entries",
            Limit::Ratio => "archive_max_ratio",
        }
    }

    /// What the archive did, as the middle of a sentence.
    pub(super) fn description(self) -> &'static str {
        match self {
            Limit::Size => "unpacks to more bytes than allowed",
            Limit::Entries => "holds more files and directories than allowed",
            Limit::Ratio => "unpacks to more times its own size than allowed",
        }
    }
}

// === impl Budget ===

impl Budget {
    /// For an archive of `archive_size` bytes.
    pub(super) fn new(limits: ArchiveLimits, archive_size: u64) -> Budget {
        Budget { limits, archive_size, entries: 0, bytes: 0 }
    }

    /// Counts `count` more files or directories.
    pub(super) fn add_entries(&mut self, count: u64) -> Result<(), Exceeded> {
        self.entries = self.entries.saturating_add(count);
        self.check_entries(self.entries)
    }

    /// Counts `count` more unpacked bytes, before they are written.
    pub(super) fn add_bytes(&mut self, count: u64) -> Result<(), Exceeded> {
        self.bytes = self.bytes.saturating_add(count);
        self.check_bytes(self.bytes)
    }

    /// Would `entries` be too many? Nothing is counted: for a total that a header claims.
    pub(super) fn check_entries(&self, entries: u64) -> Result<(), Exceeded> {
        if entries > self.limits.max_entries {
            return Err(Exceeded { limit: Limit::Entries, max: self.limits.max_entries });
        }
        Ok(())
    }

    /// Would `bytes` be too many? Nothing is counted: for a total that headers claim.
    pub(super) fn check_bytes(&self, bytes: u64) -> Result<(), Exceeded> {
        if bytes > self.limits.max_size {
            return Err(Exceeded { limit: Limit::Size, max: self.limits.max_size });
        }
        let allowed = self.archive_size.saturating_mul(self.limits.max_ratio);
        if bytes > allowed.max(RATIO_FREE_BYTES) {
            return Err(Exceeded { limit: Limit::Ratio, max: self.limits.max_ratio });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ArchiveLimits =
        ArchiveLimits { max_size: 1 << 30, max_entries: 3, max_ratio: 10 };

    #[test]
    fn allows_exactly_the_limit_and_not_one_more() {
        let mut budget = Budget::new(LIMITS, 1 << 28);
        assert_eq!(budget.add_bytes(1 << 30), Ok(()));
        assert_eq!(budget.add_bytes(1), Err(Exceeded { limit: Limit::Size, max: 1 << 30 }));
        assert_eq!(budget.add_entries(3), Ok(()));
        assert_eq!(budget.add_entries(1), Err(Exceeded { limit: Limit::Entries, max: 3 }));
    }

    #[test]
    fn counts_the_ratio_only_above_sixteen_mebibytes() {
        let budget = Budget::new(LIMITS, 1);
        assert_eq!(budget.check_bytes(16 << 20), Ok(()));
        let exceeded = Exceeded { limit: Limit::Ratio, max: 10 };
        assert_eq!(budget.check_bytes((16 << 20) + 1), Err(exceeded));
    }

    #[test]
    fn does_not_overflow_on_absurd_claims() {
        let mut budget = Budget::new(ArchiveLimits { max_ratio: u64::MAX, ..LIMITS }, u64::MAX);
        assert!(budget.add_bytes(u64::MAX).is_err());
        assert!(budget.add_bytes(u64::MAX).is_err());
    }
}
