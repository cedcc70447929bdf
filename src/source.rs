//! Where the model comes from: the binary, or a file given to try one before compiling it in.

use anyhow::{Context, anyhow};
use ml_app_model::Model;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

static EMBEDDED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/model.onnx"));

/// The bytes of an ONNX file.
#[derive(Debug, Clone)]
pub struct Source {
    /// `None` for the embedded model.
    path: Option<PathBuf>,
    bytes: Cow<'static, [u8]>,
}

impl Source {
    /// The embedded model, or that of a file.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read.
    pub fn open(path: Option<&Path>) -> anyhow::Result<Source> {
        let bytes = match path {
            None => Cow::Borrowed(EMBEDDED),
            Some(path) => fs::read(path)
                .with_context(|| format!("cannot read the model {}", path.display()))?
                .into(),
        };
        Ok(Source { path: path.map(Path::to_owned), bytes })
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// # Errors
    ///
    /// Where the model cannot be served.
    pub fn load(&self) -> anyhow::Result<Model> {
        Model::load(&self.bytes)
            .map_err(|error| anyhow!("{} cannot be served: {error}", self.place()))
    }

    /// The path, or that it is the embedded model.
    pub fn place(&self) -> String {
        self.path.as_ref().map_or("the embedded model".into(), |path| path.display().to_string())
    }

    /// In hexadecimal.
    pub fn sha256(&self) -> String {
        Sha256::digest(&self.bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
