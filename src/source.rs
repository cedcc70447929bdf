//! The source of the model: the binary, or an ONNX file.

#[cfg(feature = "onnx")]
mod file;

use anyhow::anyhow;
#[cfg(prepared = "plan")]
use ml_app_model::serialized_operators::Reader;
use ml_app_model::{LoadError, Model, Report};
use std::path::Path;

// The build script sets `prepared` if it could serialize the model: "plan" for an optimized model, "dynamic" for a
// graph whose plans are made for the shapes of a request. Otherwise, the build script embeds the ONNX file, and the
// server optimizes the model at each start.
#[cfg(any(prepared = "plan", prepared = "dynamic"))]
static EMBEDDED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/model.prepared"));
#[cfg(any(prepared = "plan", prepared = "dynamic"))]
static EMBEDDED_WEIGHTS: &Aligned<[u8]> =
    &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/model.weights")));
#[cfg(prepared = "plan")]
static EMBEDDED_READERS: &[Reader] = &include!(concat!(env!("OUT_DIR"), "/model.readers"));
#[cfg(not(any(prepared = "plan", prepared = "dynamic")))]
static EMBEDDED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/model.onnx"));

/// The [`Report`] of the embedded model's ONNX file, as JSON.
static EMBEDDED_REPORT: &str = include_str!(concat!(env!("OUT_DIR"), "/model.report"));

/// SHA-256 of the embedded model's ONNX file, in hexadecimal. The hash does not cover weights in separate files.
static EMBEDDED_SHA256: &str = include_str!(concat!(env!("OUT_DIR"), "/model.sha256"));

#[cfg(not(feature = "onnx"))]
const NO_ONNX: &str = "this binary was built without the feature `onnx` and serves only its embedded \
                       model; `cargo build --release` builds a binary that reads ONNX files";

/// Aligns the weights to a cache line, so that kernels can use the embedded weights without a copy.
#[cfg(any(prepared = "plan", prepared = "dynamic"))]
#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

/// The embedded model, or an ONNX file.
#[derive(Debug, Clone)]
pub enum Source {
    /// The model that the build embedded.
    Embedded,
    /// An ONNX file, read at run time.
    #[cfg(feature = "onnx")]
    File(file::File),
}

impl Source {
    /// Reads an ONNX file.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read, or if this binary cannot read ONNX files.
    #[cfg(feature = "onnx")]
    pub(crate) fn open(path: &Path) -> anyhow::Result<Source> {
        file::File::open(path).map(Source::File)
    }

    #[cfg(not(feature = "onnx"))]
    pub(crate) fn open(path: &Path) -> anyhow::Result<Source> {
        anyhow::bail!("cannot read the model {}: {NO_ONNX}", path.display())
    }

    /// Returns the names of the supported operators.
    ///
    /// # Errors
    ///
    /// Returns an error if this binary cannot read ONNX files.
    pub(crate) fn operators() -> anyhow::Result<Vec<String>> {
        #[cfg(feature = "onnx")]
        return Ok(ml_app_model::operators::supported());
        #[cfg(not(feature = "onnx"))]
        anyhow::bail!(NO_ONNX)
    }

    /// Returns a report on the content of the ONNX file, even if the model cannot be served.
    ///
    /// # Errors
    ///
    /// Returns an error if the file is not an ONNX model.
    pub(crate) fn report(&self) -> Result<Report, LoadError> {
        match self {
            Source::Embedded => {
                Ok(serde_json::from_str(EMBEDDED_REPORT).expect("the build script wrote it"))
            }
            #[cfg(feature = "onnx")]
            Source::File(file) => file.report(),
        }
    }

    /// Loads the model. An error message starts with the name of the source.
    ///
    /// # Errors
    ///
    /// Returns an error if the model cannot be served.
    pub fn load(&self) -> anyhow::Result<Model> {
        self.model().map_err(|error| anyhow!("{} cannot be served: {error}", self.name()))
    }

    /// Loads the model.
    ///
    /// # Errors
    ///
    /// Returns an error if the model cannot be served.
    pub(crate) fn model(&self) -> Result<Model, LoadError> {
        match self {
            #[cfg(prepared = "plan")]
            Source::Embedded => {
                Model::read_prepared(EMBEDDED, &EMBEDDED_WEIGHTS.0, EMBEDDED_READERS)
            }
            #[cfg(prepared = "dynamic")]
            Source::Embedded => Model::read_dynamic(EMBEDDED, &EMBEDDED_WEIGHTS.0),
            #[cfg(not(any(prepared = "plan", prepared = "dynamic")))]
            Source::Embedded => Model::load(EMBEDDED),
            #[cfg(feature = "onnx")]
            Source::File(file) => file.model(),
        }
    }

    /// Returns the path of the file, or "the embedded model".
    pub(crate) fn name(&self) -> String {
        match self {
            Source::Embedded => "the embedded model".into(),
            #[cfg(feature = "onnx")]
            Source::File(file) => file.path().display().to_string(),
        }
    }

    /// Returns the SHA-256 of the ONNX file, in hexadecimal.
    pub fn sha256(&self) -> String {
        match self {
            Source::Embedded => EMBEDDED_SHA256.to_owned(),
            #[cfg(feature = "onnx")]
            Source::File(file) => file.sha256(),
        }
    }
}
