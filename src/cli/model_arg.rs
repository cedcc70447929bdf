//! The argument `--model`, which most commands share.

use crate::source::Source;
use std::path::PathBuf;

#[derive(Debug, Clone, Default, clap::Args)]
pub struct ModelArg {
    /// Use this ONNX file instead of the embedded model
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
}

impl ModelArg {
    /// Opens the file that `--model` specifies, or the embedded model if there is no `--model`.
    pub fn open(&self) -> anyhow::Result<Source> {
        self.model.as_deref().map_or(Ok(Source::Embedded), Source::open)
    }
}
