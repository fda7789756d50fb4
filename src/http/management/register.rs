//! `POST /models`: registers a model of the model store, or one that is downloaded into it.
//!
//! | parameter | default |
//! |---|---|
//! | `url` | required: a file or directory of the model store, or an allowed `http(s)` URL |
//! | `model_name`, `runtime`, `handler` | the archive's manifest |
//! | `batch_size`, `max_batch_delay`, `response_timeout`, `startup_timeout` | `model-config.yaml`, the `models` property, the server's default |
//! | `initial_workers` | as above, then `default_workers_per_model`, then 0 |
//! | `synchronous` | true |
//!
//! They stand in the query, or in a JSON body that says that it is one: a page of another site
//! cannot send that without being asked for by a preflight. `s3_sse_kms` is refused: this server signs
//! no request, the URL itself can be signed. Unknown parameters are ignored.

use std::error::Error;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use actix_http::Payload;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use tokio::sync::oneshot;

use super::parameters::Parameters;
use super::{accepted, status};
use crate::error::ServeError;
use crate::http::body;
use crate::http::state::State;
use crate::registry::{LoadRequest, PartialSettings, Registry};

/// Bytes of a JSON body: a call has a dozen short values.
const MAX_BODY: usize = 64 << 10;

const PARAMETERS: [&str; 11] = [
    "url",
    "model_name",
    "runtime",
    "handler",
    "batch_size",
    "max_batch_delay",
    "response_timeout",
    "startup_timeout",
    "initial_workers",
    "synchronous",
    "s3_sse_kms",
];

/// What a registration has come to.
enum Registered {
    /// It goes on behind the answer.
    Accepted,
    /// It is done.
    Done { name: String, version: String, workers: usize },
}

/// Answers at the end of the registration, or, when `synchronous` is false and workers are asked
/// for, as soon as the archive is known to be sound and nobody else has its name and version.
pub(super) async fn answer(
    request: &HttpRequest,
    payload: &mut Payload,
    state: &State,
) -> Result<HttpResponse, ServeError> {
    if !state.enable_model_api {
        return Err(ServeError::method_not_allowed());
    }
    let parameters = if body::is_json(request) {
        let mut limits = state.body_limits;
        limits.size = limits.size.min(MAX_BODY);
        Parameters::of_json(
            &body::collect(request, payload, limits, &state.bounds).await?,
            &PARAMETERS,
        )?
    } else {
        Parameters::of_query(request.query_string())
    };
    let call = load_request(&parameters)?;
    let synchronous = parameters.flag_or("synchronous", true);
    let registry = Arc::clone(&state.registry);
    let (sender, told) = oneshot::channel();
    // One task for all of it: a client that goes away leaves nothing half done.
    drop(tokio::task::spawn_blocking(move || register(&registry, call, synchronous, sender)));
    // Without a word the task has panicked; the panic hook has logged why.
    match told.await.unwrap_or_else(|_| Err(ServeError::internal()))? {
        Registered::Accepted => Ok(accepted()),
        Registered::Done { name, version, workers } => {
            let hint = match workers {
                0 => ". Use scale workers API to add workers for the model.",
                _ => "",
            };
            let text = format!(
                "Model \"{name}\" Version: {version} registered with {workers} initial workers{hint}"
            );
            Ok(status(StatusCode::OK, text))
        }
    }
}

/// Tells `told` once; what comes after that is in the log only.
fn register(
    registry: &Registry,
    call: LoadRequest,
    synchronous: bool,
    told: oneshot::Sender<Result<Registered, ServeError>>,
) {
    let url = call.shown_url();
    let mut told = Some(told);
    let mut tell = |outcome| {
        if let Some(told) = told.take() {
            // The client may have gone away.
            let _gone = told.send(outcome);
        }
    };
    let registered = registry.prepare(call).and_then(|registration| {
        if !synchronous && registration.workers() > 0 {
            tell(Ok(Registered::Accepted));
        }
        registration.complete()
    });
    match registered {
        Ok(model) => {
            let (name, version) = (model.name.clone(), model.version.clone());
            let workers = model.worker_count();
            tracing::info!(model = name, version, workers, "model registered");
            tell(Ok(Registered::Done { name, version, workers }));
        }
        Err(error) => {
            // The cause may hold a path of this machine: it is for the log alone.
            let cause = error.source().map(tracing::field::display);
            tracing::error!(archive = url, %error, cause, "Failed to register model");
            tell(Err(error.into()));
        }
    }
}

fn load_request(parameters: &Parameters) -> Result<LoadRequest, ServeError> {
    let Some(url) = parameters.text("url") else {
        return Err(ServeError::bad_request("Parameter url is required."));
    };
    if url.contains("://") && parameters.flag("s3_sse_kms") {
        return Err(ServeError::bad_request(
            "Parameter s3_sse_kms is not supported: give a signed https URL",
        ));
    }
    let text = |name| parameters.text(name).map(str::to_owned);
    // TorchServe's -1, and everything else that is no amount, is what the next source says.
    let number = |name| {
        let number = parameters.checked_number(name)?;
        Ok::<_, ServeError>(number.and_then(|number| u32::try_from(number).ok()))
    };
    let seconds = |seconds: u32| (seconds > 0).then(|| Duration::from_secs(seconds.into()));
    let millis = |millis: u32| Duration::from_millis(millis.into());
    let workers = parameters.checked_number("initial_workers")?;
    Ok(LoadRequest {
        url: url.to_owned(),
        name: text("model_name"),
        handler: text("handler"),
        runtime: text("runtime"),
        settings: PartialSettings {
            batch_size: number("batch_size")?.and_then(|size| NonZeroUsize::new(size as usize)),
            max_batch_delay: number("max_batch_delay")?.map(millis),
            response_timeout: number("response_timeout")?.and_then(seconds),
            startup_timeout: number("startup_timeout")?.and_then(seconds),
            ..PartialSettings::default()
        },
        initial_workers: workers.map(|workers| usize::try_from(workers).unwrap_or(0)),
        ..LoadRequest::default()
    })
}
