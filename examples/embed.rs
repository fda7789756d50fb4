//! Embeds the server in another Rust program: configuration in code, a handler of the program's own, and
//! a stop from elsewhere in the program.
//!
//! `cargo run --example embed`, then
//! `curl -T models/samples/digit_7_a.png http://127.0.0.1:8080/predictions/digits` answers `7`.

use std::sync::Arc;
use std::time::Duration;

use torchfront::config::{Config, ListenAddress, LoadModel, LoadModels};
use torchfront::engine::Value;
use torchfront::handlers::{
    Asked, Catalog, Form, Handler, HandlerError, Prediction, RequestInput, Sample, built_in,
};
use torchfront::server::{Parts, Phase, Role, Server};

/// Reads pictures as the handler that it stands in front of, and answers the best label alone.
struct BestLabel(Arc<dyn Handler>);

impl Handler for BestLabel {
    fn preprocess(&self, input: RequestInput) -> Result<Sample, HandlerError> {
        self.0.preprocess(input)
    }

    fn collate(&self, samples: Vec<Sample>) -> Result<Vec<Value>, HandlerError> {
        self.0.collate(samples)
    }

    fn postprocess(&self, output: Value, asked: &[Asked]) -> Result<Vec<Prediction>, HandlerError> {
        let answers = self.0.postprocess(output, asked)?.into_iter().zip(asked);
        answers
            .map(|(answer, asked)| match asked.form {
                Form::Plain => best(&answer),
                _ => Ok(answer),
            })
            .collect()
    }
}

fn best(answer: &Prediction) -> Result<Prediction, HandlerError> {
    let labels: std::collections::HashMap<String, f64> = serde_json::from_slice(&answer.body)
        .map_err(|error| HandlerError::Model(format!("no labels: {error}")))?;
    let best = labels.into_iter().max_by(|a, b| a.1.total_cmp(&b.1));
    let (label, _) = best.ok_or_else(|| HandlerError::Model("no classes".to_owned()))?;
    Ok(Prediction::new("text/plain", label))
}

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
    // The archive's manifest names `image_classifier`: this one takes its place.
    let handlers = Catalog::default().with("image_classifier", |settings| {
        Ok(Arc::new(BestLabel(built_in("image_classifier", settings)?)))
    });
    let server = Server::build_with(config, Parts { engine: None, handlers })?;
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
