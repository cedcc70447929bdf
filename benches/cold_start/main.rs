//! The cold start of the shipped binary: from `exec` to its first correct answer.
//!
//! Each run starts the program anew on a free port, tries to connect until it listens, asks for a
//! prediction and checks it. Beside it, in turns, two programs that do less: a static one in C that
//! only binds and answers, and actix-web alone, built as ml-app is.
//!
//! ```sh
//! cargo rustc --release --target x86_64-unknown-linux-musl --no-default-features --bin ml-app -- -C lto=thin
//! cargo rustc --release --target x86_64-unknown-linux-musl --no-default-features --example bare -- -C lto=thin
//! cargo bench --bench cold_start
//! ```
//!
//! The clock starts just before the process is made. The files are in the page cache.

mod client;
mod program;
mod question;
mod table;

use anyhow::{Context, bail};
use clap::Parser;
use program::Program;
use question::Question;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const TARGET: &str = "x86_64-unknown-linux-musl";
const BUILD: &str = concat!(
    "  cargo rustc --release --target x86_64-unknown-linux-musl --no-default-features --bin ml-app -- -C lto=thin\n",
    "  cargo rustc --release --target x86_64-unknown-linux-musl --no-default-features --example bare -- -C lto=thin",
);

/// Times the cold start of ml-app beside programs that do less.
#[derive(Debug, Parser)]
struct Options {
    /// The program to time [env: ML_APP_BINARY] [default: the static one of this project]
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// How often each program is started
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Serve this ONNX file instead of the embedded model
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Threads that answer requests [default: as the program has it]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Ask this of /predict instead of the model's own example
    #[arg(long, value_name = "QUERY")]
    query: Option<String>,
    /// A few starts only, to see that all works
    #[arg(long)]
    test: bool,
    /// What cargo passes
    #[arg(long, hide = true)]
    bench: bool,
    /// Only if this is a part of the bench's name
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
    // cargo gives benches a folder in that of the build, or in the target's in there.
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = scratch.parent().context("a folder of the build")?;
    let folder = if folder.ends_with(TARGET) { folder.into() } else { folder.join(TARGET) };
    let built = folder.join("release");
    let given =
        options.binary.clone().or_else(|| std::env::var_os("ML_APP_BINARY").map(Into::into));
    let binary = given.unwrap_or_else(|| built.join("ml-app"));
    let bare = binary.with_file_name("examples").join("bare");
    for program in [&binary, &bare] {
        if !program.is_file() {
            bail!("there is no {}; build it by\n{BUILD}", program.display());
        }
    }
    let floor = compile_floor(scratch)?;

    let question = Question::of(&binary, options.model.as_deref(), options.query.as_deref())?;
    let nothing = Question::nothing();
    let mut programs = [
        Program::new("C, bind and answer", &floor, &nothing, options.workers),
        Program::new("actix-web alone", &bare, &nothing, options.workers),
        Program::new("ml-app", &binary, &question, options.workers),
    ];
    if let Some(model) = &options.model {
        programs[2].serve(model);
    }
    // The first start of each is not timed: it fills the page cache, and gives the answer that all
    // others are compared with.
    for program in &mut programs {
        program.answer = program.start()?.answer;
    }
    question.check(&programs[2].answer)?;

    let runs = if options.test { 3 } else { options.runs };
    let mut starts = [vec![], vec![], vec![]];
    for _ in 0..runs {
        for (program, starts) in programs.iter().zip(&mut starts) {
            starts.push(program.start()?);
        }
    }
    println!("{runs} starts each, in turns; {}\n", question.text);
    table::print(&programs, &starts, options.model.is_none());
    Ok(())
}

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
