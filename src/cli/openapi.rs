use crate::cli::ModelArg;
use crate::config::Limits;
use crate::http::{self, State};
use crate::metrics::Metrics;
use paperclip::actix::web::Data;
use std::io::{self, Write};
use std::process::ExitCode;

pub fn run(model: &ModelArg) -> anyhow::Result<ExitCode> {
    let state = Data::new(State::new(model.open()?.load()?, Limits::default(), Metrics::default()));
    // The document is made of the routes that an app registers.
    drop(http::app(state.clone()));
    let document: serde_json::Value = serde_json::from_slice(&state.document())?;
    writeln!(io::stdout(), "{document:#}")?;
    Ok(ExitCode::SUCCESS)
}
