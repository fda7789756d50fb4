//! What clients and archives may take: `docs/promises.md` has the defaults.

use std::num::NonZeroUsize;
use std::time::Duration;

/// What a client may hold of connections and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionBounds {
    /// Connections of one listener at a time (`connections_max`).
    pub total: usize,
    /// Those of one address (`connections_max_per_address`); none: no cap of their own.
    pub per_address: Option<NonZeroUsize>,
    /// A connection without a request is kept this long.
    pub keep_alive: Duration,
    /// A client has this long for each request head.
    pub head_timeout: Duration,
    /// A client that takes nothing of an answer for this long is left.
    pub write_timeout: Duration,
    /// So is one that takes fewer bytes a second.
    pub write_min_rate: u64,
    /// Requests of one HTTP/2 connection at a time (`streams_max`).
    pub streams: usize,
}

/// What a client may take for its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyBounds {
    /// A client that sends nothing of its body for this long is answered 408.
    pub timeout: Duration,
    /// So is one that sends fewer bytes a second.
    pub min_rate: u64,
    /// Bytes of request bodies in memory, of all clients together (`body_memory_max`).
    pub memory_max: usize,
    /// Parts of a multipart body, fields of a form (`parts_max`).
    pub parts_max: usize,
}

/// Limits on unpacking a model archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// Bytes of all unpacked files together.
    pub max_size: u64,
    /// Number of files and folders.
    pub max_entries: u64,
    /// Unpacked bytes per packed byte.
    pub max_ratio: u64,
}
