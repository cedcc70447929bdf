//! What the process may have of the machine, as a container sees it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{fs, thread};

/// The files that limit the memory of the process's control group, of version 2 and of version 1.
pub const MEMORY_LIMITS: [&str; 2] =
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// Bytes that it may take now, if there is a limit.
pub fn memory_limit() -> Option<usize> {
    let text = MEMORY_LIMITS.iter().find_map(|file| fs::read_to_string(file).ok());
    text.and_then(|text| limit(&text))
}

/// Bytes, from the text of one of [`MEMORY_LIMITS`]: version 1 has a number beyond any memory for none.
pub fn limit(text: &str) -> Option<usize> {
    const BEYOND: usize = 1 << 60;
    text.trim().parse().ok().filter(|limit| *limit < BEYOND)
}

/// The quota of the control group, of version 2 or 1, or the processors that there are, rounded up.
pub fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// How many files the process may have open: as many as it may ask for.
pub fn open_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.or(limit.current);
    let raised = Rlimit { current: most, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => most,
        Err(_) => limit.current,
    }
    .map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}
