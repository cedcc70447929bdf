//! `ml-app sbom`: prints the software bill of materials (SBOM) from the list of crates that the build embeds.

#![allow(
    unsafe_code,
    reason = "`link_section` is unsafe: some section names have a meaning for the linker"
)]

use crate::source::Source;
use anyhow::{Context, ensure};
use flate2::read::ZlibDecoder;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::process::ExitCode;

/// The list of crates that the build script wrote: zlib-compressed JSON.
const LIST: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/dependencies"));

/// The list of crates, in the section of the binary that `cargo auditable` uses and that scanners search.
//
// SAFETY: `.dep-v0` has no meaning for the linker or the loader.
#[cfg_attr(target_os = "linux", unsafe(link_section = ".dep-v0"))]
static DEPENDENCIES: [u8; LIST.len()] = *include_bytes!(concat!(env!("OUT_DIR"), "/dependencies"));

#[derive(Deserialize)]
struct List {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    source: String,
    kind: String,
    dependencies: Vec<usize>,
    root: bool,
    license: String,
}

impl Package {
    /// Returns the [package URL](https://github.com/package-url/purl-spec) of a crate from crates.io.
    fn purl(&self) -> Option<String> {
        let version = self.version.replace('+', "%2B");
        (self.source == "crates.io").then(|| format!("pkg:cargo/{}@{version}", self.name))
    }

    /// Returns the identifier of the component in the document.
    fn reference(&self) -> String {
        self.purl().unwrap_or_else(|| format!("{}@{}", self.name, self.version))
    }

    fn component(&self) -> Value {
        let mut component = json!({
            "type": if self.root { "application" } else { "library" },
            "bom-ref": self.reference(),
            "name": self.name,
            "version": self.version,
            // Build dependencies are not in the binary.
            "scope": if self.kind == "runtime" { "required" } else { "excluded" },
            "licenses": [{"expression": self.license}],
        });
        if let Some(purl) = self.purl() {
            component["purl"] = purl.into();
        }
        component
    }
}

pub fn run() -> anyhow::Result<ExitCode> {
    ensure!(
        !DEPENDENCIES.is_empty(),
        "this binary has no list of its crates: the build could not create the list, and printed a warning"
    );
    let List { packages } = serde_json::from_reader(ZlibDecoder::new(&DEPENDENCIES[..]))?;
    let root = packages.iter().find(|package| package.root).context("the list has no root")?;
    let source = Source::Embedded;
    let model = source.load()?;
    let mut components: Vec<Value> =
        packages.iter().filter(|package| !package.root).map(Package::component).collect();
    components.push(json!({
        "type": "machine-learning-model",
        "name": model.signature().name,
        "version": model.signature().version,
        "hashes": [{"alg": "SHA-256", "content": source.sha256()}],
    }));
    let dependencies: Vec<Value> = packages
        .iter()
        .map(|package| {
            let on = package.dependencies.iter().map(|&index| packages[index].reference());
            json!({"ref": package.reference(), "dependsOn": on.collect::<Vec<_>>()})
        })
        .collect();
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": root.component()},
        "components": components,
        "dependencies": dependencies,
    });
    writeln!(io::stdout(), "{document:#}")?;
    Ok(ExitCode::SUCCESS)
}
