//! Finds the cases: `cases/<topic>/…/<case>`. Topics can be nested.

use std::fs;
use std::path::{Path, PathBuf};

/// The files of a case, in the order of their names.
const FILES: [&str; 2] = ["data.json", "model.onnx"];

/// Returns the folders of all cases below `folder`, in the order of their paths.
///
/// # Panics
///
/// Panics if a folder is neither a case nor a topic that contains only folders. Otherwise a misplaced or missing file
/// could hide a case.
pub fn cases(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    visit(folder, &mut found);
    found
}

fn visit(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    if entries.iter().map(|entry| entry.file_name().unwrap()).eq(FILES) {
        found.push(folder.to_owned());
        return;
    }
    assert!(
        !entries.is_empty() && entries.iter().all(|entry| entry.is_dir()),
        "{}: expected either {FILES:?} or folders, found {entries:?}",
        folder.display()
    );
    entries.iter().for_each(|entry| visit(entry, found));
}
