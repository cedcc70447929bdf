//! `ml-app check`: loads a model as the server does, and reports whether the model can be served, or why not.

use super::model_arg::ModelArg;
use super::signature;
use crate::source::Source;
use ml_app_model::error::Unsupported;
use ml_app_model::{LoadError, Model};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// ONNX file to check instead of the embedded model
    #[arg(value_name = "MODEL.onnx", conflicts_with = "model")]
    file: Option<PathBuf>,
    /// List the supported operators instead of checking a model
    #[arg(long, conflicts_with_all = ["file", "model"])]
    operators: bool,
    #[command(flatten)]
    model: ModelArg,
}

impl Args {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        if self.operators {
            let lines: Vec<String> =
                Source::operators()?.into_iter().map(|operator| operator + "\n").collect();
            io::stdout().write_all(lines.concat().as_bytes())?;
            return Ok(ExitCode::SUCCESS);
        }
        let source = match &self.file {
            Some(path) => Source::open(path)?,
            None => self.model.open()?,
        };
        let name = source.name();
        match source.model() {
            Ok(model) => {
                let mut text = format!("{name} can be served{}\n", golden_rows(&model));
                signature::write(&mut text, model.signature())?;
                io::stdout().write_all(text.as_bytes())?;
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => {
                writeln!(io::stdout(), "{name} cannot be served: {}", reason(&error, &source))?;
                Ok(ExitCode::FAILURE)
            }
        }
    }
}

/// Returns the part of the message about the golden rows; empty if the model has none.
fn golden_rows(model: &Model) -> String {
    match model.golden_rows() {
        0 => String::new(),
        1 => ", and reproduces its golden row".into(),
        rows => format!(", and reproduces its {rows} golden rows"),
    }
}

/// Describes the error, with advice for each unsupported operator.
fn reason(error: &LoadError, source: &Source) -> String {
    let LoadError::Unsupported(operators) = error else {
        return error.to_string();
    };
    let opsets = source.report().map(|report| report.opsets).unwrap_or_default();
    let opsets: Vec<String> =
        opsets.iter().map(|(domain, version)| format!("{domain} {version}")).collect();
    let mut text = format!("it has unsupported operators (opsets: {})", opsets.join(", "));
    for operator in operators {
        text.push_str(&format!("\n  {operator}\n    {}", advice(operator)));
    }
    text + "\n`ml-app check --operators` lists the supported operators"
}

/// Returns advice for the person who exported the model.
fn advice(operator: &Unsupported) -> &'static str {
    match operator.operator.rsplit_once('.').map_or("", |(domain, _)| domain) {
        "" => {
            "export the model with a different opset (support is best for opsets 9 to 18), or rewrite this \
             part of the model"
        }
        "ai.onnx.ml" => {
            "export the estimator without this step and apply the step to the data beforehand, \
             or use an estimator with other operators"
        }
        _ => {
            "this operator is not part of the ONNX standard: export the model without fusions and custom \
             operators"
        }
    }
}
