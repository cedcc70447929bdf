//! Where the model comes from: the binary, or a file given to try one before compiling it in.

#[cfg(feature = "onnx")]
mod file;

use anyhow::anyhow;
#[cfg(prepared)]
use ml_app_model::forms::Reader;
use ml_app_model::{LoadError, Model, Report};
use std::path::Path;

#[cfg(prepared)]
static EMBEDDED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/model.prepared"));
#[cfg(prepared)]
static EMBEDDED_WEIGHTS: &Aligned<[u8]> =
    &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/model.weights")));
#[cfg(prepared)]
static EMBEDDED_READERS: &[Reader] = &include!(concat!(env!("OUT_DIR"), "/model.readers"));
#[cfg(not(prepared))]
static EMBEDDED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/model.onnx"));

/// What the ONNX file held.
static EMBEDDED_REPORT: &str = include_str!(concat!(env!("OUT_DIR"), "/model.report"));

/// Of the ONNX file, whose weights may have been in others.
static EMBEDDED_SHA256: &str = include_str!(concat!(env!("OUT_DIR"), "/model.sha256"));

#[cfg(not(feature = "onnx"))]
const NO_ONNX: &str = "this ml-app has one model and reads no other, as it was built without the \
                       feature `onnx`; `cargo build --release` builds one that does";

/// At an address where a kernel can use them.
#[cfg(prepared)]
#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

/// The embedded model, or an ONNX file.
#[derive(Debug, Clone)]
pub enum Source {
    Embedded,
    #[cfg(feature = "onnx")]
    File(file::File),
}

impl Source {
    /// # Errors
    ///
    /// Where the file cannot be read, or the binary reads none.
    #[cfg(feature = "onnx")]
    pub fn open(path: &Path) -> anyhow::Result<Source> {
        file::File::open(path).map(Source::File)
    }

    #[cfg(not(feature = "onnx"))]
    pub fn open(path: &Path) -> anyhow::Result<Source> {
        anyhow::bail!("cannot read the model {}: {NO_ONNX}", path.display())
    }

    /// Operators that models may have.
    ///
    /// # Errors
    ///
    /// Where the binary reads no models.
    pub fn operators() -> anyhow::Result<Vec<String>> {
        #[cfg(feature = "onnx")]
        return Ok(ml_app_model::operators::supported());
        #[cfg(not(feature = "onnx"))]
        anyhow::bail!(NO_ONNX)
    }

    /// # Errors
    ///
    /// Where a file holds no ONNX.
    pub fn report(&self) -> Result<Report, LoadError> {
        match self {
            Source::Embedded => {
                Ok(serde_json::from_str(EMBEDDED_REPORT).expect("the build wrote it"))
            }
            #[cfg(feature = "onnx")]
            Source::File(file) => file.report(),
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
            #[cfg(prepared)]
            Source::Embedded => {
                Model::read_prepared(EMBEDDED, &EMBEDDED_WEIGHTS.0, EMBEDDED_READERS)
            }
            #[cfg(not(prepared))]
            Source::Embedded => Model::load(EMBEDDED),
            #[cfg(feature = "onnx")]
            Source::File(file) => file.model(),
        }
    }

    /// The path, or that it is the embedded model.
    pub fn place(&self) -> String {
        match self {
            Source::Embedded => "the embedded model".into(),
            #[cfg(feature = "onnx")]
            Source::File(file) => file.path().display().to_string(),
        }
    }

    /// Of the ONNX file, in hexadecimal.
    pub fn sha256(&self) -> String {
        match self {
            Source::Embedded => EMBEDDED_SHA256.to_owned(),
            #[cfg(feature = "onnx")]
            Source::File(file) => file.sha256(),
        }
    }
}
