//! What an entry of an allow-list may be: every refusal with the spelling that was meant.

use super::*;

fn refused(entry: &str) -> (&'static str, String) {
    let finding = OriginPattern::parse(entry).expect_err(entry);
    (finding.code, finding.fix.unwrap_or_default())
}

#[test]
fn sound_entries_are_kept_as_written() {
    for entry in [
        "https://mywebapp.com",
        "http://localhost:3000",
        "http://localhost:*",
        "https://*.example.com",
        "https://*.example.com:8443",
        "https://*.example.com:*",
        "http://127.0.0.1:3000",
        "http://[::1]:3000",
        "http://[2001:db8::1]",
        "https://xn--mnchen-3ya.example",
        "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
        "capacitor://localhost",
        "http://a_b.example",
        "https://1.example",
    ] {
        assert_eq!(OriginPattern::parse(entry).unwrap().as_str(), entry);
    }
}

#[test]
fn e012_to_e026_say_what_to_write_instead() {
    for (entry, code, fix) in [
        ("null", "CORS-E012", ""),
        ("NULL", "CORS-E012", ""),
        ("mywebapp.com", "CORS-E013", "https://mywebapp.com"),
        ("//mywebapp.com", "CORS-E013", "https://mywebapp.com"),
        ("https:mywebapp.com", "CORS-E013", "https://mywebapp.com"),
        ("localhost:3000", "CORS-E013", "http://localhost:3000"),
        ("*.mywebapp.com", "CORS-E013", "https://*.mywebapp.com"),
        ("https://", "CORS-E013", "https://www.example.com"),
        ("https:///x", "CORS-E013", ""),
        ("ht_tp://a.example", "CORS-E013", "https://a.example"),
        ("https://mywebapp.com.", "CORS-E013", "https://mywebapp.com"),
        ("https://my%20app.com", "CORS-E013", ""),
        ("https://a..example", "CORS-E013", ""),
        ("https://:8080", "CORS-E013", ""),
        ("https://mywebapp.com/", "CORS-E014", "https://mywebapp.com"),
        ("https://mywebapp.com/app", "CORS-E014", "https://mywebapp.com"),
        ("https://mywebapp.com?x=1", "CORS-E014", "https://mywebapp.com"),
        ("https://mywebapp.com#x", "CORS-E014", "https://mywebapp.com"),
        ("https://mywebapp.com/*", "CORS-E014", "https://mywebapp.com"),
        ("https://user:pw@mywebapp.com", "CORS-E015", "https://mywebapp.com"),
        ("https://MyWebApp.com", "CORS-E016", "https://mywebapp.com"),
        ("HTTPS://mywebapp.com", "CORS-E016", "https://mywebapp.com"),
        ("https://mywebapp.com:443", "CORS-E017", "https://mywebapp.com"),
        ("http://mywebapp.com:80", "CORS-E017", "http://mywebapp.com"),
        ("https://mywebapp.com:", "CORS-E018", ""),
        ("https://mywebapp.com:0", "CORS-E018", ""),
        ("https://mywebapp.com:65536", "CORS-E018", ""),
        ("https://mywebapp.com:08443", "CORS-E018", "https://mywebapp.com:8443"),
        ("https://mywebapp.com:http", "CORS-E018", ""),
        ("https://mywebapp.com:80*", "CORS-E018", ""),
        ("https://m\u{fc}nchen.example", "CORS-E019", "https://xn--mnchen-3ya.example"),
        (
            "https://*.m\u{fc}nchen.example:8443",
            "CORS-E019",
            "https://*.xn--mnchen-3ya.example:8443",
        ),
        ("http://127.1:3000", "CORS-E020", "http://127.0.0.1:3000"),
        ("http://0x7f000001", "CORS-E020", "http://127.0.0.1"),
        ("http://::1", "CORS-E020", "http://[::1]"),
        ("http://[0:0:0:0:0:0:0:1]:3000", "CORS-E020", "http://[::1]:3000"),
        ("http://[fe80::1%25eth0]", "CORS-E020", "http://[fe80::1]"),
        ("http://[::ffff:10.0.0.1]", "CORS-E020", "http://10.0.0.1"),
        ("http://300.1.1.1", "CORS-E020", ""),
        ("http://[::1", "CORS-E020", ""),
        ("\"https://mywebapp.com\"", "CORS-E021", ""),
        ("https://a.example https://b.example", "CORS-E021", ""),
        ("https://a.example;https://b.example", "CORS-E021", ""),
        ("https://*", "CORS-E022", ""),
        ("https://*:8443", "CORS-E022", ""),
        ("https://*.", "CORS-E022", ""),
        ("https://*mywebapp.com", "CORS-E022", ""),
        ("https://mywebapp.com*", "CORS-E022", ""),
        ("https://mywebapp.*", "CORS-E022", ""),
        ("https://api.*.example.com", "CORS-E022", ""),
        ("https://**.example.com", "CORS-E022", ""),
        ("https://*.*.example.com", "CORS-E022", ""),
        ("*://mywebapp.com", "CORS-E022", ""),
        ("http://*.127.0.0.1:3000", "CORS-E022", "http://127.0.0.1:3000"),
        ("http://*.[::1]:3000", "CORS-E022", "http://[::1]:3000"),
        ("file://", "CORS-E025", ""),
        ("file:///home/me/index.html", "CORS-E025", ""),
        ("^https://.*\\.example\\.com$", "CORS-E026", "https://*.example.com"),
        ("https?://example.com", "CORS-E026", ""),
        ("https://(a|b).example.com", "CORS-E026", ""),
        ("https://[a-z]+.example.com", "CORS-E026", ""),
    ] {
        let (found, proposal) = refused(entry);
        assert_eq!(found, code, "{entry}");
        assert!(proposal.contains(fix), "{entry}: {proposal}");
    }
}

#[test]
fn e013_a_host_and_an_origin_are_bounded() {
    let labels = vec!["a"; 127].join(".");
    assert!(OriginPattern::parse(&format!("https://{labels}")).is_ok());
    assert_eq!(refused(&format!("https://a{labels}.b")).0, "CORS-E013");
    assert_eq!(refused(&format!("{}://a", "s".repeat(330))).0, "CORS-E013");
}

#[test]
fn every_proposal_with_a_spelling_is_itself_sound() {
    for entry in [
        "mywebapp.com",
        "https://A.example/",
        "http://127.1:3000",
        "localhost:3000/x",
        "https://u@a.example:443",
        "https://a.example:080",
        "https://\u{fc}.example:*",
        "http://::1",
    ] {
        let mut entry = entry.to_owned();
        // Several mistakes take several turns.
        for _ in 0..4 {
            match OriginPattern::parse(&entry) {
                Ok(_) => break,
                Err(finding) => {
                    let fix = finding.fix.unwrap();
                    entry = fix.split('`').nth(1).unwrap().to_owned();
                }
            }
        }
        assert!(OriginPattern::parse(&entry).is_ok(), "{entry}");
    }
}

#[test]
fn e023_public_suffixes_are_known_from_the_list() {
    let suffix = |entry| OriginPattern::parse(entry).unwrap().public_suffix().map(str::to_owned);
    for entry in ["https://*.com", "https://*.co.uk", "https://*.github.io", "https://*.internal"] {
        assert!(suffix(entry).is_some(), "{entry}");
    }
    for entry in
        ["https://*.example.com", "https://*.me.github.io", "http://*.localhost", "https://com"]
    {
        assert_eq!(suffix(entry), None, "{entry}");
    }
}

#[test]
fn a_pattern_covers_what_lies_below_it() {
    let covers = |a: &str, b: &str| {
        OriginPattern::parse(a).unwrap().covers_pattern(&OriginPattern::parse(b).unwrap())
    };
    assert!(covers("https://*.a.example", "https://x.a.example"));
    assert!(covers("https://*.a.example", "https://*.b.a.example"));
    assert!(covers("https://a.example:*", "https://a.example:8443"));
    assert!(!covers("https://*.a.example", "https://a.example"));
    assert!(!covers("https://*.a.example", "https://xa.example"));
    assert!(!covers("https://a.example", "https://a.example:8443"));
    assert!(!covers("https://x.a.example", "https://*.a.example"));
}
