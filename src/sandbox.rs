//! The sandbox. Once the server's socket is open, the process drops the rights to open files, to open
//! connections and to start programs. An attacker who takes over the process then gains little.
//!
//! Two mechanisms of the kernel complement each other: [Landlock] denies access to files and ports, and
//! [seccomp] denies the system calls that would begin such access.
//!
//! [Landlock]: https://docs.kernel.org/userspace-api/landlock.html
//! [seccomp]: https://docs.kernel.org/userspace-api/seccomp_filter.html

use anyhow::Context;
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus,
    Scope,
};
use libc::{
    BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_RET_ALLOW,
    SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS,
};
use seccompiler::{BpfProgram, apply_filter, sock_filter};
use std::fmt;

/// Value of the setting `--sandbox`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sandbox {
    /// Enforces what the kernel supports.
    #[default]
    Auto,
    Off,
    /// Fails the start if the kernel does not support both mechanisms.
    Required,
}

impl Sandbox {
    pub(crate) fn parse(text: &str) -> Option<Sandbox> {
        match text {
            "auto" => Some(Sandbox::Auto),
            "off" => Some(Sandbox::Off),
            "required" => Some(Sandbox::Required),
            _ => None,
        }
    }
}

/// The mechanisms in force.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Enforced {
    pub landlock: bool,
    pub seccomp: bool,
}

impl fmt::Display for Enforced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = |enforced| if enforced { "on" } else { "off" };
        write!(f, "landlock {}, seccomp {}", state(self.landlock), state(self.seccomp))
    }
}

/// Restricts the current thread and all threads that it starts afterwards. Returns the mechanisms in force.
///
/// # Errors
///
/// Returns an error if `sandbox` is [`Sandbox::Required`] and the kernel lacks a mechanism.
pub fn enforce(sandbox: Sandbox) -> anyhow::Result<Enforced> {
    if sandbox == Sandbox::Off {
        return Ok(Enforced::default());
    }
    let done = [("landlock", landlock()), ("seccomp", seccomp())];
    for (name, done) in &done {
        let Err(error) = done else { continue };
        if sandbox == Sandbox::Required {
            anyhow::bail!("--sandbox required: {name}: {error:#}");
        }
        log::debug!("{name}: {error:#}");
    }
    Ok(Enforced { landlock: done[0].1.is_ok(), seccomp: done[1].1.is_ok() })
}

/// Denies all access to files, ports and other processes that Landlock can deny.
fn landlock() -> anyhow::Result<()> {
    // `BestEffort` omits the rights that an older kernel cannot restrict. For example, the first version of Landlock
    // can restrict only access to files.
    let abi = ABI::V6;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?
        .restrict_self()?;
    anyhow::ensure!(status.ruleset != RulesetStatus::NotEnforced, "the kernel does not support it");
    Ok(())
}

/// System calls that open a file or a connection, start a program, reach into another process, or change mounts and
/// namespaces. Also system calls that the server does not need and that have a large attack surface: BPF, io_uring and
/// the kernel's keyrings.
const DENIED: &[libc::c_long] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_creat,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_open_by_handle_at,
    libc::SYS_memfd_create,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_bpf,
    libc::SYS_io_uring_setup,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
];

fn seccomp() -> anyhow::Result<()> {
    let architecture =
        OWN_ARCHITECTURE.context("expected x86_64 or aarch64, found a different architecture")?;
    apply_filter(&filter(architecture))?;
    Ok(())
}

/// Byte offsets of the fields that the filter reads from the kernel's [`struct seccomp_data`]: the number of the
/// system call, and the architecture.
///
/// [`struct seccomp_data`]: https://man7.org/linux/man-pages/man2/seccomp.2.html
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;

/// `AUDIT_ARCH_X86_64` or `AUDIT_ARCH_AARCH64` of `linux/audit.h`.
const OWN_ARCHITECTURE: Option<u32> = if cfg!(target_arch = "x86_64") {
    Some(0xC000_003E)
} else if cfg!(target_arch = "aarch64") {
    Some(0xC000_00B7)
} else {
    None
};

/// First system call number of the x32 interface of x86_64 (`__X32_SYSCALL_BIT`). Through x32, a denied call has
/// a different number, so the filter denies all x32 calls.
const X32_INTERFACE: u32 = 0x4000_0000;

/// Loads a 32-bit field of `struct seccomp_data`.
const LOAD: u32 = BPF_LD | BPF_W | BPF_ABS;
/// Tests whether the loaded number equals the operand.
const IF_EQUAL: u32 = BPF_JMP | BPF_JEQ | BPF_K;
/// Tests whether the loaded number is at least the operand.
const IF_AT_LEAST: u32 = BPF_JMP | BPF_JGE | BPF_K;
/// Ends the program with a return value.
const RETURN: u32 = BPF_RET | BPF_K;

/// Returns the BPF program that the kernel runs for each system call. The program allows the call, fails the call with
/// `EPERM`, or kills the process.
///
/// The program searches the denied numbers for the number of the call, by binary search. When a filter is installed,
/// the kernel runs the filter once for every system call number. A binary search takes half the time of a linear
/// search.
///
/// The program's layout:
///
/// ```text
/// load architecture; if it is not ours, kill the process
/// load number; if it belongs to x32, deny
/// binary search: comparisons that jump forward, to another comparison, to `allow` or to `deny`
/// allow
/// deny
/// ```
fn filter(architecture: u32) -> BpfProgram {
    let mut denied: Vec<u32> = DENIED.iter().map(|call| *call as u32).collect();
    denied.sort_unstable();
    let mut program = vec![
        step(LOAD, ARCHITECTURE, 0, 0),
        step(IF_EQUAL, architecture, 1, 0),
        step(RETURN, SECCOMP_RET_KILL_PROCESS, 0, 0),
        step(LOAD, NUMBER, 0, 0),
    ];
    let mut comparisons = vec![step(IF_AT_LEAST, X32_INTERFACE, DENY, 0)];
    search(&denied, &mut comparisons);
    // A jump is a number of instructions to skip. The distances to `allow` and `deny` are known only now.
    let count = comparisons.len();
    for (index, comparison) in comparisons.iter_mut().enumerate() {
        let to_allow = (count - index - 1) as u8;
        for jump in [&mut comparison.jt, &mut comparison.jf] {
            match *jump {
                ALLOW => *jump = to_allow,
                DENY => *jump = to_allow + 1,
                _ => {}
            }
        }
    }
    program.extend(comparisons);
    program.push(step(RETURN, SECCOMP_RET_ALLOW, 0, 0));
    program.push(step(RETURN, SECCOMP_RET_ERRNO | libc::EPERM as u32, 0, 0));
    program
}

/// Placeholders for jumps to the instructions `allow` and `deny` at the end of the program.
const ALLOW: u8 = u8::MAX;
/// Placeholder for a jump to `deny`, see `ALLOW`.
const DENY: u8 = u8::MAX - 1;

/// Appends a binary search for the loaded number in `denied`, which is sorted.
fn search(denied: &[u32], comparisons: &mut BpfProgram) {
    match denied.split_at(denied.len() / 2) {
        (_, []) => {}
        ([], [last, ..]) => comparisons.push(step(IF_EQUAL, *last, DENY, ALLOW)),
        (lower, upper @ [pivot, ..]) => {
            // For a number below the pivot, the next instruction runs: the search in `lower`. Any other number jumps
            // past it, to the search in `upper`.
            let index = comparisons.len();
            comparisons.push(step(IF_AT_LEAST, *pivot, 0, 0));
            search(lower, comparisons);
            comparisons[index].jt = (comparisons.len() - index - 1) as u8;
            search(upper, comparisons);
        }
    }
}

/// Returns a BPF instruction with operand `k`. A comparison skips the next `jt` instructions if its condition holds,
/// and the next `jf` instructions otherwise.
fn step(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: code as u16, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::process::Command;
    use std::thread;

    #[test]
    fn open_files_stay_usable_and_nothing_new_can_be_opened() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut file = File::open("/proc/self/stat").expect("a file");
        let client = thread::spawn(move || {
            let mut stream = TcpStream::connect(address).expect("a connection");
            let mut response = String::new();
            stream.read_to_string(&mut response).expect("a response");
            response
        });
        // The sandbox applies to its thread, and to the threads that this thread starts.
        let restricted = thread::spawn(move || {
            let enforced = enforce(Sandbox::Required).expect("the kernel supports both");
            assert_eq!(enforced, Enforced { landlock: true, seccomp: true });
            let inner = thread::spawn(move || {
                let denied = |error: std::io::Error| error.kind() == ErrorKind::PermissionDenied;
                assert!(File::open("/proc/self/stat").is_err_and(denied));
                assert!(File::create("/tmp/ml-app-sandbox").is_err_and(denied));
                assert!(Command::new("/bin/true").spawn().is_err_and(denied));
                assert!(TcpStream::connect(address).is_err_and(denied));
                assert!(TcpListener::bind("127.0.0.1:0").is_err_and(denied));
                let mut text = String::new();
                file.read_to_string(&mut text).expect("an open file can be read");
                let (mut stream, _) = listener.accept().expect("a client is accepted");
                stream.write_all(b"response").expect("a client gets a response");
            });
            inner.join()
        });
        restricted.join().expect("no panic").expect("no panic in the inner thread");
        assert_eq!(client.join().expect("no panic"), "response");
    }

    /// Interprets the filter for a system call, and returns the filter's return value.
    fn verdict(architecture: Option<u32>, number: u32) -> u32 {
        let own = OWN_ARCHITECTURE.expect("the architecture is known");
        let (program, mut index, mut loaded) = (filter(own), 0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[index];
            index += 1;
            let condition = match u32::from(code) {
                LOAD if k == NUMBER => {
                    loaded = number;
                    continue;
                }
                LOAD => {
                    loaded = architecture.unwrap_or(own);
                    continue;
                }
                IF_EQUAL => loaded == k,
                IF_AT_LEAST => loaded >= k,
                RETURN => return k,
                other => panic!("{other:x}"),
            };
            index += usize::from(if condition { jt } else { jf });
        }
    }

    #[test]
    fn the_filter_denies_the_listed_calls_and_no_others() {
        let denial = SECCOMP_RET_ERRNO | libc::EPERM as u32;
        for number in 0..1000 {
            let is_denied = DENIED.contains(&libc::c_long::from(number));
            let expected = if is_denied { denial } else { SECCOMP_RET_ALLOW };
            assert_eq!(verdict(None, number as u32), expected, "{number}");
        }
        let read = X32_INTERFACE + libc::SYS_read as u32;
        for number in [X32_INTERFACE, read, u32::MAX] {
            assert_eq!(verdict(None, number), denial);
        }
        // i386.
        assert_eq!(verdict(Some(0x4000_0003), 0), SECCOMP_RET_KILL_PROCESS);
    }

    #[test]
    fn off_restricts_nothing() {
        assert_eq!(enforce(Sandbox::Off).expect("no error"), Enforced::default());
        assert!(File::open("/proc/self/stat").is_ok());
    }
}
