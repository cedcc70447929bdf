//! Lists the crates in the binary, for vulnerability scanners. The list has the format of
//! [`cargo auditable`]: zlib-compressed JSON in the section `.dep-v0`. In addition, each package has a
//! `license`.
//!
//! [`cargo auditable`]: https://github.com/rust-secure-code/cargo-auditable

use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::error::Error;
use std::io::Write;
use std::process::Command;

/// A build dependency whose files are embedded in the binary. The list contains it as a runtime dependency for that
/// reason.
const EMBEDDED: &str = "utoipa-swagger-ui-vendored";

/// Name and version of a package.
type Id = (String, String);

#[derive(Default)]
struct Package {
    license: String,
    /// True if the package is in this repository.
    local: bool,
    dependencies: BTreeSet<Id>,
}

/// Returns the compressed list of the packages for the current target and features.
///
/// # Errors
///
/// Returns an error if `cargo tree` fails, for example because the sources of a package are missing.
pub fn list() -> Result<Vec<u8>, Box<dyn Error>> {
    let mut packages: BTreeMap<Id, Package> = BTreeMap::new();
    // The packages above the current line in the tree: a package at depth `n` has `n` ancestors.
    let mut ancestors: Vec<Id> = Vec::new();
    for line in tree("normal,build")?.lines() {
        let (id, depth, rest) = parse(line)?;
        ancestors.truncate(depth);
        if let Some(parent) = ancestors.last() {
            packages.entry(parent.clone()).or_default().dependencies.insert(id.clone());
        }
        let (source, license) = rest.split_once('|').ok_or("expected a license, found none")?;
        let package = packages.entry(id.clone()).or_default();
        package.license = license.trim_end_matches(" (*)").replace(" / ", "/").replace('/', " OR ");
        package.local = source.contains(['/', '\\']);
        ancestors.push(id);
    }
    let runtime: BTreeSet<Id> = tree("normal,no-proc-macro")?
        .lines()
        .map(|line| parse(line).map(|(id, ..)| id))
        .collect::<Result<_, _>>()?;
    let index: BTreeMap<&Id, usize> = packages.keys().zip(0..).collect();
    let list: Vec<Value> = packages
        .iter()
        .map(|(id, package)| {
            json!({
                "name": id.0,
                "version": id.1,
                "source": if package.local { "local" } else { "crates.io" },
                "kind": if runtime.contains(id) || id.0 == EMBEDDED { "runtime" } else { "build" },
                "dependencies": package.dependencies.iter().map(|id| index[id]).collect::<Vec<_>>(),
                "root": id.0 == env!("CARGO_PKG_NAME"),
                "license": package.license,
            })
        })
        .collect();
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    zlib.write_all(&serde_json::to_vec(&json!({ "packages": list }))?)?;
    Ok(zlib.finish()?)
}

/// Runs `cargo tree` for the kinds of dependencies in `edges`. Each line of the output describes a package: depth,
/// name, version, path and license. Packages from a registry have no path.
fn tree(edges: &str) -> Result<String, Box<dyn Error>> {
    let features: Vec<String> = env::vars_os()
        .filter_map(|(name, _)| Some(name.to_str()?.strip_prefix("CARGO_FEATURE_")?.to_lowercase()))
        .collect();
    let output = Command::new(env::var("CARGO")?)
        .args(["tree", "--frozen", "--package", env!("CARGO_PKG_NAME"), "--edges", edges])
        .args(["--prefix", "depth", "--format", " {p}|{l}", "--charset", "ascii"])
        .args(["--target", &env::var("TARGET")?])
        .args(["--no-default-features", "--features", &features.join(",")])
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Splits a line of [`tree`] into the package, its depth, and the rest of the line, which is the path and the license.
fn parse(line: &str) -> Result<(Id, usize, &str), Box<dyn Error>> {
    let mut words = line.splitn(3, ' ');
    let mut word = || words.next().ok_or(format!("expected a package, found `{line}`"));
    let (depth, name, rest) = (word()?.parse()?, word()?, word()?);
    let (version, rest) = rest.split_at(rest.find([' ', '|']).unwrap_or(rest.len()));
    Ok(((name.to_owned(), version.trim_start_matches('v').to_owned()), depth, rest))
}
