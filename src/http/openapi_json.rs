//! `/openapi.json`: the OpenAPI 3.1 document of what a listener really answers.
//!
//! Open where TorchServe's own description is: with token authorization it names no model, as who
//! has no key must not learn which there are.

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};

use super::response;
use super::state::State;
use crate::error::ServeError;
use crate::handlers::TensorMetadata;
use crate::openapi::{DescribedModel, DescribedTensor, Served, ServedApi};

/// Answers GET and HEAD.
///
/// # Errors
/// 405 for any other method.
pub(super) fn answer(
    request: &HttpRequest,
    state: &State,
    api: ServedApi,
) -> Result<HttpResponse, ServeError> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(ServeError::method_not_allowed());
    }
    let tokens = state.authorization.is_some();
    let models = if tokens { Vec::new() } else { models(state) };
    let beacon = state.cors.beacon();
    let served = Served {
        api,
        models,
        tokens,
        model_api: state.enable_model_api,
        report_path: beacon.is_enabled().then(|| beacon.path().to_owned()),
    };
    Ok(response::json(StatusCode::OK, &served.document()))
}

/// Every model, by its default version.
fn models(state: &State) -> Vec<DescribedModel> {
    let list = state.registry.list();
    let described = list.iter().map(|model| DescribedModel {
        name: model.name.clone(),
        version: model.version.clone(),
        inputs: model.inputs().into_iter().map(DescribedTensor::from).collect(),
        outputs: model.outputs().into_iter().map(DescribedTensor::from).collect(),
    });
    described.collect()
}

// === impl DescribedTensor ===

impl From<TensorMetadata> for DescribedTensor {
    fn from(tensor: TensorMetadata) -> DescribedTensor {
        let TensorMetadata { name, datatype, shape } = tensor;
        DescribedTensor { name, datatype, shape }
    }
}
