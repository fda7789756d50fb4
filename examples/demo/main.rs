//! `make demo`: Torchfront and a web page that calls it from another origin, in one process.
//!
//! | file | what it does |
//! |---|---|
//! | `main.rs` | starts the model server and the page's server, ends both on Ctrl-C |
//! | `site.rs` | serves the page, under two origins of which the policy lists one |
//! | `seen.rs` | keeps the model server's access log, so that the page can show it |
//! | `replay.rs` | repeats a call outside of a browser, to show the headers that scripts cannot read |
//! | `demo.properties` | the model server's configuration |
//!
//! The model server is the library as any program would embed it; nothing in it knows of the demo.

mod replay;
mod seen;
mod site;

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use torchfront::cli::Overrides;
use torchfront::config::{Level, LoadModel, LoadModels, ProcessEnvironment};
use torchfront::server::{Phase, Role};
use torchfront::{Config, Server, ServerHandle};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::seen::Seen;
use crate::site::{Facts, PageOrigin, Site};

/// Loaded where it has been built.
const PHOTO_MODEL: &str = "efficientnet_lite0.mar";

/// A web page that calls Torchfront from another origin.
#[derive(Parser)]
struct Arguments {
    /// The model server's configuration
    #[arg(long, value_name = "FILE", default_value = "examples/demo/demo.properties")]
    ts_config: PathBuf,

    /// The port of the page
    #[arg(long, value_name = "PORT", default_value_t = 5173)]
    port: u16,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seen = Seen::default();
    log_warnings_and(seen.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(run(&arguments, seen)),
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Warnings go to the terminal; the access log goes to the page.
fn log_warnings_and(seen: Seen) {
    let warnings = tracing_subscriber::fmt::layer().without_time().with_target(false);
    let access_log = Targets::new().with_target("access_log", LevelFilter::INFO);
    tracing_subscriber::registry()
        .with(warnings.with_filter(LevelFilter::WARN))
        .with(seen.with_filter(access_log))
        .init();
}

async fn run(arguments: &Arguments, seen: Seen) -> Result<(), Box<dyn Error>> {
    let overrides = Overrides {
        ts_config: Some(arguments.ts_config.clone()),
        no_config_snapshots: true,
        ..Overrides::default()
    };
    let mut config =
        Config::load(&overrides, &ProcessEnvironment).map_err(|errors| errors.to_string())?;
    add_photo_model(&mut config);
    for note in config.notes.iter().filter(|note| note.level == Level::Warning) {
        tracing::warn!("{}", note.text);
    }
    let mut facts = Facts::of(&config, arguments.port);
    let photos = config.model_store.as_ref().map(|store| store.join("samples/photos"));
    let server = Server::build(config)?;
    let api = server.addresses(Role::Inference).first().copied().ok_or(
        "inference_address is no TCP address: a browser cannot call it; write http://127.0.0.1:8080",
    )?;
    facts.api = format!("http://{}", reachable(api));
    let shown = facts.clone();
    let site = site::open(Site { facts, api: reachable(api), seen, photos }, arguments.port)?;

    let handle = server.handle();
    tokio::spawn(stop_on_ctrl_c(handle.clone()));
    tokio::spawn(announce(handle, shown));
    let page = site.handle();
    let page_task = tokio::spawn(site);
    let ended = server.run().await;
    page.stop(false).await;
    page_task.await??;
    Ok(ended?)
}

/// The model of photographs is too large to be committed: it is there where `make models` was run.
fn add_photo_model(config: &mut Config) {
    let Some(store) = &config.model_store else { return };
    let LoadModels::List(models) = &mut config.load_models else { return };
    let is_listed = models.iter().any(|model| model.archive == PHOTO_MODEL);
    if !is_listed && store.join(PHOTO_MODEL).is_file() {
        models.push(LoadModel { name: None, archive: PHOTO_MODEL.to_owned() });
    }
}

/// A browser cannot connect to `0.0.0.0`.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        ip if ip.is_unspecified() => {
            SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port())
        }
        _ => address,
    }
}

async fn stop_on_ctrl_c(handle: ServerHandle) {
    if tokio::signal::ctrl_c().await.is_ok() {
        handle.stop();
    }
}

/// Says where the page is once the models are loaded.
async fn announce(mut handle: ServerHandle, facts: Facts) {
    handle.reached(Phase::Serving).await;
    println!();
    for PageOrigin { origin, listed } in &facts.origins {
        let policy =
            if *listed { "listed in the CORS policy" } else { "the same page, not listed" };
        println!("  Open       {origin:<24}{policy}");
    }
    println!("  Model API  {}", facts.api);
    println!();
    println!("  Ctrl-C ends both servers.");
}
