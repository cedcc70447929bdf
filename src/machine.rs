//! The container's limits: memory, CPUs and open files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{fs, thread};

/// Files with the memory limit of the process's control group: for cgroup v2 and v1, in this order.
pub const MEMORY_LIMIT_FILES: [&str; 2] =
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// Returns the memory limit in bytes, if there is one.
pub fn memory_limit() -> Option<usize> {
    let text = MEMORY_LIMIT_FILES.iter().find_map(|file| fs::read_to_string(file).ok());
    text.and_then(|text| parse_limit(&text))
}

/// Parses the content of a limit file. Returns a number of bytes, or `None` if there is no limit. Without a limit, the
/// file contains `max` for cgroup v2, and a number larger than any real memory for cgroup v1.
pub fn parse_limit(text: &str) -> Option<usize> {
    /// Numbers of at least this size mean that there is no memory limit.
    const UNLIMITED: usize = 1 << 60;
    text.trim().parse().ok().filter(|limit| *limit < UNLIMITED)
}

/// Returns the number of CPUs. If the CPU quota of the control group is lower, returns the quota, rounded down to a
/// whole number of at least 1.
pub fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Raises the soft limit of open files to the hard limit, and returns the limit in force. If the hard limit is
/// unlimited, the soft limit stays as it is.
pub fn raise_open_file_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.or(limit.current);
    let raised = Rlimit { current: hard, maximum: limit.maximum };
    let files = if setrlimit(Resource::Nofile, raised).is_ok() { hard } else { limit.current };
    files.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}
