//! Embeds the server in another Rust program: configuration in code
//! and a stop from elsewhere in the program.
//!
//! `cargo run --example embed`, then
//! `curl -T models/samples/digit_7_a.png http://127.0.0.1:8080/predictions/digits`

use std::time::Duration;

use torchfront::config::{Config, ListenAddress, LoadModel, LoadModels};
use torchfront::server::{Phase, Role, Server};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = Config {
        inference: ListenAddress::loopback(8080),
        management: ListenAddress::loopback(8081),
        enable_metrics_api: false,
        model_store: Some("models".into()),
        load_models: LoadModels::List(vec![LoadModel { name: None, archive: "digits.mar".into() }]),
        disable_token_authorization: true,
        ..Config::default()
    };
    let server = Server::build(config)?;
    println!("inference on {:?}", server.addresses(Role::Inference));

    let mut handle = server.handle();
    tokio::spawn(async move {
        handle.reached(Phase::Serving).await;
        println!("serving for one minute");
        tokio::time::sleep(Duration::from_secs(60)).await;
        handle.stop();
    });
    server.run().await?;
    Ok(())
}
