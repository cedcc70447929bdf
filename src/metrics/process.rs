//! Metrics of the process and of its control group (cgroup v2 or v1). The files that contain the metrics are opened
//! before the sandbox is enforced, because the process can open no files afterwards. The files are read at each scrape.

use crate::machine;
use rustix::fs::Dir;
use rustix::param::{clock_ticks_per_second, page_size};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;

/// The open files. A field is `None` if the system does not have the file.
#[derive(Debug, Default)]
pub struct Process {
    stat: Option<File>,
    descriptors: Option<Mutex<Dir>>,
    cpu: Option<File>,
    memory: Option<File>,
    memory_limit: Option<File>,
}

/// Name, help text and value of a metric without labels.
pub type Sample = (&'static str, &'static str, f64);

impl Process {
    pub fn open() -> Process {
        let first = |files: [&str; 2]| files.iter().find_map(|file| File::open(file).ok());
        let descriptors = File::open("/proc/self/fd").ok().and_then(|file| Dir::new(file).ok());
        Process {
            stat: File::open("/proc/self/stat").ok(),
            descriptors: descriptors.map(Mutex::new),
            cpu: first(["/sys/fs/cgroup/cpu.stat", "/sys/fs/cgroup/cpu/cpu.stat"]),
            memory: first([
                "/sys/fs/cgroup/memory.current",
                "/sys/fs/cgroup/memory/memory.usage_in_bytes",
            ]),
            memory_limit: first(machine::MEMORY_LIMIT_FILES),
        }
    }

    pub fn gauges(&self) -> Vec<Sample> {
        let stat = self.stat();
        let stat = stat.as_ref();
        let memory = self.memory.as_ref().and_then(|file| read(file)?.trim().parse().ok());
        let limit = self.memory_limit.as_ref().and_then(|file| machine::parse_limit(&read(file)?));
        present([
            (
                "process_resident_memory_bytes",
                "Resident memory of the process, in bytes.",
                stat.map(|stat| stat.resident_pages * page_size() as f64),
            ),
            (
                "process_virtual_memory_bytes",
                "Virtual memory of the process, in bytes.",
                stat.map(|stat| stat.virtual_bytes),
            ),
            ("process_threads", "Number of threads of the process.", stat.map(|stat| stat.threads)),
            (
                "process_open_fds",
                "Number of open file descriptors, including connections.",
                self.open_descriptors(),
            ),
            (
                "ml_app_cgroup_memory_bytes",
                "Memory used by the control group, including page cache, in bytes.",
                memory,
            ),
            (
                "ml_app_cgroup_memory_limit_bytes",
                "Memory limit of the control group, in bytes. Absent if there is no limit.",
                limit.map(|limit| limit as f64),
            ),
        ])
    }

    pub fn counters(&self) -> Vec<Sample> {
        let cpu_seconds = self.stat().map(|stat| stat.cpu_ticks / clock_ticks_per_second() as f64);
        let group = self.cpu.as_ref().and_then(read).unwrap_or_default();
        let value = |key: &str| -> Option<f64> {
            group.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
        };
        // cgroup v2 counts microseconds, v1 nanoseconds.
        let throttled = value("throttled_usec ").map(|us| us / 1e6);
        let throttled = throttled.or_else(|| value("throttled_time ").map(|ns| ns / 1e9));
        present([
            (
                "process_cpu_seconds_total",
                "CPU time of the process in user and system mode, in seconds.",
                cpu_seconds,
            ),
            (
                "ml_app_cgroup_cpu_periods_total",
                "Number of periods in which the CPU quota was enforced.",
                value("nr_periods "),
            ),
            (
                "ml_app_cgroup_cpu_throttled_periods_total",
                "Number of enforcement periods in which the CPU quota was exhausted.",
                value("nr_throttled "),
            ),
            (
                "ml_app_cgroup_cpu_throttled_seconds_total",
                "Time that threads were stopped because the CPU quota was exhausted, in seconds.",
                throttled,
            ),
        ])
    }

    fn open_descriptors(&self) -> Option<f64> {
        let mut descriptors =
            self.descriptors.as_ref()?.lock().unwrap_or_else(|error| error.into_inner());
        descriptors.rewind();
        // The directory also lists `.` and `..`.
        Some(descriptors.by_ref().count().saturating_sub(2) as f64)
    }

    fn stat(&self) -> Option<Stat> {
        let text = read(self.stat.as_ref()?)?;
        // Fields are separated by spaces and numbered from 1. Field 2 is the program's name in parentheses. The name
        // can contain spaces, so only the fields after it are split. See proc_pid_stat(5).
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Stat {
            cpu_ticks: field(14)? + field(15)?,
            threads: field(20)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// Fields of `/proc/self/stat`.
struct Stat {
    cpu_ticks: f64,
    threads: f64,
    virtual_bytes: f64,
    resident_pages: f64,
}

/// Returns the metrics that have a value.
fn present<const N: usize>(samples: [(&'static str, &'static str, Option<f64>); N]) -> Vec<Sample> {
    samples.into_iter().filter_map(|(name, help, value)| Some((name, help, value?))).collect()
}

/// Reads a file of procfs or cgroupfs from its beginning. Each of these files fits into 4 KiB.
fn read(file: &File) -> Option<String> {
    let mut bytes = [0; 4096];
    let len = file.read_at(&mut bytes, 0).ok()?;
    String::from_utf8(bytes[..len].to_vec()).ok()
}
