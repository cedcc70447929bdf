//! An ONNX file, read at run time.

use anyhow::Context;
use ml_app_model::{LoadError, Model, Report};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// The file's path and content.
#[derive(Debug, Clone)]
pub struct File {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl File {
    pub fn open(path: &Path) -> anyhow::Result<File> {
        let bytes =
            fs::read(path).with_context(|| format!("cannot read the model {}", path.display()))?;
        Ok(File { path: path.to_owned(), bytes })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn report(&self) -> Result<Report, LoadError> {
        Report::read(&self.bytes)
    }

    pub fn model(&self) -> Result<Model, LoadError> {
        Model::load_beside(&self.bytes, &self.path)
    }

    pub fn sha256(&self) -> String {
        Sha256::digest(&self.bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
