use crate::cli::{ModelArg, inspect};
use crate::source::Source;
use ml_app_model::error::Unsupported;
use ml_app_model::{LoadError, Model};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The ONNX file; the embedded model if none is given
    #[arg(value_name = "MODEL.onnx", conflicts_with = "model")]
    file: Option<PathBuf>,
    /// List the operators that models may have, instead of checking one
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
        let path = source.place();
        match source.model() {
            Ok(model) => {
                let mut text = format!("{path} can be served{}\n", reproduced(&model));
                inspect::write_signature(&mut text, model.signature())?;
                io::stdout().write_all(text.as_bytes())?;
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => {
                writeln!(io::stdout(), "{path} cannot be served: {}", reason(&error, &source))?;
                Ok(ExitCode::FAILURE)
            }
        }
    }
}

fn reproduced(model: &Model) -> String {
    match model.golden_rows() {
        0 => String::new(),
        1 => ", and reproduces its golden row".into(),
        rows => format!(", and reproduces its {rows} golden rows"),
    }
}

fn reason(error: &LoadError, source: &Source) -> String {
    let LoadError::Unsupported(operators) = error else {
        return error.to_string();
    };
    let opsets = source.report().map(|report| report.opsets).unwrap_or_default();
    let opsets: Vec<String> =
        opsets.iter().map(|(domain, version)| format!("{domain} {version}")).collect();
    let mut text =
        format!("it needs operators that the runtime lacks (opsets: {})", opsets.join(", "));
    for operator in operators {
        text.push_str(&format!("\n  {operator}\n    {}", advice(operator)));
    }
    text + "\n`ml-app check --operators` lists those it has"
}

/// What the person who exported the model can do.
fn advice(operator: &Unsupported) -> &'static str {
    match operator.operator.rsplit_once('.').map_or("", |(domain, _)| domain) {
        "" => {
            "export with another opset (9 to 18 are covered best), or rewrite this part of the model"
        }
        "ai.onnx.ml" => {
            "export the estimator without this step and apply the step to the data before, \
             or use an estimator made of other operators"
        }
        _ => {
            "this operator is no part of the ONNX standard; export without it, as by switching off \
              fusions or custom operators"
        }
    }
}
