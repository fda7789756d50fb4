//! `allowed_urls`: TorchServe's list of regular expressions. PURE.
//!
//! Each must match a URL from its first to its last character, upper and lower case alike, as in
//! TorchServe. What is matched is the URL as it was parsed, without user, password or `..`. Without a
//! list nothing may be downloaded; TorchServe would download everything.

use regex::{Regex, RegexBuilder};

use super::error::DownloadError;
use super::model_url::ModelUrl;

/// Which URLs may be downloaded.
#[derive(Clone, Debug, Default)]
pub struct AllowedUrls(Vec<Regex>);

/// Bytes of a compiled expression.
const MAX_COMPILED: usize = 1 << 20;
/// A host that nobody means to allow.
const STRANGER: &str = "https://stranger.invalid/m.mar";

// === impl AllowedUrls ===

impl AllowedUrls {
    /// Reads expressions between commas.
    ///
    /// # Errors
    /// The expression that cannot be read, and why.
    pub fn parse(list: &str) -> Result<AllowedUrls, String> {
        let parts = list.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(anchored).collect::<Result<_, _>>().map(AllowedUrls)
    }

    /// What the operator should know of the list.
    pub fn warning(&self) -> Option<&'static str> {
        let lets_in = self.0.iter().any(|regex| regex.is_match(STRANGER));
        lets_in.then_some(
            "every host of the Internet is allowed; name yours, for example \
             https://models\\.example\\.com/.*",
        )
    }

    /// Whether `url` may be downloaded.
    ///
    /// # Errors
    /// [`DownloadError::NotAllowed`] or [`DownloadError::Url`].
    pub(super) fn check(&self, url: &ModelUrl) -> Result<(), DownloadError> {
        if !self.0.iter().any(|regex| regex.is_match(url.text())) {
            let is_empty = self.0.is_empty();
            return Err(DownloadError::NotAllowed { url: url.shown().to_owned(), is_empty });
        }
        url.check_file_name()
    }

    /// As [`AllowedUrls::check`], for a URL that another one redirects to: what the file is called
    /// is settled.
    ///
    /// # Errors
    /// [`DownloadError::NotAllowed`].
    pub(super) fn check_redirect(&self, url: &ModelUrl) -> Result<(), DownloadError> {
        match self.check(url) {
            Err(DownloadError::Url(_)) => Ok(()),
            checked => checked,
        }
    }
}

fn anchored(expression: &str) -> Result<Regex, String> {
    let whole = format!(r"\A(?:{expression})\z");
    RegexBuilder::new(&whole).case_insensitive(true).size_limit(MAX_COMPILED).build().map_err(
        |error| {
            // The last line of the crate's drawing is the reason.
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("regular expressions between commas; {expression:?}: {reason}")
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(list: &str, url: &str) -> bool {
        let url = ModelUrl::parse(url).unwrap().unwrap();
        AllowedUrls::parse(list).unwrap().check(&url).is_ok()
    }

    #[test]
    fn a_url_must_match_as_a_whole() {
        let list = r"https://s3\.amazonaws\.com/models/.*\.mar, http://10\.0\.0\.1:9000/.*";
        assert!(allows(list, "https://s3.amazonaws.com/models/a/m.mar"));
        assert!(allows(list, "HTTPS://S3.AMAZONAWS.COM/MODELS/m.MAR"));
        assert!(allows(list, "http://10.0.0.1:9000/m.mar"));
        for url in [
            "https://s3.amazonaws.com.evil.example/models/m.mar",
            "https://evil.example/https://s3.amazonaws.com/models/m.mar",
            "https://s3xamazonaws.com/models/m.mar",
            "http://s3.amazonaws.com/models/m.mar",
            "https://s3.amazonaws.com:8443/models/m.mar",
            "https://s3.amazonaws.com/models/m.mar?x",
            "http://10.0.0.1/m.mar",
        ] {
            assert!(!allows(list, url), "{url}");
        }
        // An alternative is anchored at both of its ends, too.
        assert!(!allows("file://.*|http://a/.*", "http://b/?http://a/"));
        assert!(!allows("", "https://a.example/m.mar"));
    }

    #[test]
    fn what_is_refused_is_said_with_torchserves_words_and_the_key() {
        let url = ModelUrl::parse("https://a.example/m.mar?sig=secret").unwrap().unwrap();
        let refused =
            |list: &str| AllowedUrls::parse(list).unwrap().check(&url).unwrap_err().to_string();
        let text = "Given URL https://a.example/m.mar does not match any allowed URL(s)";
        assert_eq!(refused("http://b/.*"), text);
        assert!(refused("").starts_with(text) && refused("").contains("allowed_urls"));
    }

    #[test]
    fn expressions_are_read_at_the_start() {
        let error = AllowedUrls::parse("https://a/.*, (").unwrap_err();
        assert!(error.contains("\"(\"") && error.contains("unclosed group"), "{error}");
        assert!(AllowedUrls::parse(&format!("(a{{{}}}){{9999}}", 9999)).is_err());
        let torchserve = AllowedUrls::parse("file://.*|http(s)?://.*").unwrap();
        assert!(torchserve.warning().is_some());
        assert_eq!(AllowedUrls::parse(r"https://a\.b/.*").unwrap().warning(), None);
    }
}
