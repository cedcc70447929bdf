//! Reads data sets in the layout of ONNX's own backend tests. A case has the folders `test_data_set_0`,
//! `test_data_set_1`, …. Each folder has the files `input_0.pb`, `output_0.pb` and so on, with one
//! tensor per file.

use onnx_ml::element_types::formats::FLOAT16;
use onnx_ml::element_types::widen;
use std::fs::File;
use std::path::{Path, PathBuf};
use tract_onnx::data_resolver::MmapDataResolver;
use tract_onnx::prelude::*;
use tract_onnx::tensor::{load_tensor, proto_from_reader};

/// Returns the folders of a case's data sets.
pub fn data_sets(case: &Path) -> Vec<PathBuf> {
    let folders = (0..).map(|number| case.join(format!("test_data_set_{number}")));
    folders.take_while(|folder| folder.exists()).collect()
}

/// Returns the inputs or the outputs of a data set. `kind` is `input` or `output`.
///
/// # Errors
///
/// Returns an error if a file is not a tensor.
pub fn tensors(data_set: &Path, kind: &str) -> TractResult<Vec<Tensor>> {
    (0..)
        .map(|number| data_set.join(format!("{kind}_{number}.pb")))
        .take_while(|path| path.exists())
        .map(|path| {
            let mut tensor = proto_from_reader(File::open(path)?)?;
            // A model returns outputs of type `float16` as `float16`. It returns outputs of any other type that tract
            // lacks in the type of the carrier.
            if tensor.data_type != FLOAT16 {
                widen(&mut tensor)?;
            }
            load_tensor(&MmapDataResolver, &tensor, None)
        })
        .collect()
}
