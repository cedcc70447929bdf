use crate::cli::ModelArg;
use crate::config::{Limits, VertexRoutes};
use crate::http::{self, State};
use crate::metrics::Metrics;
use paperclip::actix::web::Data;
use std::io::{self, Write};
use std::process::ExitCode;

pub fn run(model: &ModelArg) -> anyhow::Result<ExitCode> {
    let model = model.open()?.load()?;
    let state = Data::new(State::new(
        model,
        Limits::default(),
        VertexRoutes::default(),
        Metrics::default(),
    ));
    let document: serde_json::Value = serde_json::from_slice(&http::document(&state))?;
    writeln!(io::stdout(), "{document:#}")?;
    Ok(ExitCode::SUCCESS)
}
