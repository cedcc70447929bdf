//! What the process may have of the machine, as a container sees it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{fs, thread};

/// Bytes that the process's control group may take, if there is a limit: of version 2, or 1, which has
/// a number beyond any memory for none.
pub fn memory_limit() -> Option<usize> {
    const BEYOND: usize = 1 << 60;
    let files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit = files.iter().find_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok());
    limit.filter(|limit| *limit < BEYOND)
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
