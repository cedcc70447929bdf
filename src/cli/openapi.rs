//! `ml-app openapi`: prints the OpenAPI document.

use super::model_arg::ModelArg;
use crate::config::Config;
use crate::http::{State, openapi};
use paperclip::actix::web::Data;
use std::io::{self, Write};
use std::process::ExitCode;

pub fn run(model: &ModelArg) -> anyhow::Result<ExitCode> {
    let source = model.open()?;
    let state = Data::new(State::new(source.load()?, source.sha256(), &Config::default()));
    let document: serde_json::Value = serde_json::from_slice(&openapi::document(&state))?;
    writeln!(io::stdout(), "{document:#}")?;
    Ok(ExitCode::SUCCESS)
}
