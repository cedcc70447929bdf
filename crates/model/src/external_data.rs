//! Weights in files beside the model, as `torch.onnx.export` writes them
//! ([External Data](https://github.com/onnx/onnx/blob/main/docs/ExternalData.md)).
//!
//! The model names the files and is not trusted: it can read files in its own folder only, and each byte
//! once, so that a small model cannot fill the memory.

use crate::constants;
use crate::error::LoadError;
use crate::graph;
use prost::Message;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};
use tract_onnx::pb::{ModelProto, TensorProto};

/// A model with all of its weights in one file.
#[derive(Debug, Clone)]
pub struct Embedded {
    pub onnx: Vec<u8>,
    /// Files that the weights came from; empty if the model had its weights already.
    pub files: Vec<PathBuf>,
}

/// Reads the weights that are in files beside `path`, the model's own file, into the model.
///
/// # Errors
///
/// Returns [`LoadError::NotOnnx`] if `onnx` is not a model, and [`LoadError::Tensor`] if a file is missing
/// or too short.
pub fn embed(onnx: Vec<u8>, path: &Path) -> Result<Embedded, LoadError> {
    let mut model = graph::decode(&onnx)?;
    let files = read_external(&mut model, path)?;
    let onnx = if files.is_empty() { onnx } else { model.encode_to_vec() };
    Ok(Embedded { onnx, files })
}

/// Reads external weights into a decoded model and returns the files, as [`embed`].
pub(crate) fn read_external(
    model: &mut ModelProto,
    path: &Path,
) -> Result<Vec<PathBuf>, LoadError> {
    let mut files = Files { model: path, open: BTreeMap::new() };
    constants::visit(model, &mut |tensor| {
        if !constants::is_outside(tensor) {
            return Ok(());
        }
        let data = files.read(tensor);
        tensor.raw_data =
            data.map_err(|reason| LoadError::Tensor { name: tensor.name.clone(), reason })?;
        tensor.external_data.clear();
        tensor.data_location = None;
        Ok(())
    })?;
    Ok(files.open.into_keys().collect())
}

/// The files that a model's tensors have been read from.
struct Files<'m> {
    /// Path of the model.
    model: &'m Path,
    open: BTreeMap<PathBuf, OpenFile>,
}

struct OpenFile {
    file: File,
    len: u64,
    /// Number of bytes that may still be read. Tensors share no bytes, so it starts as the length.
    unread: u64,
}

impl Files<'_> {
    /// Reads the data of a tensor.
    fn read(&mut self, tensor: &TensorProto) -> Result<Vec<u8>, String> {
        let entry = |key| tensor.external_data.iter().find(|entry| entry.key == key);
        let number = |key| match entry(key) {
            None => Ok(None),
            Some(entry) => entry.value.parse::<u64>().map(Some).map_err(|_| {
                format!("expected a number of bytes as {key}, found `{}`", entry.value)
            }),
        };
        let location = entry("location").ok_or("its data is in another file, which has no name")?;
        let offset = number("offset")?.unwrap_or(0);
        let path = resolve(self.model, &location.value)?;
        let name = path.display().to_string();
        let opened = self.open(path)?;
        let rest = opened.len.saturating_sub(offset);
        let length = number("length")?.unwrap_or(rest);
        if length > rest {
            return Err(format!(
                "expected {length} bytes at {offset} in {name}, found a file of {} bytes",
                opened.len
            ));
        }
        opened.unread = opened.unread.checked_sub(length).ok_or_else(|| {
            format!("expected separate parts of {name} for each tensor, found parts that overlap")
        })?;
        let mut data = vec![];
        opened
            .file
            .seek(SeekFrom::Start(offset))
            .and_then(|_| (&opened.file).take(length).read_to_end(&mut data))
            .map_err(|error| format!("{name} cannot be read: {error}"))?;
        if data.len() as u64 == length {
            Ok(data)
        } else {
            Err(format!("{name} changed while it was read"))
        }
    }

    /// Returns the open file for a path, which is opened only once.
    fn open(&mut self, path: PathBuf) -> Result<&mut OpenFile, String> {
        let name = path.display().to_string();
        match self.open.entry(path) {
            std::collections::btree_map::Entry::Occupied(opened) => Ok(opened.into_mut()),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let fail = |error| format!("its data is in {name}, which cannot be read: {error}");
                // Reading a named pipe would block.
                let len = std::fs::metadata(entry.key())
                    .and_then(|metadata| {
                        if metadata.is_file() {
                            Ok(metadata.len())
                        } else {
                            Err(std::io::Error::other("it is not a regular file"))
                        }
                    })
                    .map_err(fail)?;
                let file = File::open(entry.key()).map_err(fail)?;
                Ok(entry.insert(OpenFile { file, len, unread: len }))
            }
        }
    }
}

/// Returns the path of the file `location`, which must be in the folder of the model or, if the model is
/// a symbolic link, of the file that it points to.
fn resolve(model: &Path, location: &str) -> Result<PathBuf, String> {
    let folder = match model.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let outside =
        || format!("expected its data in a file of the model's folder, found `{location}`");
    let is_inner = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if location.is_empty() || !Path::new(location).components().all(is_inner) {
        return Err(outside());
    }
    let path = folder.join(location);
    let fail = |path: &Path, error| {
        format!("its data is in {}, which cannot be read: {error}", path.display())
    };
    let found = path.canonicalize().map_err(|error| fail(&path, error))?;
    let real = model.canonicalize().ok();
    let real = real.as_deref().and_then(Path::parent).map(Path::to_owned);
    let mut homes = folder.canonicalize().into_iter().chain(real);
    if homes.any(|home| found.starts_with(home)) { Ok(path) } else { Err(outside()) }
}
