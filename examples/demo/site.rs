//! Serves the page, from this program's own memory, under two origins: `http://localhost:PORT` and
//! `http://127.0.0.1:PORT`.
//!
//! To a browser these are different origins, though the socket is the same. Other names for this
//! machine are refused, so that no foreign site can pass for the page.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use actix_web::body::MessageBody;
use actix_web::dev::{Server as ActixServer, ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONTENT_TYPE, HOST, HeaderMap};
use actix_web::middleware::{DefaultHeaders, Next, from_fn};
use actix_web::{App, Error, HttpRequest, HttpResponse, HttpServer, error, web};
use serde::{Deserialize, Serialize};
use torchfront::Config;

use crate::replay::{self, Form};
use crate::seen::Seen;

/// Path, media type, text.
const FILES: [(&str, &str, &str); 6] = [
    ("/", "text/html; charset=utf-8", include_str!("index.html")),
    ("/style.css", "text/css; charset=utf-8", include_str!("style.css")),
    ("/app.js", "text/javascript; charset=utf-8", include_str!("app.js")),
    ("/calls.js", "text/javascript; charset=utf-8", include_str!("calls.js")),
    ("/explain.js", "text/javascript; charset=utf-8", include_str!("explain.js")),
    ("/pad.js", "text/javascript; charset=utf-8", include_str!("pad.js")),
];
/// Photographs to try, in the model store's `samples/photos`.
const PHOTOS: [&str; 2] = ["flower.jpg", "china.jpg"];
/// Where the page sends drawings.
const DIGITS: &str = "/predictions/digits";
/// Bytes of a drawing.
const MAX_DRAWING: usize = 1 << 20;

/// What the page's server knows.
#[derive(Clone)]
pub struct Site {
    /// For the page.
    pub facts: Facts,
    /// The model server.
    pub api: SocketAddr,
    /// Its access log.
    pub seen: Seen,
    /// The folder of [`PHOTOS`].
    pub photos: Option<PathBuf>,
}

/// What the page is told of the model server.
#[derive(Clone, Serialize)]
pub struct Facts {
    /// `http://127.0.0.1:8080`.
    pub api: String,
    file: String,
    port: u16,
    /// The page's.
    pub origins: Vec<PageOrigin>,
    allowed_origin: String,
    allowed_headers: String,
    exposed_headers: String,
    max_age: u64,
    photos: Vec<&'static str>,
}

/// An origin of the page.
#[derive(Clone, Serialize)]
pub struct PageOrigin {
    /// As the browser has it.
    pub origin: String,
    /// Whether the policy allows it.
    pub listed: bool,
}

#[derive(Deserialize)]
struct After {
    after: u64,
}

#[derive(Serialize)]
struct SeenAnswer {
    newest: u64,
    lines: Vec<crate::seen::Line>,
}

#[derive(Deserialize)]
struct ReplayQuery {
    form: Form,
}

// === impl Facts ===

impl Facts {
    /// What the configuration says; the address follows when it is open.
    pub fn of(config: &Config, port: u16) -> Facts {
        let policy = config.policies.inference.base();
        let origins = names(port).map(|name| {
            let origin = format!("http://{name}");
            let listed = policy.origins().is_any()
                || matches!(policy.origins().find(origin.as_bytes()), Ok(Some(_)));
            PageOrigin { origin, listed }
        });
        let written = |key: &str| {
            let alias = key.replace('.', "_");
            let setting = config.cors.iter().find(|each| each.key == key || each.key == alias);
            setting.map(|setting| setting.value.clone()).unwrap_or_default()
        };
        let file = config.file.as_ref().map(|file| file.display().to_string());
        let photos = config.model_store.as_ref().map(|store| store.join("samples/photos"));
        let is_there = |name: &&str| photos.as_ref().is_some_and(|dir| dir.join(name).is_file());
        Facts {
            api: String::new(),
            file: file.unwrap_or_default(),
            port,
            origins: origins.into(),
            allowed_origin: written("cors.allowed.origin"),
            allowed_headers: written("cors.allowed.headers"),
            exposed_headers: written("cors.exposed.headers"),
            max_age: policy.spec().max_age.into(),
            photos: PHOTOS.into_iter().filter(is_there).collect(),
        }
    }
}

/// `Host` of the two origins.
fn names(port: u16) -> [String; 2] {
    [format!("localhost:{port}"), format!("127.0.0.1:{port}")]
}

/// Opens the page's port, on IPv4 and, where the machine has it, on IPv6: `localhost` may be either.
///
/// # Errors
/// The port is taken.
pub fn open(site: Site, port: u16) -> Result<ActixServer, String> {
    let security = content_security_policy(&site.facts.api);
    let server = HttpServer::new(move || {
        let mut app = App::new()
            .app_data(web::Data::new(site.clone()))
            .app_data(web::PayloadConfig::new(MAX_DRAWING))
            .route("/facts", web::get().to(facts))
            .route("/seen", web::get().to(seen))
            .route("/replay", web::post().to(repeat))
            .route("/photos/{name}", web::get().to(photo));
        for (path, kind, text) in FILES {
            let file = move || async move {
                HttpResponse::Ok().insert_header((CONTENT_TYPE, kind)).body(text)
            };
            app = app.route(path, web::get().to(file));
        }
        app.wrap(from_fn(only_own_names)).wrap(
            DefaultHeaders::new()
                .add(("content-security-policy", security.as_str()))
                .add(("cache-control", "no-store"))
                .add(("referrer-policy", "no-referrer"))
                .add(("x-content-type-options", "nosniff")),
        )
    });
    let server = server.workers(1).disable_signals();
    let taken = |error: io::Error| {
        format!(
            "port {port} cannot be opened: {error}; stop the program that has it (Vite uses 5173, \
             too), or give --port N and list http://localhost:N in the configuration"
        )
    };
    let server = server.bind((Ipv4Addr::LOCALHOST, port)).map_err(taken)?;
    let server = match std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, port)) {
        Ok(listener) => server.listen(listener).map_err(taken)?,
        // Somebody else's page would be shown under our name.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(taken(error)),
        Err(_) => server,
    };
    Ok(server.run())
}

/// Nothing but this server's own files runs, and nothing but the model server is called.
fn content_security_policy(api: &str) -> String {
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; \
         connect-src 'self' {api}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// The origin of the page that asks: one of the two, see [`only_own_names`].
fn origin(request: &HttpRequest) -> String {
    format!("http://{}", host(request.headers()).unwrap_or_default())
}

fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(HOST).and_then(|host| host.to_str().ok())
}

async fn only_own_names(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let site = request.app_data::<web::Data<Site>>();
    let port = site.map_or(0, |site| site.facts.port);
    let own = names(port);
    if host(request.headers()).is_none_or(|host| !own.iter().any(|name| name == host)) {
        return Err(error::ErrorMisdirectedRequest("This server has two names, and this is none."));
    }
    next.call(request).await
}

async fn facts(site: web::Data<Site>) -> HttpResponse {
    HttpResponse::Ok().json(&site.facts)
}

async fn seen(
    request: HttpRequest,
    site: web::Data<Site>,
    query: web::Query<After>,
) -> HttpResponse {
    let (newest, lines) = site.seen.after(query.after, &origin(&request));
    HttpResponse::Ok().json(SeenAnswer { newest, lines })
}

async fn repeat(
    request: HttpRequest,
    site: web::Data<Site>,
    query: web::Query<ReplayQuery>,
    picture: web::Bytes,
) -> Result<HttpResponse, Error> {
    let (api, origin) = (site.api, origin(&request));
    let repeated = web::block(move || replay::call(api, &origin, DIGITS, query.form, &picture));
    match repeated.await? {
        Ok(exchanges) => Ok(HttpResponse::Ok().json(exchanges)),
        Err(problem) => Err(error::ErrorBadGateway(problem)),
    }
}

async fn photo(site: web::Data<Site>, name: web::Path<String>) -> Result<HttpResponse, Error> {
    let known = PHOTOS.into_iter().find(|photo| *photo == name.as_str());
    let (Some(name), Some(folder)) = (known, &site.photos) else {
        return Err(error::ErrorNotFound("There is no such photograph."));
    };
    let path: PathBuf = Path::new(folder).join(name);
    let bytes = web::block(move || std::fs::read(path)).await?.map_err(error::ErrorNotFound)?;
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "image/jpeg")).body(bytes))
}
