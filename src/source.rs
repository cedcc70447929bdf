//! Where the model comes from: the binary, or a file given to try one before compiling it in.

use anyhow::{Context, anyhow};
use ml_app_model::{LoadError, Model, Report};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

#[cfg(prepared)]
static EMBEDDED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/model.prepared"));
#[cfg(not(prepared))]
static EMBEDDED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/model.onnx"));

/// What the ONNX file held.
static EMBEDDED_REPORT: &str = include_str!(concat!(env!("OUT_DIR"), "/model.report"));

/// Of the ONNX file, whose weights may have been in others.
static EMBEDDED_SHA256: &str = include_str!(concat!(env!("OUT_DIR"), "/model.sha256"));

/// The embedded model, or an ONNX file.
#[derive(Debug, Clone)]
pub enum Source {
    Embedded,
    File { path: PathBuf, bytes: Vec<u8> },
}

impl Source {
    /// The embedded model, or that of a file.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read.
    pub fn open(path: Option<&Path>) -> anyhow::Result<Source> {
        let Some(path) = path else { return Ok(Source::Embedded) };
        let bytes =
            fs::read(path).with_context(|| format!("cannot read the model {}", path.display()))?;
        Ok(Source::File { path: path.to_owned(), bytes })
    }

    /// # Errors
    ///
    /// Where a file holds no ONNX.
    pub fn report(&self) -> Result<Report, LoadError> {
        match self {
            Source::Embedded => {
                Ok(serde_json::from_str(EMBEDDED_REPORT).expect("the build wrote it"))
            }
            Source::File { bytes, .. } => Report::read(bytes),
        }
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
        match self {
            Source::Embedded if cfg!(prepared) => Model::read_prepared(EMBEDDED),
            Source::Embedded => Model::load(EMBEDDED),
            Source::File { path, bytes } => Model::load_beside(bytes, path),
        }
    }

    /// The path, or that it is the embedded model.
    pub fn place(&self) -> String {
        match self {
            Source::Embedded => "the embedded model".into(),
            Source::File { path, .. } => path.display().to_string(),
        }
    }

    /// Of the ONNX file, in hexadecimal.
    pub fn sha256(&self) -> String {
        match self {
            Source::Embedded => EMBEDDED_SHA256.to_owned(),
            Source::File { bytes, .. } => sha256(bytes),
        }
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
