//! Starts a server for a test on a free port, and sends requests to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Maximum time to wait for an event. A test that waits longer fails.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Waits until a condition is true. Fails after [`PATIENCE`]. `what` describes the condition for the error message.
pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "expected that {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

pub struct Server {
    process: Child,
    address: String,
    /// Lines that the server printed until it was ready.
    pub announcement: Vec<String>,
    /// Text that the server has printed since it was ready.
    log: Arc<Mutex<String>>,
}

pub struct Response {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub body: String,
}

impl Response {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Server {
    pub fn start(args: &[&str]) -> Server {
        Server::start_in(&[], args)
    }

    /// Starts a server with further environment variables.
    pub fn start_in(environment: &[(&str, &str)], args: &[&str]) -> Server {
        let mut process = Command::new(env!("CARGO_BIN_EXE_ml-app"))
            .args(["serve", "--host", "127.0.0.1", "--port", "0", "--workers", "1"])
            .args(args)
            .env_remove("RUST_LOG")
            .env("ML_APP_LOG_FORMAT", "text")
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(process.stderr.take().unwrap());
        let mut announcement = vec![];
        while !announcement.last().is_some_and(|line: &String| line.contains("/apidocs")) {
            let mut line = String::new();
            assert!(
                stderr.read_line(&mut line).unwrap() > 0,
                "the server stopped: {announcement:?}"
            );
            announcement.push(line);
        }
        let listens = announcement.iter().find_map(|line| line.split_once("listening on http://"));
        let address = listens.unwrap().1.trim().trim_end_matches("\"}").to_owned();
        let log = Arc::new(Mutex::new(String::new()));
        let shared = log.clone();
        // Read the log continuously, so that the server does not block on a full pipe.
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                *shared.lock().unwrap() += &(line + "\n");
            }
        });
        Server { process, address, announcement, log }
    }

    /// Returns the log once it has at least `lines` lines.
    pub fn log(&self, lines: usize) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log: Vec<String> = self.log.lock().unwrap().lines().map(str::to_owned).collect();
            if log.len() >= lines {
                return log;
            }
            assert!(Instant::now() < deadline, "expected {lines} lines, found {log:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn get(&self, path: &str) -> Response {
        self.send("GET", path, &[], b"")
    }

    pub fn post(&self, path: &str, content_type: &str, body: impl AsRef<[u8]>) -> Response {
        self.send("POST", path, &[("content-type", content_type)], body.as_ref())
    }

    pub fn post_json(&self, body: impl AsRef<[u8]>) -> Response {
        self.post("/predict", "application/json", body)
    }

    /// Sends a file in a multipart form, as browsers do.
    pub fn post_file(&self, csv: impl AsRef<[u8]>, accept: &str) -> Response {
        let form = form("file", csv.as_ref());
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        let headers = [("content-type", content_type.as_str()), ("accept", accept)];
        self.send("POST", "/predict_file", &headers, &form)
    }

    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .build()
            .into();
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = match body {
            b"" => agent.run(request.body(()).unwrap()),
            body => agent.run(request.body(body).unwrap()),
        }
        .unwrap();
        let mut text = String::new();
        response.body_mut().as_reader().read_to_string(&mut text).unwrap();
        Response {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: text,
        }
    }

    /// Sends the text of a request without changes. Returns the headers of the response in lower case, and the body.
    pub fn send_raw(&self, request: &str) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = vec![];
        stream.read_to_end(&mut response).unwrap();
        let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        let body = response.split_off(end + 4);
        (String::from_utf8(response).unwrap().to_lowercase(), body)
    }

    /// Returns the peak memory of the process, in bytes.
    pub fn peak_memory(&self) -> usize {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
    }

    /// Returns the processor time that the server has used so far. Unlike the elapsed time, it does not depend on the
    /// load of the machine.
    pub fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        // The process's name, in parentheses, may contain spaces, so skip it. Fields 14 and 15 of the whole line are
        // the user time and the system time, in 1/100 s.
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(10 * ticks)
    }

    /// Returns the number of open files and connections.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap().count()
    }

    pub fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Sends SIGTERM and returns the exit code.
    pub fn stop(mut self) -> Option<i32> {
        self.signal("TERM");
        self.process.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that the process has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The boundary between the parts of a multipart form.
pub const BOUNDARY: &str = "----WebKitFormBoundary7MA4YWxkTrZu0gW";

/// Returns a multipart form with one file.
pub fn form(name: &str, content: &[u8]) -> Vec<u8> {
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"visitors.csv\"\r\n\
         Content-Type: text/csv\r\n\r\n"
    );
    [head.as_bytes(), content, format!("\r\n--{BOUNDARY}--\r\n").as_bytes()].concat()
}
