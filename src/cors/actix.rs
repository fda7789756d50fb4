//! The same policy for `actix-cors`: for embedders, comparison and `cors.engine=actix`.
//!
//! What that engine cannot do, as of 0.7.2: refuse a preflight with 403 or keep `Vary` on it (it
//! answers 400); hold back `Allow-Credentials` and `Expose-Headers` from foreign origins; check the
//! method of the request itself; read several `Origin` or `Access-Control-Request-Headers` lines,
//! or empty list elements; keep `*` for headers from covering `Authorization`; name methods beyond
//! the standard ones with `*`, and it then advertises CONNECT and TRACE; keep lists in order; send
//! a static `*` without `Origin`; merge several `Vary` lines; refuse foreign writes; log a reason.
//! The 204 of a preflight is a 200 there. With `cors.engine=actix`, settings that would be left out
//! or widened are refused (CORS-E096), the rest is said at start (CORS-W118).

use actix_cors::Cors;

use super::policy::CorsPolicy;

impl CorsPolicy {
    /// A fresh `actix_cors::Cors`, to be made once per worker as that crate asks: the same
    /// permissions in another shape. It refuses preflights with 400 and without `Vary`, sends
    /// credentials and exposed headers to foreign origins too, checks no method on the request
    /// itself, lets `*` cover `Authorization`, and knows neither overrides nor `block.disallowed`.
    pub fn to_actix_cors(&self) -> Cors {
        let spec = self.spec();
        let mut cors = Cors::default().max_age(usize::try_from(spec.max_age).ok());
        if self.origins().is_any() {
            cors = cors.allow_any_origin().send_wildcard();
        }
        let entries = self.origins().entries();
        for origin in entries.iter().filter(|entry| entry.is_exact()) {
            cors = cors.allowed_origin(origin.as_str());
        }
        if entries.iter().any(|entry| !entry.is_exact()) {
            let origins = self.origins().clone();
            cors = cors.allowed_origin_fn(move |origin, _| {
                matches!(origins.find(origin.as_bytes()), Ok(Some(_)))
            });
        }
        if spec.methods.is_any() {
            cors = cors.allow_any_method();
        } else {
            let mut methods: Vec<&str> = spec.methods.listed().iter().map(String::as_str).collect();
            if methods.contains(&"GET") && !methods.contains(&"HEAD") {
                methods.push("HEAD");
            }
            cors = cors.allowed_methods(methods);
        }
        cors = match spec.headers.is_any() {
            true => cors.allow_any_header(),
            false => cors.allowed_headers(spec.headers.listed()),
        };
        cors = match spec.exposed.is_any() {
            true => cors.expose_any_header(),
            false => cors.expose_headers(spec.exposed.listed()),
        };
        if spec.credentials { cors.supports_credentials() } else { cors }
    }
}
