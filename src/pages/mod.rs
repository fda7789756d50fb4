//! The two web pages that the program carries: the console and the API's description. PURE.
//!
//! Files, and the headers they are sent with. Nothing of them comes from a model, a request or another
//! server: they are the same bytes for everybody, so that they need no key, and what they show they
//! ask for with one. Served by `http/page.rs`.

#[cfg(test)]
mod tests;

/// A file of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    /// `/console`.
    Console,
    /// `/console/console.js`.
    ConsoleScript,
    /// `/docs`.
    Docs,
    /// `/docs/docs.js`.
    DocsScript,
    /// `/console/dom.js`, `/docs/dom.js`: what both scripts share.
    Dom,
    /// `/console/style.css`, `/docs/style.css`.
    Style,
    /// `/console/icon.svg`, `/docs/icon.svg`.
    Icon,
}

/// The headers of every file.
///
/// No script, style or frame but from here, and none inline; a script cannot write markup
/// (`require-trusted-types-for`); no page, of this server or another, puts it into a frame.
pub const HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
];

// === impl File ===

impl File {
    /// The file that the segments of a path name.
    pub fn of(segments: &[&str]) -> Option<File> {
        Some(match segments {
            ["console"] => File::Console,
            ["console", "console.js"] => File::ConsoleScript,
            ["docs"] => File::Docs,
            ["docs", "docs.js"] => File::DocsScript,
            ["console" | "docs", "dom.js"] => File::Dom,
            ["console" | "docs", "style.css"] => File::Style,
            ["console" | "docs", "icon.svg"] => File::Icon,
            _ => return None,
        })
    }

    /// True for the page itself, whose links are relative to its path.
    pub fn is_page(self) -> bool {
        matches!(self, File::Console | File::Docs)
    }

    /// Its media type.
    pub fn content_type(self) -> &'static str {
        match self {
            File::Console | File::Docs => "text/html; charset=utf-8",
            File::ConsoleScript | File::DocsScript | File::Dom => "text/javascript; charset=utf-8",
            File::Style => "text/css; charset=utf-8",
            File::Icon => "image/svg+xml",
        }
    }

    /// Its bytes.
    pub fn bytes(self) -> &'static [u8] {
        match self {
            File::Console => include_bytes!("static/console.html"),
            File::ConsoleScript => include_bytes!("static/console.js"),
            File::Docs => include_bytes!("static/docs.html"),
            File::DocsScript => include_bytes!("static/docs.js"),
            File::Dom => include_bytes!("static/dom.js"),
            File::Style => include_bytes!("static/style.css"),
            File::Icon => include_bytes!("static/icon.svg"),
        }
    }
}
