//! The URL of a model: parsed once, and from then on what is matched, shown and asked for. PURE.

use std::fmt;

use url::{Host, Url};

use super::error::DownloadError;

/// An `http:` or `https:` URL without credentials, whose last segment can be a file of the store.
#[derive(Clone)]
pub struct ModelUrl {
    url: Url,
    /// Without the query.
    shown: String,
    file_name: String,
}

/// Bytes of a URL; no server takes longer ones.
const MAX_URL: usize = 8 << 10;
/// Bytes of a file name that every file system takes, with room for what is put before it.
const MAX_FILE_NAME: usize = 200;

// === impl ModelUrl ===

impl ModelUrl {
    /// None when `text` is no `http:` or `https:` URL at all.
    ///
    /// # Errors
    /// [`DownloadError::RelativePath`] or [`DownloadError::Url`].
    pub fn parse(text: &str) -> Option<Result<ModelUrl, DownloadError>> {
        let scheme = text.split_once("://")?.0;
        let known = ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
        known.then(|| ModelUrl::parse_known(text))
    }

    fn parse_known(text: &str) -> Result<ModelUrl, DownloadError> {
        if text.len() > MAX_URL {
            return Err(DownloadError::Url("it is longer than 8 KiB"));
        }
        if text.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(DownloadError::Url("it has a blank, a control character or a backslash"));
        }
        // TorchServe looks for this before it looks at anything else.
        let path = text.split(['?', '#']).next().unwrap_or(text);
        if path.contains("..") {
            // A password may stand before an `@`.
            let url = path.rsplit('@').next().unwrap_or(path).to_owned();
            return Err(DownloadError::RelativePath { url });
        }
        let url = Url::parse(text).map_err(|_| DownloadError::Url("it cannot be read"))?;
        ModelUrl::of(url)
    }

    fn of(mut url: Url) -> Result<ModelUrl, DownloadError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(DownloadError::Url("it is neither http: nor https:"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(DownloadError::Url(
                "it holds a user or a password; this server sends none, use a signed URL",
            ));
        }
        url.set_fragment(None);
        let mut shown = url.clone();
        shown.set_query(None);
        let file_name = shown.path_segments().and_then(|mut segments| segments.next_back());
        let file_name = file_name.unwrap_or_default().to_owned();
        Ok(ModelUrl { url, shown: shown.into(), file_name })
    }

    /// Where an answer of this URL sends its reader.
    ///
    /// # Errors
    /// [`DownloadError::Url`], also when the new URL leaves https.
    pub(super) fn redirected(&self, location: &str) -> Result<ModelUrl, DownloadError> {
        let cannot = |_| DownloadError::Url("it redirects to what is no URL");
        let url = ModelUrl::of(self.url.join(location).map_err(cannot)?)?;
        if self.is_tls() && !url.is_tls() {
            return Err(DownloadError::Url("it redirects from https to http"));
        }
        Ok(url)
    }

    /// The name that the model gets in the store.
    ///
    /// # Errors
    /// [`DownloadError::Url`] when the last segment is no name of a model's file.
    pub(super) fn check_file_name(&self) -> Result<(), DownloadError> {
        let name = self.file_name();
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-+%~".contains(c);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(fits) {
            return Err(DownloadError::Url(
                "its path must end in the name of a file: .../NAME.mar",
            ));
        }
        if name.len() > MAX_FILE_NAME {
            return Err(DownloadError::Url("the name of its file is longer than 200 bytes"));
        }
        Ok(())
    }

    /// The last segment of the path.
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// The whole, but for the query, which may be a secret.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// What `allowed_urls` is matched with: as it was parsed, so that it means what it looks like.
    pub(super) fn text(&self) -> &str {
        self.url.as_str()
    }

    pub(super) fn is_tls(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// A name, or an address in any of the spellings that URLs have for one.
    pub(super) fn host(&self) -> Option<Host<&str>> {
        self.url.host()
    }

    pub(super) fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(if self.is_tls() { 443 } else { 80 })
    }

    /// The header `Host`.
    pub(super) fn authority(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// What stands in the request line.
    pub(super) fn target(&self) -> String {
        let query = self.url.query().map(|query| format!("?{query}"));
        format!("{}{}", self.url.path(), query.unwrap_or_default())
    }
}

impl fmt::Debug for ModelUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> ModelUrl {
        ModelUrl::parse(text).expect(text).expect(text)
    }

    #[test]
    fn a_url_tells_its_parts_and_keeps_its_query_to_itself() {
        let url = parsed("HTTPS://Models.Example.com:8443/a/b%20c/m-1.0.mar?sig=secret#f");
        assert_eq!(url.shown(), "https://models.example.com:8443/a/b%20c/m-1.0.mar");
        assert_eq!(url.file_name(), "m-1.0.mar");
        assert_eq!(url.authority(), "models.example.com:8443");
        assert_eq!(url.target(), "/a/b%20c/m-1.0.mar?sig=secret");
        assert!(url.is_tls() && url.port() == 8443);
        assert!(!format!("{url:?}").contains("secret"));
        assert_eq!(parsed("http://x/m.mar").port(), 80);
    }

    #[test]
    fn what_is_no_http_url_is_left_to_others() {
        for text in ["m.mar", "file:///m.mar", "s3://b/m.mar", "http:/x", "C://x", ""] {
            assert!(ModelUrl::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn urls_that_lie_are_refused() {
        for text in [
            "http://good.example@evil.example/m.mar",
            "http://user:pw@host/m.mar",
            "http://host/../m.mar",
            "http://host/a\nb.mar",
            "http://host\\evil/m.mar",
            "http://",
            "http://[::1/m.mar",
            "http://a b/m.mar",
            "http://999.1.1.1/m.mar",
        ] {
            assert!(ModelUrl::parse(text).expect(text).is_err(), "{text}");
        }
        let long = format!("http://host/{}.mar", "x".repeat(9_000));
        assert!(ModelUrl::parse(&long).unwrap().is_err());
        for text in [
            "http://host/",
            "http://host",
            "http://host/a/",
            "http://host/.hidden",
            "http://host/a;b",
            "http://host/%2e%2e",
        ] {
            let name = ModelUrl::parse(text).unwrap().and_then(|url| url.check_file_name());
            assert!(name.is_err(), "{text}");
        }
    }

    #[test]
    fn redirects_are_urls_of_their_own_and_never_leave_tls() {
        let url = parsed("https://a.example/x/m.mar");
        assert_eq!(url.redirected("../y/n.mar").unwrap().shown(), "https://a.example/y/n.mar");
        assert_eq!(url.redirected("//b.example/n").unwrap().shown(), "https://b.example/n");
        for location in ["http://a.example/m.mar", "file:///etc/passwd", "https://u@b/", "https://"]
        {
            assert!(url.redirected(location).is_err(), "{location}");
        }
    }
}
