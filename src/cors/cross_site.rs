//! Requests that no header of an answer can stop: simple writes of foreign pages (B30) and
//! requests for a foreign host (B31). PURE.
//!
//! Asked by `decide.rs`. The order of the questions is that of Go's `CrossOriginProtection`: an
//! allowed origin passes; then the browser's own word, `Sec-Fetch-Site`; then a request without
//! `Origin`, which no browser sends across sites with an unsafe method; then a page of our own
//! host.

use super::{
    facts::RequestFacts,
    hosts,
    origin::SerializedOrigin,
    policy::CorsPolicy,
    spec::Block,
    wire::{HeaderValue, Method, header, name},
};

/// GET, HEAD and OPTIONS change nothing.
pub(super) fn is_safe(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD || *method == Method::OPTIONS
}

/// Whether a request that the allow-list does not cover is to be refused.
pub(super) fn is_refused(policy: &CorsPolicy, facts: &RequestFacts<'_>) -> bool {
    let guarded = match policy.spec().block {
        Block::Off => false,
        Block::Unsafe => !is_safe(facts.method),
        Block::All => true,
    };
    guarded && !is_same_site(policy, facts)
}

/// Whether the request names a host that this server does not answer for.
pub(super) fn is_for_another_host(policy: &CorsPolicy, facts: &RequestFacts<'_>) -> bool {
    let spec = policy.spec();
    if !spec.allowed_hosts.is_empty() {
        return !facts.host().is_some_and(|host| spec.allowed_hosts.names_host(host));
    }
    // Who sends no `Host` is no browser.
    spec.guarded_hosts && facts.host().is_some_and(|host| !hosts::is_this_machine(host))
}

/// Whether a page of our own sent the request, or nobody's.
pub(super) fn is_same_site(policy: &CorsPolicy, facts: &RequestFacts<'_>) -> bool {
    let sites = facts.lines(&name::SEC_FETCH_SITE);
    if !sites.is_empty() {
        return sites.iter().all(|site| matches!(site.as_bytes(), b"same-origin" | b"none"));
    }
    match facts.lines(&header::ORIGIN) {
        [] => true,
        [origin] => is_our_page(policy, facts, origin),
        [_, _, ..] => false,
    }
}

fn is_our_page(policy: &CorsPolicy, facts: &RequestFacts<'_>, origin: &HeaderValue) -> bool {
    let Ok(origin) = SerializedOrigin::parse(origin.as_bytes()) else { return false };
    policy.spec().same_origin_hosts.names_origin(&origin)
        || (is_our_scheme(policy, &origin)
            && facts.host().is_some_and(|host| hosts::is_same_host(&origin, host)))
}

/// Behind a proxy we do not know the scheme that browsers see; with TLS of our own we do.
fn is_our_scheme(policy: &CorsPolicy, origin: &SerializedOrigin<'_>) -> bool {
    !policy.spec().https || origin.scheme == b"https"
}
