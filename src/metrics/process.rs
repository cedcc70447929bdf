//! The process and its control group, from files that are opened before the process gives up to open any.

use crate::machine;
use rustix::fs::Dir;
use rustix::param::{clock_ticks_per_second, page_size};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;

/// What is known of a process; of the control group of version 2, or 1.
#[derive(Debug)]
pub struct Process {
    stat: Option<File>,
    descriptors: Option<Mutex<Dir>>,
    cpu: Option<File>,
    memory: Option<File>,
    memory_limit: Option<File>,
}

/// Name, what it is, and value.
pub type Sample = (&'static str, &'static str, f64);

impl Process {
    pub fn open() -> Process {
        let first = |files: [&str; 2]| files.iter().find_map(|file| File::open(file).ok());
        Process {
            stat: File::open("/proc/self/stat").ok(),
            descriptors: File::open("/proc/self/fd")
                .ok()
                .and_then(|d| Some(Dir::new(d).ok()?.into())),
            cpu: first(["/sys/fs/cgroup/cpu.stat", "/sys/fs/cgroup/cpu/cpu.stat"]),
            memory: first([
                "/sys/fs/cgroup/memory.current",
                "/sys/fs/cgroup/memory/memory.usage_in_bytes",
            ]),
            memory_limit: first(machine::MEMORY_LIMITS),
        }
    }

    /// What goes up and down.
    pub fn gauges(&self) -> Vec<Sample> {
        let mut samples = vec![];
        if let Some(stat) = self.stat() {
            let memory = stat.pages * page_size() as f64;
            samples.push(("process_resident_memory_bytes", "Memory that is held.", memory));
            samples.push((
                "process_virtual_memory_bytes",
                "Memory that is asked for.",
                stat.virtual_bytes,
            ));
            samples.push(("process_threads", "Threads.", stat.threads));
        }
        if let Some(descriptors) = &self.descriptors {
            let mut descriptors = descriptors.lock().unwrap_or_else(|error| error.into_inner());
            descriptors.rewind();
            // `.` and `..` are none.
            let open = descriptors.by_ref().count().saturating_sub(2);
            samples.push(("process_open_fds", "Files and connections that are open.", open as f64));
        }
        let current = self.memory.as_ref().and_then(|file| text(file)?.trim().parse().ok());
        let limit = self.memory_limit.as_ref().and_then(|file| machine::limit(&text(file)?));
        let group = [
            ("ml_app_cgroup_memory_bytes", "Memory that the control group holds.", current),
            (
                "ml_app_cgroup_memory_limit_bytes",
                "Memory that it may hold.",
                limit.map(|limit| limit as f64),
            ),
        ];
        samples
            .extend(group.iter().filter_map(|(name, help, value)| Some((*name, *help, (*value)?))));
        samples
    }

    /// What only goes up.
    pub fn counters(&self) -> Vec<Sample> {
        let mut samples = vec![];
        if let Some(stat) = self.stat() {
            let seconds = stat.ticks / clock_ticks_per_second() as f64;
            samples.push(("process_cpu_seconds_total", "Time on processors.", seconds));
        }
        let Some(group) = self.cpu.as_ref().and_then(text) else { return samples };
        let value = |key: &str| -> Option<f64> {
            group.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
        };
        let throttled = value("throttled_usec ").map(|us| us / 1e6);
        let throttled = throttled.or_else(|| value("throttled_time ").map(|ns| ns / 1e9));
        let group = [
            ("ml_app_cgroup_cpu_periods_total", "Periods of the CPU quota.", value("nr_periods ")),
            (
                "ml_app_cgroup_cpu_throttled_periods_total",
                "Periods in which the quota was used up.",
                value("nr_throttled "),
            ),
            (
                "ml_app_cgroup_cpu_throttled_seconds_total",
                "Time for which threads were stopped then.",
                throttled,
            ),
        ];
        samples
            .extend(group.iter().filter_map(|(name, help, value)| Some((*name, *help, (*value)?))));
        samples
    }

    fn stat(&self) -> Option<Stat> {
        let text = text(self.stat.as_ref()?)?;
        // The second field, the program's name in parentheses, may have spaces. See proc_pid_stat(5).
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Stat {
            ticks: field(14)? + field(15)?,
            threads: field(20)?,
            virtual_bytes: field(23)?,
            pages: field(24)?,
        })
    }
}

struct Stat {
    ticks: f64,
    threads: f64,
    virtual_bytes: f64,
    pages: f64,
}

/// What a file of the kernel's has in it now.
fn text(file: &File) -> Option<String> {
    let mut bytes = [0; 4096];
    let len = file.read_at(&mut bytes, 0).ok()?;
    String::from_utf8(bytes[..len].to_vec()).ok()
}
