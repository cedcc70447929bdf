//! The cold start of the shipped binary: from `exec` to its first correct response.
//!
//! Each run starts ml-app on a free port, tries to connect until ml-app listens, requests a prediction and
//! checks the response. Two smaller programs are measured in turns with ml-app: a static C program that only binds a
//! port and responds, and a server with actix-web alone, built with the same options as ml-app.
//!
//! ```sh
//! cargo rustc --release --target x86_64-unknown-linux-musl --no-default-features --bin ml-app -- -C lto=thin
//! cargo rustc --release --target x86_64-unknown-linux-musl --no-default-features --example bare -- -C lto=thin
//! cargo bench --bench cold_start
//! ```
//!
//! The clock starts just before the process is created. The files are in the page cache.

mod client;
mod program;
mod request;
mod table;

use anyhow::{Context, bail};
use clap::Parser;
use program::Program;
use request::Request;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const TARGET: &str = "x86_64-unknown-linux-musl";
const BUILD: &str = concat!(
    "  cargo rustc --release --target x86_64-unknown-linux-musl --no-default-features --bin ml-app -- -C lto=thin\n",
    "  cargo rustc --release --target x86_64-unknown-linux-musl --no-default-features --example bare -- -C lto=thin",
);

/// Measures the cold start of ml-app, and of smaller programs for comparison.
#[derive(Debug, Parser)]
struct Options {
    /// Program to measure [env: SERVER_BINARY] [default: the static binary of this project]
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Number of starts of each program
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Serve this ONNX file instead of the embedded model
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Number of I/O threads [default: the default of the program]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Query for /predict instead of the example of the model
    #[arg(long, value_name = "QUERY")]
    query: Option<String>,
    /// Start each program only a few times, as a test
    #[arg(long)]
    test: bool,
    /// `cargo bench` passes this flag
    #[arg(long, hide = true)]
    bench: bool,
    /// Run only if the name of the bench contains this
    #[arg(hide = true)]
    filter: Option<String>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.filter.as_ref().is_some_and(|filter| !"cold_start".contains(filter.as_str())) {
        return ExitCode::SUCCESS;
    }
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> anyhow::Result<()> {
    // CARGO_TARGET_TMPDIR is `target/tmp`, or `target/TRIPLE/tmp` if cargo builds for a target.
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder =
        scratch.parent().context("expected CARGO_TARGET_TMPDIR to have a parent folder")?;
    let folder = if folder.ends_with(TARGET) { folder.into() } else { folder.join(TARGET) };
    let built = folder.join("release");
    let specified =
        options.binary.clone().or_else(|| std::env::var_os("SERVER_BINARY").map(Into::into));
    let binary = specified.unwrap_or_else(|| built.join("ml-app"));
    let bare = binary.with_file_name("examples").join("bare");
    for program in [&binary, &bare] {
        if !program.is_file() {
            bail!("{} is missing; build it with\n{BUILD}", program.display());
        }
    }
    let floor = compile_floor(scratch)?;

    let request = Request::new(&binary, options.model.as_deref(), options.query.as_deref())?;
    let empty = Request::empty();
    let mut programs = [
        Program::new("C, bind and respond", &floor, &empty, options.workers),
        Program::new("actix-web alone", &bare, &empty, options.workers),
        Program::new("ml-app", &binary, &request, options.workers),
    ];
    if let Some(model) = &options.model {
        programs[2].serve(model);
    }
    // The first start of each program is not measured, because it fills the page cache. Every other start must return
    // the same response as the first.
    for program in &mut programs {
        program.expected = program.start()?.body;
    }
    request.check(&programs[2].expected)?;

    let runs = if options.test { 3 } else { options.runs };
    let mut starts = [vec![], vec![], vec![]];
    for _ in 0..runs {
        for (program, starts) in programs.iter().zip(&mut starts) {
            starts.push(program.start()?);
        }
    }
    println!("{runs} starts each, in turns; {}\n", request.text);
    table::print(&programs, &starts, options.model.is_none());
    Ok(())
}

/// Compiles the C program. Returns its path.
fn compile_floor(scratch: &Path) -> anyhow::Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/cold_start/floor.c");
    let floor = scratch.join("cold_start_floor");
    let compiled = Command::new("musl-gcc")
        .args(["-static", "-O2", "-o"])
        .args([&floor, &source])
        .status()
        .context("cannot run musl-gcc, which Debian has in the package musl-tools")?;
    if !compiled.success() {
        bail!("musl-gcc cannot compile {}", source.display());
    }
    Ok(floor)
}
