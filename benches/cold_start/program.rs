//! A program, and the measurement of one start.

use crate::client;
use crate::request::Request;
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
    request: &'q Request,
    /// Body of the response that every start must return; empty before the first start.
    pub expected: Vec<u8>,
}

/// Figures of one start. Times are in milliseconds, memory in KiB.
pub struct Start {
    /// Body of the first response.
    pub body: Vec<u8>,
    /// Time from the creation of the process to the first response.
    pub first_response: f64,
    /// Processor time of all threads until the first response.
    pub cpu: f64,
    /// Anonymous memory after the first response.
    pub anonymous: f64,
    /// Resident memory after the first response.
    pub resident: f64,
    /// Names and times of the phases that the program reports in its metrics. Empty if it reports none.
    pub phases: Vec<(String, f64)>,
}

impl<'q> Program<'q> {
    pub fn new(
        name: &'static str,
        path: &Path,
        request: &'q Request,
        workers: Option<usize>,
    ) -> Program<'q> {
        Program { name, path: path.to_owned(), args: vec![], workers, request, expected: vec![] }
    }

    /// Makes the program serve the ONNX file `model` instead of its embedded model.
    pub fn serve(&mut self, model: &Path) {
        self.args = vec!["serve".into(), "--model".into(), model.into()];
    }

    /// Starts the program, sends the request and stops the program.
    pub fn start(&self) -> anyhow::Result<Start> {
        self.measure().with_context(|| format!("{} ({})", self.name, self.path.display()))
    }

    fn measure(&self) -> anyhow::Result<Start> {
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
        let spawned = SystemTime::now();
        let start = Instant::now();
        let mut process = Running(command.spawn()?);
        let mut stream = client::connect(&mut process.0, port)?;
        let response = client::send(&mut stream, &self.request.bytes)?;
        let first_response = start.elapsed().as_secs_f64() * 1e3;
        let id = process.0.id();
        let cpu = cpu(id)?;
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        let found = String::from_utf8_lossy(&response.body);
        if response.status != 200 {
            bail!("expected status 200, found {}: {found}", response.status);
        }
        if !self.expected.is_empty() && self.expected != response.body {
            bail!("expected {}, found {found}", String::from_utf8_lossy(&self.expected));
        }
        Ok(Start {
            body: response.body,
            first_response,
            cpu,
            anonymous: memory(&status, "RssAnon")?,
            resident: memory(&status, "VmRSS")?,
            phases: phases(&mut stream, spawned, first_response)?,
        })
    }
}

/// A process that is killed when this value is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // The process may have exited already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns the processor time of all threads, in milliseconds.
fn cpu(id: u32) -> anyhow::Result<f64> {
    let mut nanoseconds = 0.0;
    for thread in fs::read_dir(format!("/proc/{id}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        let ran: f64 = text.split(' ').next().unwrap_or_default().parse()?;
        nanoseconds += ran;
    }
    Ok(nanoseconds / 1e6)
}

/// Returns a value of `/proc/PID/status`, in KiB.
fn memory(status: &str, name: &str) -> anyhow::Result<f64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let value = value.and_then(|value| value.trim().trim_end_matches(" kB").parse().ok());
    value.with_context(|| format!("no {name} in the process's status"))
}

/// Returns the phases of the start that `/metrics` reports. Adds the time before the first phase, and the time from the
/// last phase to the first response. `spawned` is the time at which the process was created.
fn phases(
    stream: &mut TcpStream,
    spawned: SystemTime,
    first_response: f64,
) -> anyhow::Result<Vec<(String, f64)>> {
    // A server may send a response before it has recorded that it is ready.
    for _ in 0..100 {
        let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let response = client::send(stream, request)?;
        let text = String::from_utf8_lossy(&response.body);
        if response.status != 200 || !text.starts_with('#') {
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
        phases.push(("ready to first response".to_owned(), first_response - before));
        return Ok(phases);
    }
    bail!("/metrics has no process_start_time_seconds");
}
