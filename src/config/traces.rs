//! OpenTelemetry's variables, as its specification has them: read without `enable_envvars_config`, like
//! every program reads them.
//!
//! Called by `mod.rs`. Traces are off unless `OTEL_EXPORTER_OTLP_ENDPOINT`, its variant for traces, or
//! `OTEL_TRACES_EXPORTER=otlp` asks for them. Such variables are set for a whole cluster, so that a
//! value which cannot be used is a warning and no error, as the specification wants it.

use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::Url;

use super::error::Note;
use super::source::Environment;
use crate::trace::{Compression, Sampling, TraceSettings};

/// A collector on this machine.
const DEFAULT_ENDPOINT: &str = "http://localhost:4318";
const PATH: &str = "v1/traces";
/// Bounds of numbers: a typing error must not take the memory of the machine.
const MAX_QUEUE: u64 = 1 << 20;
const MAX_MILLIS: u64 = 600_000;

/// Reads them, and warns of what cannot be used.
struct Reader<'a> {
    environment: &'a dyn Environment,
    notes: &'a mut Vec<Note>,
}

/// What the environment wants; none: no traces.
pub(super) fn read(environment: &dyn Environment, notes: &mut Vec<Note>) -> Option<TraceSettings> {
    Reader { environment, notes }.read()
}

// === impl Reader ===

impl Reader<'_> {
    fn read(mut self) -> Option<TraceSettings> {
        if self.get("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return None;
        }
        let exporter = self.get("OTEL_TRACES_EXPORTER");
        let own_endpoint = self.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        let base = self.get("OTEL_EXPORTER_OTLP_ENDPOINT");
        match exporter.as_deref() {
            Some("otlp") => {}
            None if own_endpoint.is_some() || base.is_some() => {}
            None | Some("none") => return None,
            Some(other) => {
                self.warn("OTEL_TRACES_EXPORTER", other, "`otlp` and `none` exist; traces are off");
                return None;
            }
        }
        if let Some(protocol) = self.signal("PROTOCOL")
            && protocol != "http/protobuf"
        {
            let fix = "only `http/protobuf` is spoken (a collector's port 4318); traces are off";
            self.warn("OTEL_EXPORTER_OTLP_PROTOCOL", &protocol, fix);
            return None;
        }
        let endpoint = self.endpoint(own_endpoint, base)?;
        let mut settings = TraceSettings::new(endpoint);
        if let Some(headers) = self.signal("HEADERS") {
            // Not in a note: they are secrets.
            settings.headers = pairs(&headers).filter(|(name, _)| is_header(name)).collect();
        }
        if let Some(compression) = self.signal("COMPRESSION") {
            match compression.as_str() {
                "gzip" => settings.compression = Compression::Gzip,
                "none" => {}
                other => self.warn("OTEL_EXPORTER_OTLP_COMPRESSION", other, "`gzip` exists"),
            }
        }
        settings.certificate = self.signal("CERTIFICATE").map(PathBuf::from);
        let timeout = match self.get("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT") {
            Some(_) => "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
            None => "OTEL_EXPORTER_OTLP_TIMEOUT",
        };
        self.millis(timeout, &mut settings.timeout);
        self.millis("OTEL_BSP_SCHEDULE_DELAY", &mut settings.delay);
        self.count("OTEL_BSP_MAX_QUEUE_SIZE", &mut settings.max_queue);
        self.count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", &mut settings.max_batch);
        settings.max_batch = settings.max_batch.min(settings.max_queue);
        self.resource(&mut settings.resource);
        settings.sampling = self.sampling(settings.sampling);
        if let Some(propagators) = self.get("OTEL_PROPAGATORS") {
            let mut names = propagators.split(',').map(str::trim);
            settings.read_context = names.any(|name| name == "tracecontext");
        }
        Some(settings)
    }

    /// A variable that is set; empty is unset, as the specification says.
    fn get(&self, name: &str) -> Option<String> {
        let value = self.environment.get(name)?;
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// The exporter's variable for traces, else that for all signals.
    fn signal(&self, name: &str) -> Option<String> {
        self.get(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}"))
            .or_else(|| self.get(&format!("OTEL_EXPORTER_OTLP_{name}")))
    }

    fn warn(&mut self, name: &str, value: &str, fix: &str) {
        let shown: String = value.chars().take(80).collect();
        let text = format!("environment variable {name}: {shown:?} cannot be used: {fix}");
        self.notes.push(Note::warning(text));
    }

    fn endpoint(&mut self, own: Option<String>, base: Option<String>) -> Option<String> {
        let (name, given, whole) = match (own, base) {
            (Some(own), _) => ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", own.clone(), own),
            (None, base) => {
                let base = base.unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
                let whole = format!("{}/{PATH}", base.trim_end_matches('/'));
                ("OTEL_EXPORTER_OTLP_ENDPOINT", base, whole)
            }
        };
        let usable = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        match Url::parse(&whole).ok().filter(usable) {
            // A password in it would stand in the log.
            Some(url) if url.username().is_empty() && url.password().is_none() => {
                Some(url.to_string())
            }
            Some(_) => {
                let fix = "put the credentials into OTEL_EXPORTER_OTLP_HEADERS; traces are off";
                self.warn(name, "a URL with credentials", fix);
                None
            }
            None => {
                self.warn(name, &given, "write http://HOST:4318; traces are off");
                None
            }
        }
    }

    fn number(&mut self, name: &str, least: u64, most: u64) -> Option<u64> {
        let value = self.get(name)?;
        match value.parse().ok().filter(|number| (least..=most).contains(number)) {
            None => {
                self.warn(name, &value, &format!("a whole number from {least} to {most}"));
                None
            }
            number => number,
        }
    }

    fn millis(&mut self, name: &str, into: &mut Duration) {
        if let Some(millis) = self.number(name, 1, MAX_MILLIS) {
            *into = Duration::from_millis(millis);
        }
    }

    fn count(&mut self, name: &str, into: &mut usize) {
        if let Some(count) = self.number(name, 1, MAX_QUEUE) {
            *into = usize::try_from(count).unwrap_or(*into);
        }
    }

    fn resource(&mut self, resource: &mut Vec<(String, String)>) {
        let mut set = |name: String, value: String| {
            resource.retain(|(known, _)| *known != name);
            resource.push((name, value));
        };
        set("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        if let Some(attributes) = self.get("OTEL_RESOURCE_ATTRIBUTES") {
            pairs(&attributes).for_each(|(name, value)| set(name, value));
        }
        if let Some(name) = self.get("OTEL_SERVICE_NAME") {
            set("service.name".to_owned(), name);
        }
    }

    fn sampling(&mut self, default: Sampling) -> Sampling {
        const NAME: &str = "OTEL_TRACES_SAMPLER";
        let Some(name) = self.get(NAME) else { return default };
        let (kind, follow_parent) = match name.strip_prefix("parentbased_") {
            Some(kind) => (kind, true),
            None => (name.as_str(), false),
        };
        let ratio = match kind {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => self.ratio(),
            _ => {
                let fix = "always_on, always_off, traceidratio, or one of them behind parentbased_";
                self.warn(NAME, &name, fix);
                return default;
            }
        };
        Sampling { follow_parent, ratio }
    }

    fn ratio(&mut self) -> f64 {
        const NAME: &str = "OTEL_TRACES_SAMPLER_ARG";
        let Some(value) = self.get(NAME) else { return 1.0 };
        match value.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio)) {
            Some(ratio) => ratio,
            None => {
                self.warn(NAME, &value, "a number from 0 to 1");
                1.0
            }
        }
    }
}

/// `name=value,name=value`, percent-encoded, as in W3C Baggage.
fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    fn decoded(part: &str) -> Option<String> {
        percent_decode_str(part.trim()).decode_utf8().ok().map(Into::into)
    }
    text.split(',').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let name = decoded(name).filter(|name| !name.is_empty())?;
        Some((name, decoded(value)?))
    })
}

fn is_header(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn of(variables: &[(&str, &str)]) -> (Option<TraceSettings>, Vec<String>) {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let environment: BTreeMap<String, String> = variables.iter().map(owned).collect();
        let mut notes = Vec::new();
        let settings = read(&environment, &mut notes);
        (settings, notes.into_iter().map(|note| note.text).collect())
    }

    fn on(more: &[(&str, &str)]) -> TraceSettings {
        let base = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/")];
        let (settings, notes) = of(&[&base, more].concat());
        assert_eq!(notes, Vec::<String>::new());
        settings.unwrap()
    }

    #[test]
    fn traces_are_off_unless_a_collector_is_named() {
        for variables in [
            &[][..],
            &[("OTEL_SERVICE_NAME", "x")],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")],
            &[("OTEL_TRACES_EXPORTER", "none"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318")],
            &[("OTEL_SDK_DISABLED", "True"), ("OTEL_TRACES_EXPORTER", "otlp")],
        ] {
            assert_eq!(of(variables), (None, vec![]), "{variables:?}");
        }
        let endpoint = |variables: &[(&str, &str)]| of(variables).0.unwrap().endpoint;
        assert_eq!(
            endpoint(&[("OTEL_TRACES_EXPORTER", "otlp")]),
            "http://localhost:4318/v1/traces"
        );
        assert_eq!(on(&[]).endpoint, "http://collector:4318/v1/traces");
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://c.example/x?y=1");
        assert_eq!(on(&[own]).endpoint, "https://c.example/x?y=1");
    }

    #[test]
    fn every_variable_is_read_and_that_of_traces_is_stronger() {
        let settings = on(&[
            ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20abc, x-tenant = t1,,bad name=1"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "3000"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=a,deployment.environment=a%2Cb"),
            ("OTEL_SERVICE_NAME", "digits"),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
            ("OTEL_PROPAGATORS", "baggage, tracecontext"),
        ]);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = [pair("Authorization", "Bearer abc"), pair("x-tenant", "t1")];
        assert_eq!(settings.headers, headers);
        assert!(!format!("{settings:?}").contains("abc"));
        assert_eq!(settings.timeout, Duration::from_secs(3));
        assert_eq!(settings.compression, Compression::Gzip);
        assert_eq!(settings.certificate, Some(PathBuf::from("/ca.pem")));
        let version = pair("service.version", env!("CARGO_PKG_VERSION"));
        let environment = pair("deployment.environment", "a,b");
        assert_eq!(settings.resource, [version, environment, pair("service.name", "digits")]);
        assert_eq!(settings.sampling, Sampling { follow_parent: true, ratio: 0.25 });
        assert_eq!((settings.max_queue, settings.max_batch), (100, 100));
        assert_eq!(settings.delay, Duration::from_millis(50));
        assert!(settings.read_context);
        assert!(!on(&[("OTEL_PROPAGATORS", "none")]).read_context);
        let always = on(&[("OTEL_TRACES_SAMPLER", "always_off")]).sampling;
        assert_eq!(always, Sampling { follow_parent: false, ratio: 0.0 });
    }

    #[test]
    fn what_cannot_be_used_is_a_warning_that_names_the_variable() {
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
        for (variable, still_on) in [
            (("OTEL_TRACES_EXPORTER", "zipkin"), false),
            (("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), false),
            (("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4318"), false),
            (("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://collector"), false),
            (("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://me:secret@c/"), false),
            (("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"), true),
            (("OTEL_BSP_MAX_QUEUE_SIZE", "99999999999"), true),
            (("OTEL_TRACES_SAMPLER", "jaeger_remote"), true),
            (("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"), true),
        ] {
            let (settings, notes) = of(&[base, variable]);
            assert_eq!(settings.is_some(), still_on, "{variable:?}");
            let [note] = notes.as_slice() else { panic!("{variable:?}: {notes:?}") };
            assert!(
                note.contains("environment variable OTEL_") && !note.contains("secret"),
                "{note}"
            );
        }
    }
}
