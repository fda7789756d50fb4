//! The peer of `make compare`: actix-web and actix-cors with the same policy, and nothing else.
//!
//! `bare_actix_cors ADDRESS THREADS`. It answers preflights with 200.

use actix_cors::Cors;
use actix_web::{App, HttpResponse, HttpServer, web};

/// As the server itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:9000".to_owned());
    let threads = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(2);
    HttpServer::new(|| {
        let cors = Cors::default()
            .allowed_origin("https://mywebapp.com")
            .allowed_methods(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
            .allowed_headers(["Authorization", "Content-Type"])
            .supports_credentials()
            .max_age(600);
        App::new().wrap(cors).default_service(web::to(HttpResponse::NotFound))
    })
    .workers(threads)
    .backlog(2048)
    .bind(address)?
    .run()
    .await
}
