//! The arguments of `ml-app serve`. `main.rs` starts the server.

use super::model_arg::ModelArg;
use crate::config::{Config, Flags};
use crate::source::Source;

#[derive(Debug, Default, clap::Args)]
pub struct ServeArgs {
    #[command(flatten)]
    model: ModelArg,
    #[command(flatten)]
    flags: Flags,
}

impl ServeArgs {
    /// Reads the settings from the flags and the environment.
    ///
    /// # Errors
    ///
    /// Returns an error with one message per invalid setting.
    pub fn config(&self) -> anyhow::Result<Config> {
        Ok(Config::from_environment(&self.flags)?)
    }

    /// Opens the model to serve.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read.
    pub fn source(&self) -> anyhow::Result<Source> {
        self.model.open()
    }
}
