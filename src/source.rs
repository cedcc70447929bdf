//! Where the model comes from: the binary, or a file given to try one before compiling it in.

use anyhow::{Context, anyhow};
use ml_app_model::{LoadError, Model};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

static EMBEDDED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/model.onnx"));

/// Of the file it was, whose weights may have been in others.
static EMBEDDED_SHA256: &str = include_str!(concat!(env!("OUT_DIR"), "/model.sha256"));

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
        self.model().map_err(|error| anyhow!("{} cannot be served: {error}", self.place()))
    }

    /// # Errors
    ///
    /// As for [`Source::load`].
    pub fn model(&self) -> Result<Model, LoadError> {
        match &self.path {
            None => Model::load(&self.bytes),
            Some(path) => Model::load_beside(&self.bytes, path),
        }
    }

    /// The path, or that it is the embedded model.
    pub fn place(&self) -> String {
        self.path.as_ref().map_or("the embedded model".into(), |path| path.display().to_string())
    }

    /// Of the ONNX file, in hexadecimal.
    pub fn sha256(&self) -> String {
        match self.path {
            None => EMBEDDED_SHA256.to_owned(),
            Some(_) => sha256(&self.bytes),
        }
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
