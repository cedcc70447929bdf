//! A program, and a start of it.

use crate::client;
use crate::question::Question;
use anyhow::{Context, bail};
use std::ffi::OsString;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub struct Program<'q> {
    pub name: &'static str,
    path: PathBuf,
    args: Vec<OsString>,
    workers: Option<usize>,
    question: &'q Question,
    /// That every start must give; empty while it is unknown.
    pub answer: Vec<u8>,
}

/// What a start took, in milliseconds, and what the process had then.
pub struct Start {
    pub answer: Vec<u8>,
    pub answered: f64,
    pub cpu: f64,
    /// KiB.
    pub anonymous: f64,
    /// KiB.
    pub resident: f64,
    /// What the program tells of its start; empty if it tells nothing.
    pub phases: Vec<(String, f64)>,
}

impl<'q> Program<'q> {
    pub fn new(
        name: &'static str,
        path: &Path,
        question: &'q Question,
        workers: Option<usize>,
    ) -> Program<'q> {
        Program { name, path: path.to_owned(), args: vec![], workers, question, answer: vec![] }
    }

    pub fn serve(&mut self, model: &Path) {
        self.args = vec!["serve".into(), "--model".into(), model.into()];
    }

    pub fn start(&self) -> anyhow::Result<Start> {
        self.timed().with_context(|| format!("{} ({})", self.name, self.path.display()))
    }

    fn timed(&self) -> anyhow::Result<Start> {
        let port = client::free_port()?;
        let mut command = Command::new(&self.path);
        command
            .args(&self.args)
            .env_remove("RUST_LOG")
            .env_remove("AIP_HTTP_PORT")
            .env_remove("SAGEMAKER_BIND_TO_PORT")
            .env("PORT", port.to_string())
            .env("ML_APP_HOST", "127.0.0.1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        match self.workers {
            Some(workers) => command.env("ML_APP_WORKERS", workers.to_string()),
            None => command.env_remove("ML_APP_WORKERS"),
        };
        let date = SystemTime::now();
        let start = Instant::now();
        let mut process = Running(command.spawn()?);
        let mut stream = client::connect(&mut process.0, port)?;
        let answer = client::ask(&mut stream, &self.question.request)?;
        let answered = start.elapsed().as_secs_f64() * 1e3;
        let id = process.0.id();
        let cpu = cpu(id)?;
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        let found = String::from_utf8_lossy(&answer.body);
        if answer.status != 200 {
            bail!("expected status 200, but found {}: {found}", answer.status);
        }
        if !self.answer.is_empty() && self.answer != answer.body {
            bail!("expected {}, but found {found}", String::from_utf8_lossy(&self.answer));
        }
        Ok(Start {
            answer: answer.body,
            answered,
            cpu,
            anonymous: memory(&status, "RssAnon")?,
            resident: memory(&status, "VmRSS")?,
            phases: phases(&mut stream, date, answered)?,
        })
    }
}

/// Ends with its value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Milliseconds that all threads of a process have run.
fn cpu(id: u32) -> anyhow::Result<f64> {
    let mut nanoseconds = 0.0;
    for thread in fs::read_dir(format!("/proc/{id}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        let ran: f64 = text.split(' ').next().unwrap_or_default().parse()?;
        nanoseconds += ran;
    }
    Ok(nanoseconds / 1e6)
}

fn memory(status: &str, name: &str) -> anyhow::Result<f64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let value = value.and_then(|value| value.trim().trim_end_matches(" kB").parse().ok());
    value.with_context(|| format!("no {name} in the process's status"))
}

/// From `/metrics`, and what lies before and after them.
fn phases(
    stream: &mut TcpStream,
    spawned: SystemTime,
    answered: f64,
) -> anyhow::Result<Vec<(String, f64)>> {
    // A server may answer before it has noted that it is ready.
    for _ in 0..100 {
        let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let answer = client::ask(stream, request)?;
        let text = String::from_utf8_lossy(&answer.body);
        if answer.status != 200 || !text.starts_with('#') {
            return Ok(vec![]);
        }
        let sample = |line: &str, name: &str| -> Option<(String, f64)> {
            let (labels, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
            Some((labels.to_owned(), value.parse::<f64>().ok()? * 1e3))
        };
        let began = text.lines().find_map(|line| sample(line, "process_start_time_seconds"));
        let Some((_, began)) = began else {
            thread::sleep(Duration::from_millis(1));
            continue;
        };
        let spawned = spawned.duration_since(UNIX_EPOCH)?.as_secs_f64() * 1e3;
        let mut phases = vec![("exec to main".to_owned(), began - spawned)];
        for line in text.lines() {
            let Some((phase, value)) = sample(line, "ml_app_start_seconds{phase=\"") else {
                continue;
            };
            phases.push((phase.trim_end_matches("\"}").to_owned(), value));
        }
        let before: f64 = phases.iter().map(|(_, time)| time).sum();
        phases.push(("ready to answer".to_owned(), answered - before));
        return Ok(phases);
    }
    bail!("/metrics tells nothing of the start");
}
