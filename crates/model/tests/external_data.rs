//! Checks that [`Model`] reads weights from files in the model's folder. Also checks that [`Model`] rejects a file that
//! is in a different folder, or that does not fit the model's declaration.

#![allow(clippy::unwrap_used)]

use ml_app_model::{Model, external_data};
use prost::Message;
use std::fs;
use std::path::{Path, PathBuf};
use tract_onnx::pb::ModelProto;

/// Copies the case `external-data` to the folder `name`. Sets `entries` in the `external_data` of the weights in the
/// copied model, and returns the path of the copied model.
fn copy_model(name: &str, entries: &[(&str, &str)]) -> PathBuf {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/external-data");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("external-data").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    fs::copy(case.join("weights.bin"), folder.join("weights.bin")).unwrap();
    let mut model = ModelProto::decode(&*fs::read(case.join("model.onnx")).unwrap()).unwrap();
    let weights = &mut model.graph.as_mut().unwrap().initializer[0];
    for (key, value) in entries {
        weights.external_data.retain(|entry| entry.key != *key);
        let (key, value) = ((*key).to_owned(), (*value).to_owned());
        weights.external_data.push(tract_onnx::pb::StringStringEntryProto { key, value });
    }
    let path = folder.join("model.onnx");
    fs::write(&path, model.encode_to_vec()).unwrap();
    path
}

/// Returns the error of loading a model. Checks that embedding the weights of the model returns the same error.
fn rejection(path: &Path) -> String {
    let bytes = fs::read(path).unwrap();
    let error = Model::load_beside(&bytes, path).unwrap_err().to_string();
    assert_eq!(external_data::embed(bytes, path).unwrap_err().to_string(), error);
    error
}

#[test]
fn embeds_weights_into_the_model() {
    let path = copy_model("unchanged", &[]);
    let bytes = fs::read(&path).unwrap();
    assert!(Model::load_beside(&bytes, &path).is_ok());
    let error = Model::load(&bytes).unwrap_err().to_string();
    assert!(error.contains("tensor `weights`: its data is in a separate file"), "{error}");

    let embedded = external_data::embed(bytes, &path).unwrap();
    assert_eq!(embedded.files, [path.with_file_name("weights.bin")]);
    assert!(Model::load(&embedded.onnx).is_ok());

    let unchanged = external_data::embed(embedded.onnx.clone(), &path).unwrap();
    assert!(unchanged.files.is_empty());
    assert_eq!(unchanged.onnx, embedded.onnx);
}

#[test]
fn rejects_files_outside_the_folder_of_the_model() {
    for location in ["../weights.bin", "/etc/hostname", "a/../../weights.bin", ""] {
        let error = rejection(&copy_model("outside", &[("location", location)]));
        assert!(error.contains("in the model's folder or below it, found"), "{error}");
    }
    let path = copy_model("link", &[("location", "link.bin")]);
    std::os::unix::fs::symlink("/etc/hostname", path.with_file_name("link.bin")).unwrap();
    assert!(rejection(&path).contains("found `link.bin`"));
}

/// The caches of model hubs consist of symbolic links to files in a different folder.
#[test]
fn follows_links_to_a_model_and_its_weights() {
    let target = copy_model("linked", &[]);
    let folder = target.with_file_name("snapshot");
    fs::create_dir(&folder).unwrap();
    for name in ["model.onnx", "weights.bin"] {
        std::os::unix::fs::symlink(target.with_file_name(name), folder.join(name)).unwrap();
    }
    let path = folder.join("model.onnx");
    assert!(Model::load_beside(&fs::read(&path).unwrap(), &path).is_ok());
}

#[test]
fn rejects_files_that_are_not_as_the_model_declares() {
    for (entries, expected) in [
        (vec![("location", "none.bin")], "none.bin, which cannot be read: No such file"),
        (vec![("location", ".")], "it is not a regular file"),
        (vec![("length", "9")], "expected 9 bytes at offset 0 of"),
        (vec![("offset", "4"), ("length", "8")], "found a file of 8 bytes"),
        (vec![("offset", "18446744073709551615"), ("length", "1")], "found a file of 8 bytes"),
        (vec![("length", "-1")], "expected `length` to be a number of bytes, found `-1`"),
    ] {
        let error = rejection(&copy_model("wrong", &entries));
        assert!(error.contains(expected), "expected {expected}, found {error}");
    }
    let path = copy_model("short", &[("length", "4")]);
    let error = Model::load_beside(&fs::read(&path).unwrap(), &path).unwrap_err().to_string();
    assert!(error.contains("expected 8 bytes for shape [2, 1], found 4"), "{error}");
}
