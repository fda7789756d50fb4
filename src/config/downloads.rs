//! The keys of downloads: `allowed_urls` and the `download_` keys.
//!
//! Called by `mod.rs`.

use super::error::Note;
use super::source::Gathered;
use super::typed::Typed;
use crate::download::{AllowedNetworks, AllowedUrls, DownloadLimits, DownloadPolicy};

/// What needs no parser of its own; no URL is allowed yet.
pub(super) fn policy(typed: &Typed) -> DownloadPolicy {
    let limits = DownloadLimits {
        max_size: typed.number("download_max_size").unwrap_or(0),
        timeout: typed.seconds("download_timeout"),
        min_rate: typed.number("download_min_rate").unwrap_or(0),
    };
    DownloadPolicy { limits, ..DownloadPolicy::default() }
}

/// Which URLs and networks are allowed.
pub(super) fn read(policy: &mut DownloadPolicy, found: &mut Gathered) {
    if let Some(setting) = found.settings.get("allowed_urls") {
        match AllowedUrls::parse(&setting.value) {
            Ok(urls) => {
                let warning = urls.warning();
                let note = |text| format!("{}: allowed_urls: {text}", setting.origin);
                found.notes.extend(warning.map(note).map(Note::warning));
                policy.urls = urls;
            }
            Err(expected) => found.errors.push(setting.wrong(&expected)),
        }
    }
    if let Some(setting) = found.settings.get("download_allowed_networks") {
        match AllowedNetworks::parse(&setting.value) {
            Ok(networks) => policy.networks = networks,
            Err(expected) => found.errors.push(setting.wrong(&expected)),
        }
    }
}
