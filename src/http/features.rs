//! The routes of the project's own protocol: rows of named features in a query string, in a body of JSON, NDJSON or
//! CSV, or in a CSV file that a form uploads.

pub(crate) mod openapi;

use crate::http::body::RequestBody;
use crate::http::negotiate::WireFormat;
use crate::http::predict::respond;
use crate::http::problem::{ErrorFormat, Problem};
use crate::http::route::Api;
use crate::http::state::State;
use crate::protocol::features::{NamedFeatures, Query};
use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use paperclip::actix::api_v2_operation;

pub(crate) static API: Api = Api {
    tag: "prediction",
    description: "Predictions for rows of named features, as JSON, NDJSON, CSV, a file or a query.",
    protocol: Some("features"),
    errors: ErrorFormat::Problem,
    prefixes: &["/predict", "/predict_file"],
    schemas: openapi::schemas,
};

/// Predict one row from query parameters
///
/// Each feature is a query parameter. The value of a feature that is an array is JSON.
#[api_v2_operation(operation_id = "predict_query")]
pub(crate) async fn predict_query(
    request: HttpRequest,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    WireFormat::for_response(request.headers(), &[WireFormat::Json])?;
    let query = Bytes::copy_from_slice(request.query_string().as_bytes());
    let body = RequestBody::new(query, &state);
    Ok(respond(state, body, Query).await?)
}

/// Predict the rows of the request body
///
/// The response to a JSON body has the layout of the body: an object for an object, an array for an array, columns for
/// columns. The response to a CSV or NDJSON body has the format of the body, unless `Accept` prefers a different
/// format.
#[api_v2_operation(operation_id = "predict")]
pub(crate) async fn predict(
    request: HttpRequest,
    payload: Payload,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let format = WireFormat::from_content_type(request.headers())?;
    let named = NamedFeatures {
        request: format,
        response: WireFormat::for_response(request.headers(), format.response_formats())?,
    };
    let body = RequestBody::read(&request, payload, &state).await?;
    Ok(respond(state, body, named).await?)
}

/// Predict the rows of a CSV file
///
/// The first row of the file contains the names of the columns, in any order. Columns that are not features are
/// ignored, and the header `Ignored-Columns` lists them. With `Accept: text/csv`, the response is the file with the
/// prediction appended to each row.
#[api_v2_operation(operation_id = "predict_file")]
pub(crate) async fn predict_file(
    request: HttpRequest,
    payload: Payload,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let format = WireFormat::for_response(request.headers(), &WireFormat::ALL)?;
    let named = NamedFeatures { request: WireFormat::Csv, response: format };
    let body = RequestBody::read_file(&request, payload, &state).await?;
    Ok(respond(state, body, named).await?)
}
