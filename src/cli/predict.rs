use crate::cli::ModelArg;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArg,
}

impl Args {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let _ = self.model;
        Ok(ExitCode::SUCCESS)
    }
}
