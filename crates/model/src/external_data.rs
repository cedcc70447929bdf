//! Weights in files beside the model, as `torch.onnx.export` writes them
//! ([External Data](https://github.com/onnx/onnx/blob/main/docs/ExternalData.md)).
//!
//! The file names come from the model, which is not trusted. Only files in the model's folder or below it are read. If
//! the model file is a symbolic link, files in the folder of the link's target or below it are read too.
//!
//! The total size of the tensors in a file must not exceed the size of the file. Otherwise, a small model could fill the
//! memory with many tensors that share the same bytes of a file.

use crate::constants;
use crate::error::LoadError;
use crate::graph;
use prost::Message;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};
use tract_onnx::pb::{ModelProto, TensorProto};

/// An ONNX file that contains all weights of its model.
#[derive(Debug, Clone)]
pub struct Embedded {
    pub onnx: Vec<u8>,
    /// Paths of the separate files that contained weights. Empty if all weights were in the model file.
    pub files: Vec<PathBuf>,
}

/// Copies weights from separate files into the model. `onnx` is the content of the model file, and `path` is the path
/// of the model file. The separate files must be in the model's folder or below it. If the model file is a symbolic
/// link, they may also be in the folder of the link's target or below it.
///
/// # Errors
///
/// Returns [`LoadError::NotOnnx`] if `onnx` is not an ONNX model with a graph, and [`LoadError::Plan`] if a function of
/// the model cannot be inlined. Returns [`LoadError::Tensor`]
///
/// - if a separate file is missing, too short, not a regular file, or in a different folder;
/// - if a tensor has no `location`, or if its `offset` or `length` is not a number;
/// - if the total size of the tensors in a file is larger than the file, so that some tensors must overlap.
pub fn embed(onnx: Vec<u8>, path: &Path) -> Result<Embedded, LoadError> {
    let mut model = graph::decode(&onnx)?;
    let files = read_external(&mut model, path)?;
    let onnx = if files.is_empty() { onnx } else { model.encode_to_vec() };
    Ok(Embedded { onnx, files })
}

/// Copies weights from separate files into a decoded model, like [`embed`]. Returns the paths of the separate files.
pub(crate) fn read_external(
    model: &mut ModelProto,
    path: &Path,
) -> Result<Vec<PathBuf>, LoadError> {
    let mut files = Files { model: path, by_path: BTreeMap::new() };
    constants::visit(model, &mut |tensor| {
        if !constants::is_external(tensor) {
            return Ok(());
        }
        let data = files.read(tensor);
        tensor.raw_data =
            data.map_err(|reason| LoadError::Tensor { name: tensor.name.clone(), reason })?;
        tensor.external_data.clear();
        tensor.data_location = None;
        Ok(())
    })?;
    Ok(files.by_path.into_keys().collect())
}

/// The separate files from which tensors of a model have been read.
struct Files<'m> {
    /// Path of the model.
    model: &'m Path,
    by_path: BTreeMap<PathBuf, OpenFile>,
}

/// A separate file that contains weights.
struct OpenFile {
    file: File,
    /// Length of the file, in bytes.
    len: u64,
    /// Number of bytes that may still be read. The number starts as `len`, because tensors that share no bytes have a
    /// total size of at most `len`.
    unread: u64,
}

impl Files<'_> {
    /// Reads the data of a tensor.
    fn read(&mut self, tensor: &TensorProto) -> Result<Vec<u8>, String> {
        let entry = |key| tensor.external_data.iter().find(|entry| entry.key == key);
        let number = |key| match entry(key) {
            None => Ok(None),
            Some(entry) => entry.value.parse::<u64>().map(Some).map_err(|_| {
                format!("expected `{key}` to be a number of bytes, found `{}`", entry.value)
            }),
        };
        let location =
            entry("location").ok_or("expected a `location` for its external data, found none")?;
        let offset = number("offset")?.unwrap_or(0);
        let path = resolve(self.model, &location.value)?;
        let name = path.display().to_string();
        let opened = self.open(path)?;
        let available = opened.len.saturating_sub(offset);
        let length = number("length")?.unwrap_or(available);
        if length > available {
            return Err(format!(
                "expected {length} bytes at offset {offset} of {name}, found a file of {} bytes",
                opened.len
            ));
        }
        opened.unread = opened.unread.checked_sub(length).ok_or_else(|| {
            format!("expected tensors that share no bytes of {name}, found overlapping tensors")
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

    /// Returns the open file for a path. Each file is opened only once.
    fn open(&mut self, path: PathBuf) -> Result<&mut OpenFile, String> {
        let name = path.display().to_string();
        match self.by_path.entry(path) {
            std::collections::btree_map::Entry::Occupied(opened) => Ok(opened.into_mut()),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let fail = |error| format!("its data is in {name}, which cannot be read: {error}");
                // Checked before the file is opened: opening a named pipe would block.
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

/// Returns the path of the file `location`, which must be in the model's folder or below it. If the model is a symbolic
/// link, the file may also be in the folder of the link's target or below it.
///
/// # Errors
///
/// Returns a message if the file does not exist, or if the file is in a different folder. Symbolic links are followed
/// before the folders are compared.
fn resolve(model: &Path, location: &str) -> Result<PathBuf, String> {
    let folder = match model.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let outside_error =
        || format!("expected its data in the model's folder or below it, found `{location}`");
    let is_inner = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if location.is_empty() || !Path::new(location).components().all(is_inner) {
        return Err(outside_error());
    }
    let path = folder.join(location);
    let fail = |path: &Path, error| {
        format!("its data is in {}, which cannot be read: {error}", path.display())
    };
    let target = path.canonicalize().map_err(|error| fail(&path, error))?;
    let model_target = model.canonicalize().ok();
    let target_folder = model_target.as_deref().and_then(Path::parent).map(Path::to_owned);
    let mut allowed = folder.canonicalize().into_iter().chain(target_folder);
    if allowed.any(|folder| target.starts_with(folder)) { Ok(path) } else { Err(outside_error()) }
}
