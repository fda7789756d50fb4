//! `GET /models?limit=&next_page_token=`: the default version of every model, by name, in pages.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use super::parameters::Parameters;
use crate::http::response;
use crate::http::state::State;

/// TorchServe's page size, and the largest one.
const PAGE: usize = 100;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listing<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
    models: Vec<Listed<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'a> {
    model_name: &'a str,
    model_url: &'a str,
}

/// The page that was asked for. A token is given whenever the page is full up to the last model, as
/// TorchServe does.
pub(super) fn answer(request: &HttpRequest, state: &State) -> HttpResponse {
    let parameters = Parameters::of_query(request.query_string());
    let number = |name| parameters.number(name).and_then(|number| usize::try_from(number).ok());
    let limit = number("limit").filter(|limit| *limit <= PAGE).unwrap_or(PAGE);
    let offset = number("next_page_token").unwrap_or(0);
    let models = state.registry.list();
    let end = offset.saturating_add(limit);
    let page = models.iter().skip(offset).take(limit);
    let listing = Listing {
        next_page_token: (end <= models.len()).then(|| end.to_string()),
        models: page
            .map(|model| Listed { model_name: &model.name, model_url: &model.url })
            .collect(),
    };
    response::json(StatusCode::OK, &listing)
}
