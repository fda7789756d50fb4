//! A configuration of Envoy that decides as the policy does, in the routes of one virtual host.
//!
//! Envoy's own CORS filter is not used: it checks the origin only, echoes it where `*` is meant and
//! sends no `Vary`. Routes match headers and answer at once: granted preflights, refused ones, requests
//! of allowed pages, the rest.

use serde_json::{Value, json};

use super::{
    OWNED, Place, REFUSAL, Reasons, Unexpressible, expression, introduction, preflight_vary,
};
use crate::cors::policy::CorsPolicy;

/// They are one regular expression, which every request is matched with.
const MAX_ORIGINS: usize = 500;
/// Instructions of one expression: 500 origins of ordinary length have a quarter of that.
const MAX_PROGRAM: u32 = 1 << 17;

pub(super) fn write(policy: &CorsPolicy, place: &Place) -> Result<String, Unexpressible> {
    let mut reasons = Reasons::default();
    if policy.origins().entries().len() > MAX_ORIGINS {
        reasons.add(format!(
            "more than {MAX_ORIGINS} origins: Envoy matches them as one regular expression, this \
             server with one lookup"
        ));
    }
    let address = |text: &str, reasons: &mut Reasons| match split(text) {
        Some((host, port)) => json!({"socket_address": {"address": host, "port_value": port}}),
        None => {
            reasons.add(format!("`{text}` is not HOST:PORT"));
            Value::Null
        }
    };
    let listen = address(&place.listen, &mut reasons);
    let upstream = address(&place.upstream, &mut reasons);
    let name = format!("torchfront_{}", policy.listener().as_str());
    let router = json!({
        "name": "envoy.filters.http.router",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
        }
    });
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.\
                  http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "preserve_external_request_id": true,
        "route_config": {
            "name": name,
            "virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes(policy, &name)}]
        },
        "http_filters": [router]
    });
    let configuration = json!({
        // Envoy refuses expressions of more than 100 instructions unless it is told otherwise.
        "layered_runtime": {"layers": [{"name": "expressions", "static_layer": {
            "re2.max_program_size.error_level": MAX_PROGRAM,
            "re2.max_program_size.warn_level": MAX_PROGRAM
        }}]},
        "static_resources": {
            "listeners": [{
                "name": name,
                "address": listen,
                "filter_chains": [{
                    "filters": [{
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": manager
                    }]
                }]
            }],
            "clusters": [{
                "name": name,
                "type": "STRICT_DNS",
                "load_assignment": {
                    "cluster_name": name,
                    "endpoints": [{"lb_endpoints": [{"endpoint": {"address": upstream}}]}]
                }
            }]
        }
    });
    let introduction: String =
        introduction(policy, "envoy").iter().map(|line| format!("# {line}\n")).collect();
    // JSON is YAML.
    reasons.or(format!("{introduction}{configuration:#}\n"))
}

fn routes(policy: &CorsPolicy, cluster: &str) -> Value {
    let spec = policy.spec();
    let any = policy.origins().is_any();
    let origin = if any { "*" } else { "%REQ(origin)%" };
    let from_allowed = || match any {
        true => vec![present("origin")],
        false => {
            let entries: Vec<String> =
                policy.origins().entries().iter().map(expression::origin).collect();
            let bounded = matches("origin", expression::BOUNDED_ORIGIN);
            vec![matches("origin", &entries.join("|")), bounded]
        }
    };
    let preflight = || vec![exact(":method", "OPTIONS"), present("access-control-request-method")];
    let vary = if any { None } else { Some(("vary", "Origin".to_owned(), false)) };

    // Granted.
    let asked = "access-control-request-headers";
    let mut granted = preflight();
    granted.extend(from_allowed());
    granted.push(matches("access-control-request-method", &expression::methods(&spec.methods)));
    if spec.methods.is_any() {
        granted.push(not(matches("access-control-request-method", expression::FORBIDDEN_METHODS)));
    }
    let list = format!("(?i){}", expression::request_headers(&spec.headers));
    granted.push(or_missing(matches(asked, &list)));
    if let Some(uncovered) = expression::uncovered_headers(&spec.headers) {
        granted.push(or_missing(not(matches(asked, &format!("(?i){uncovered}")))));
    }
    let mut headers = vec![
        ("access-control-allow-origin", origin.to_owned(), true),
        ("access-control-allow-methods", spec.methods.header_value(), true),
        ("access-control-allow-headers", spec.headers.header_value(), true),
        ("access-control-max-age", spec.max_age.to_string(), true),
        ("vary", preflight_vary(spec), true),
    ];
    if spec.credentials {
        headers.push(("access-control-allow-credentials", "true".to_owned(), true));
    }
    if let Some(value) = &spec.preflight_cache_control {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers.push(("cache-control", value, true));
    }
    let grant = json!({"status": policy.preflight_status().as_u16()});
    let mut routes = Vec::new();
    if spec.private_network {
        let mut private = granted.clone();
        private.push(exact("access-control-request-private-network", "true"));
        let mut more = headers.clone();
        more.push(("access-control-allow-private-network", "true".to_owned(), true));
        routes.push(answer(&private, &grant, &more));
    }
    routes.push(answer(&granted, &grant, &headers));

    // Refused.
    let mut refused = preflight();
    refused.push(present("origin"));
    routes.push(answer(
        &refused,
        &json!({"status": 403, "body": {"inline_string": REFUSAL}}),
        &[
            ("content-type", "application/json".to_owned(), true),
            ("vary", preflight_vary(spec), true),
        ],
    ));

    // Requests that pages may read.
    let listed = format!("{}|OPTIONS", expression::methods(&spec.methods));
    let mut shared = vec![matches(":method", &listed)];
    if spec.methods.is_any() {
        shared.push(not(matches(":method", expression::FORBIDDEN_METHODS)));
    }
    if !any {
        shared.extend(from_allowed());
    }
    let mut headers = vec![("access-control-allow-origin", origin.to_owned(), true)];
    if spec.credentials {
        headers.push(("access-control-allow-credentials", "true".to_owned(), true));
    }
    if let Some(exposed) = spec.exposed.header_value() {
        headers.push(("access-control-expose-headers", exposed, true));
    }
    if spec.timing {
        headers.push(("timing-allow-origin", origin.to_owned(), true));
    }
    headers.extend(vary.clone());
    routes.push(pass(&shared, cluster, &headers));
    let rest: Vec<_> = vary.into_iter().collect();
    routes.push(pass(&[], cluster, &rest));
    Value::Array(routes)
}

/// Name, value, and whether it replaces what is there.
type Header = (&'static str, String, bool);

fn answer(when: &[Value], answer: &Value, headers: &[Header]) -> Value {
    json!({
        "match": {"prefix": "/", "headers": when},
        "direct_response": answer,
        "response_headers_to_add": added(headers)
    })
}

fn pass(when: &[Value], cluster: &str, headers: &[Header]) -> Value {
    json!({
        "match": {"prefix": "/", "headers": when},
        // The server has timeouts of its own.
        "route": {"cluster": cluster, "timeout": "0s"},
        "response_headers_to_remove": OWNED.map(str::to_ascii_lowercase),
        "response_headers_to_add": added(headers)
    })
}

fn added(headers: &[Header]) -> Vec<Value> {
    let add = |(name, value, replace): &Header| {
        let action =
            if *replace { "OVERWRITE_IF_EXISTS_OR_ADD" } else { "APPEND_IF_EXISTS_OR_ADD" };
        // `%` begins a command there; ours is the only one that is meant.
        let value = match value.as_str() {
            "%REQ(origin)%" => value.clone(),
            _ => value.replace('%', "%%"),
        };
        json!({"header": {"key": name, "value": value}, "append_action": action})
    };
    headers.iter().map(add).collect()
}

fn exact(name: &str, value: &str) -> Value {
    json!({"name": name, "string_match": {"exact": value}})
}

fn present(name: &str) -> Value {
    json!({"name": name, "present_match": true})
}

/// The whole value.
fn matches(name: &str, regex: &str) -> Value {
    json!({"name": name, "string_match": {"safe_regex": {"regex": regex}}})
}

fn not(mut matcher: Value) -> Value {
    matcher["invert_match"] = true.into();
    matcher
}

fn or_missing(mut matcher: Value) -> Value {
    matcher["treat_missing_header_as_empty"] = true.into();
    matcher
}

fn split(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Some((host, port.parse().ok()?)).filter(|(host, _)| !host.is_empty())
}
