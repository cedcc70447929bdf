//! Prepares the files that the binary embeds: the model, the list of crates, and the assets of the
//! Swagger page. The environment variable `MODEL` is the path of the model (default `model.onnx`). The build
//! fails if the model cannot be served.
//!
//! Also passes the linker script `build/order.ld` to the linker. With this script, functions that run during a start
//! are adjacent in the binary.

#[path = "build/dependencies.rs"]
mod dependencies;

use ml_app_model::serialized_operators::Reader;
use ml_app_model::{LoadError, Model, PreparedKind, Report, external_data};
use sha2::{Digest, Sha256};
use std::error::Error;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Files of Swagger UI that the documentation page needs.
const ASSETS: [&str; 2] = ["swagger-ui-bundle.js", "swagger-ui.css"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=MODEL");
    order_functions();
    let result = out_dir().and_then(|out| {
        embed_model(&out)?;
        embed_dependencies(&out)?;
        embed_assets(&out)
    });
    if let Err(error) = result {
        for line in error.to_string().lines() {
            println!("cargo::error={line}");
        }
    }
}

fn out_dir() -> Result<PathBuf, Box<dyn Error>> {
    Ok(env::var_os("OUT_DIR")
        .ok_or("expected cargo to set OUT_DIR, found no such variable")?
        .into())
}

/// Passes the linker script `build/order.ld` to the linker. With this script, functions that run during a start are
/// adjacent, so that a start reads fewer pages of the binary. Only the static binary uses the script.
fn order_functions() {
    println!("cargo::rerun-if-changed=build/order.ld");
    if env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "musl") {
        let root = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo::rustc-link-arg-bins=-T{root}/build/order.ld");
    }
}

/// Checks the model and writes it in serialized form, or as ONNX if the model cannot be serialized. Also writes the
/// report and the hash of the model.
fn embed_model(out: &Path) -> Result<(), Box<dyn Error>> {
    let path = PathBuf::from(env::var_os("MODEL").unwrap_or_else(|| "model.onnx".into()));
    println!("cargo::rerun-if-changed={}", path.display());
    let bytes = fs::read(&path)
        .map_err(|error| format!("cannot read the model {}: {error}", path.display()))?;
    let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let embedded = external_data::embed(bytes, &path).map_err(|error| rejection(&path, &error))?;
    for file in &embedded.files {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    let rejected = |error| rejection(&path, &error);
    let model = Model::load(&embedded.onnx).map_err(rejected)?;
    let report = Report::read(&embedded.onnx).map_err(rejected)?;
    fs::write(out.join("model.report"), serde_json::to_vec(&report)?)?;
    fs::write(out.join("model.sha256"), digest)?;
    println!("cargo::rustc-check-cfg=cfg(prepared, values(\"plan\", \"dynamic\"))");
    match model.prepared() {
        Ok(prepared) => {
            fs::write(out.join("model.prepared"), &prepared.model)?;
            fs::write(out.join("model.weights"), &prepared.weights)?;
            match &prepared.kind {
                PreparedKind::Plan(readers) => {
                    println!("cargo::rustc-cfg=prepared=\"plan\"");
                    fs::write(out.join("model.readers"), paths(readers))?;
                }
                PreparedKind::Dynamic => println!("cargo::rustc-cfg=prepared=\"dynamic\""),
            }
            prepared.read().map_err(rejected)?;
        }
        Err(error) => {
            println!(
                "cargo::warning=the model cannot be prepared, so the server will read and optimize it at each \
                 start: {error}"
            );
            fs::write(out.join("model.onnx"), embedded.onnx)?;
        }
    }
    Ok(())
}

/// Returns a list of Rust paths. The server includes the list as source code, so that the binary contains only the
/// readers that the model needs.
fn paths(readers: &[Reader]) -> String {
    let paths = readers.iter();
    let paths: Vec<_> = paths
        .map(|reader| format!("ml_app_model::serialized_operators::{}", reader.name))
        .collect();
    format!("[{}]", paths.join(", "))
}

fn rejection(path: &Path, error: &LoadError) -> String {
    format!(
        "the model {} cannot be served: {error}\n\
         run `ml-app check {}` for details",
        path.display(),
        path.display()
    )
}

fn embed_dependencies(out: &Path) -> Result<(), Box<dyn Error>> {
    for file in ["Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={file}");
    }
    let list = dependencies::list().unwrap_or_else(|error| {
        println!(
            "cargo::warning=the binary will not contain the list of its crates: {}",
            error.to_string().replace('\n', " ")
        );
        Vec::new()
    });
    fs::write(out.join("dependencies"), list)?;
    Ok(())
}

/// Writes the assets in gzip format, so that the server can send the files without compressing them. The zip archive
/// already contains deflated data, so this function only adds the header and the trailer of gzip
/// ([RFC 1952](https://www.rfc-editor.org/rfc/rfc1952)).
fn embed_assets(out: &Path) -> Result<(), Box<dyn Error>> {
    let mut archive =
        zip::ZipArchive::new(Cursor::new(utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED))?;
    let root = archive.name_for_index(0).ok_or("the archive of Swagger UI is empty")?;
    let prefix = format!("{}/dist/", root?.split('/').next().unwrap_or_default());
    for name in ASSETS {
        let file = format!("{prefix}{name}");
        let index = archive
            .index_for_name(&file)
            .ok_or(format!("the archive of Swagger UI has no {file}"))?;
        let mut file = archive.by_index_raw(index)?;
        // The gzip header: magic number, method 8 (deflate), no flags, no time, no extra flags, unknown operating
        // system.
        let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
        file.read_to_end(&mut gzip)?;
        gzip.extend(file.crc32().to_le_bytes());
        gzip.extend(u32::try_from(file.size())?.to_le_bytes());
        fs::write(out.join(format!("{name}.gz")), gzip)?;
    }
    Ok(())
}
