//! A file for the `http` block of nginx: maps that decide, and a server that uses them.
//!
//! nginx cannot tell an empty header from a missing one, and before 1.23 it sees the first of several
//! lines; no browser sends either. Its own string maps ignore case, so that short lists are regular
//! expressions and long ones are asked only for values without capitals.

use std::fmt::Write;

use super::{
    OWNED, Place, REFUSAL, Reasons, Unexpressible, expression, introduction, preflight_vary,
};
use crate::cors::{pattern::OriginPattern, policy::CorsPolicy, spec::PreflightStatus};

/// Up to this many exact origins are regular expressions, which need no larger hash tables.
const FEW: usize = 64;

/// Writes maps of one policy.
struct Writer<'a> {
    policy: &'a CorsPolicy,
    /// What the variables begin with.
    prefix: String,
    text: String,
}

pub(super) fn write(policy: &CorsPolicy, place: &Place) -> Result<String, Unexpressible> {
    let spec = policy.spec();
    let mut reasons = Reasons::default();
    let cache_control = spec.preflight_cache_control.as_ref();
    let cache_control = cache_control.map(|value| String::from_utf8_lossy(value.as_bytes()));
    for (what, value) in [
        ("the methods", Some(spec.methods.header_value())),
        ("the headers", Some(spec.headers.header_value())),
        ("the exposed headers", spec.exposed.header_value()),
        ("the Cache-Control of preflights", cache_control.map(|value| value.into_owned())),
    ] {
        if value.is_some_and(|value| value.contains(['$', '"', '\\'])) {
            reasons.add(format!(
                "{what} have a `$`, a quote or a backslash, which nginx cannot write"
            ));
        }
    }
    let prefix = format!("$cors_{}", policy.listener().as_str());
    let mut writer = Writer { policy, prefix, text: String::new() };
    writer.maps();
    writer.server(place);
    reasons.or(writer.text)
}

// === impl Writer ===

impl Writer<'_> {
    fn maps(&mut self) {
        for line in introduction(self.policy, "nginx") {
            self.line(&format!("# {line}"));
        }
        self.line("# Include it in the http block; the server at the end is where it is used.\n");
        let spec = self.policy.spec();
        let any = self.policy.origins().is_any();
        self.origin();
        self.map("$http_origin", "has_origin", &[("default", "1"), ("\"\"", "0")]);
        self.map("$http_access_control_request_method", "asks", &[("default", "1"), ("\"\"", "0")]);
        let p = self.prefix.clone();
        self.map(
            &format!("\"$request_method {p}_has_origin{p}_asks\""),
            "is_preflight",
            &[("default", "0"), ("\"~^OPTIONS 11$\"", "1")],
        );
        self.method("$http_access_control_request_method", "asked_method", false);
        self.method("$request_method", "method", true);
        self.request_headers();
        let known = if any { "1".to_owned() } else { format!("{p}_known") };
        // Side by side: a name ends where a blank does.
        self.map(
            &format!("\"{p}_is_preflight {known} {p}_asked_method {p}_asked_headers\""),
            "preflight",
            &[("default", "\"\""), ("\"1 1 1 1\"", "grant"), ("\"~^1\"", "refuse")],
        );
        self.map(
            &format!("\"{p}_is_preflight {known} {p}_method\""),
            "shared",
            &[("default", "0"), ("\"0 1 1\"", "1")],
        );
        let origin = if any { "\"*\"".to_owned() } else { format!("{p}_known_origin") };
        let both = format!("\"{p}_preflight {p}_shared\"");
        self.map(
            &both,
            "allow_origin",
            &[("default", "\"\""), ("\"~^grant\"", &origin), ("\"~1$\"", &origin)],
        );
        let credentials = if spec.credentials { "true" } else { "\"\"" };
        self.map(
            &format!("{p}_allow_origin"),
            "allow_credentials",
            &[("default", credentials), ("\"\"", "\"\"")],
        );
        self.granted("allow_methods", &spec.methods.header_value());
        self.granted("allow_headers", &spec.headers.header_value());
        self.granted("max_age", &spec.max_age.to_string());
        if let Some(exposed) = spec.exposed.header_value() {
            let value = format!("\"{exposed}\"");
            self.map(
                &format!("{p}_shared"),
                "expose_headers",
                &[("default", "\"\""), ("1", &value)],
            );
        }
        if let Some(value) = &spec.preflight_cache_control {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            self.granted("cache_control", &value);
        }
        if spec.timing {
            self.map(&format!("{p}_shared"), "timing", &[("default", "\"\""), ("1", &origin)]);
        }
        if spec.private_network {
            self.map(
                &format!("\"{p}_preflight $http_access_control_request_private_network\""),
                "private_network",
                &[("default", "\"\""), ("\"~^grant true$\"", "true")],
            );
        }
        let preflight = format!("\"{}\"", preflight_vary(spec));
        let other = if any { "\"\"" } else { "Origin" };
        self.map(&format!("{p}_is_preflight"), "vary", &[("default", other), ("1", &preflight)]);
    }

    /// The origin if an entry covers it, else empty.
    fn origin(&mut self) {
        if self.policy.origins().is_any() {
            return;
        }
        let entries = self.policy.origins().entries();
        let (exact, patterns): (Vec<&OriginPattern>, Vec<_>) =
            entries.iter().partition(|entry| entry.is_exact());
        let p = self.prefix.clone();
        let mut source = "$http_origin".to_owned();
        let mut lines = vec!["default \"\"".to_owned()];
        if exact.len() > FEW {
            let bytes = exact.iter().map(|entry| entry.as_str().len() + 2).max().unwrap_or(0);
            let bucket = (bytes + 32).next_power_of_two().max(64);
            self.line(&format!("map_hash_bucket_size {bucket};"));
            self.line(&format!("map_hash_max_size {};", (exact.len() * 2).next_power_of_two()));
            self.map("$http_origin", "lower", &[("default", "0"), ("\"~^[^A-Z]+$\"", "1")]);
            source = format!("\"{p}_lower $http_origin\"");
            let hashed = exact.iter().map(|entry| format!("\"1 {entry}\" $http_origin"));
            lines.extend(hashed);
        } else {
            let one = |entry: &&OriginPattern| {
                format!("\"~^{}\\z\" $http_origin", expression::literal(entry.as_str()))
            };
            lines.extend(exact.iter().map(one));
        }
        let lead = if exact.len() > FEW { "1 " } else { "" };
        lines.extend(patterns.iter().map(|entry| {
            format!("\"~^{lead}(?=.{{1,326}}\\z){}\\z\" $http_origin", expression::origin(entry))
        }));
        let _written = writeln!(self.text, "map {source} {p}_known_origin {{");
        for line in lines {
            let _written = writeln!(self.text, "    {line};");
        }
        self.line("}");
        self.map(&format!("{p}_known_origin"), "known", &[("default", "1"), ("\"\"", "0")]);
    }

    /// Whether a method is allowed; a description of the API always is.
    fn method(&mut self, source: &str, name: &str, options: bool) {
        let methods = &self.policy.spec().methods;
        let more = if options { "|OPTIONS" } else { "" };
        let allowed = format!("\"~^(?:{}{more})\\z\"", expression::methods(methods));
        let forbidden = format!("\"~^(?:{})\\z\"", expression::FORBIDDEN_METHODS);
        let mut lines = vec![("default", "0")];
        if methods.is_any() {
            lines.push((&forbidden, "0"));
        }
        lines.push((&allowed, "1"));
        self.map(source, name, &lines);
    }

    fn request_headers(&mut self) {
        let headers = &self.policy.spec().headers;
        let uncovered =
            expression::uncovered_headers(headers).map(|list| format!("\"~*^{list}\\z\""));
        let allowed =
            format!("\"~*^(?=.{{0,4096}}\\z){}\\z\"", expression::request_headers(headers));
        // An empty value is compared with no regular expression.
        let mut lines = vec![("default", "0"), ("\"\"", "1")];
        if let Some(uncovered) = &uncovered {
            lines.push((uncovered, "0"));
        }
        lines.push((&allowed, "1"));
        self.map("$http_access_control_request_headers", "asked_headers", &lines);
    }

    /// A header of granted preflights.
    fn granted(&mut self, name: &str, value: &str) {
        let (source, value) = (format!("{}_preflight", self.prefix), format!("\"{value}\""));
        self.map(&source, name, &[("default", "\"\""), ("grant", &value)]);
    }

    fn map(&mut self, source: &str, name: &str, lines: &[(&str, &str)]) {
        let _written = writeln!(self.text, "map {source} {}_{name} {{", self.prefix);
        for (from, to) in lines {
            let _written = writeln!(self.text, "    {from} {to};");
        }
        self.line("}");
    }

    fn server(&mut self, place: &Place) {
        let p = self.prefix.clone();
        let spec = self.policy.spec();
        let grant = match spec.preflight_status {
            PreflightStatus::NoContent => "return 204;",
            PreflightStatus::Ok => "return 200 \"\";",
        };
        let mut headers = vec![
            ("Access-Control-Allow-Origin", "allow_origin"),
            ("Access-Control-Allow-Credentials", "allow_credentials"),
            ("Access-Control-Allow-Methods", "allow_methods"),
            ("Access-Control-Allow-Headers", "allow_headers"),
            ("Access-Control-Max-Age", "max_age"),
            ("Vary", "vary"),
        ];
        if spec.exposed.header_value().is_some() {
            headers.push(("Access-Control-Expose-Headers", "expose_headers"));
        }
        if spec.private_network {
            headers.push(("Access-Control-Allow-Private-Network", "private_network"));
        }
        if spec.preflight_cache_control.is_some() {
            headers.push(("Cache-Control", "cache_control"));
        }
        if spec.timing {
            headers.push(("Timing-Allow-Origin", "timing"));
        }
        let refused = format!("/.cors-refused-{}", self.policy.listener().as_str());
        let listen = &place.listen;
        let upstream = &place.upstream;
        let _written = write!(
            self.text,
            "\nserver {{\n    listen {listen};\n    server_name _;\n    # The server has a bound of its \
             own.\n    client_max_body_size 0;\n\n    location = {refused} {{\n        internal;\n        \
             default_type application/json;\n        add_header Vary {p}_vary always;\n        return \
             403 '{REFUSAL}';\n    }}\n\n    location / {{\n        if ({p}_preflight = refuse) {{ \
             rewrite ^ {refused} last; }}\n        if ({p}_preflight = grant) {{ {grant} }}\n        \
             proxy_pass http://{upstream};\n        proxy_http_version 1.1;\n        proxy_set_header \
             Host $http_host;\n        proxy_read_timeout 600s;\n"
        );
        for name in OWNED {
            self.line(&format!("        proxy_hide_header {name};"));
        }
        self.line("        # A header with an empty value is not sent.");
        for (name, variable) in headers {
            self.line(&format!("        add_header {name} {p}_{variable} always;"));
        }
        self.line("    }\n}");
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }
}
