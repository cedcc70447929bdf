//! What the process gives up once its socket is open: to open files, to open connections, to start
//! programs. Whoever gets it to do something else then gets little.

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

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sandbox {
    /// As far as the kernel can.
    #[default]
    Auto,
    Off,
    /// No start where the kernel cannot.
    Required,
}

impl Sandbox {
    pub fn read(text: &str) -> Option<Sandbox> {
        match text {
            "auto" => Some(Sandbox::Auto),
            "off" => Some(Sandbox::Off),
            "required" => Some(Sandbox::Required),
            _ => None,
        }
    }
}

/// What is in force.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Enforced {
    /// [Landlock](https://docs.kernel.org/userspace-api/landlock.html): no file, no connection, by
    /// rules of the kernel's security modules.
    pub landlock: bool,
    /// [seccomp](https://docs.kernel.org/userspace-api/seccomp_filter.html): no system call that
    /// would begin it.
    pub seccomp: bool,
}

impl fmt::Display for Enforced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = |enforced| if enforced { "on" } else { "off" };
        write!(f, "landlock {}, seccomp {}", state(self.landlock), state(self.seccomp))
    }
}

/// Restricts this thread, and all that it starts from now on.
///
/// # Errors
///
/// Where it is [`Sandbox::Required`] and the kernel cannot.
pub fn enforce(sandbox: Sandbox) -> anyhow::Result<Enforced> {
    if sandbox == Sandbox::Off {
        return Ok(Enforced::default());
    }
    let done = [("landlock", landlock()), ("seccomp", seccomp())];
    for (name, done) in &done {
        if let Err(error) = done {
            match sandbox {
                Sandbox::Required => anyhow::bail!("--sandbox required: {name}: {error:#}"),
                _ => log::debug!("{name}: {error:#}"),
            }
        }
    }
    Ok(Enforced { landlock: done[0].1.is_ok(), seccomp: done[1].1.is_ok() })
}

fn landlock() -> anyhow::Result<()> {
    // What older kernels do not know is left out; the first version suffices for the files.
    let abi = ABI::V6;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?
        .restrict_self()?;
    anyhow::ensure!(status.ruleset != RulesetStatus::NotEnforced, "the kernel does not have it");
    Ok(())
}

/// Calls by which a file, a connection, a program or a hold on another process begins.
const REFUSED: &[libc::c_long] = &[
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
        OWN_ARCHITECTURE.context("there are no numbers for this processor's calls")?;
    apply_filter(&filter(architecture))?;
    Ok(())
}

/// Where a system call's number and its architecture are in the kernel's
/// [`struct seccomp_data`](https://man7.org/linux/man-pages/man2/seccomp.2.html).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;

/// As `linux/audit.h` numbers it.
const OWN_ARCHITECTURE: Option<u32> = if cfg!(target_arch = "x86_64") {
    Some(0xC000_003E)
} else if cfg!(target_arch = "aarch64") {
    Some(0xC000_00B7)
} else {
    None
};

/// Numbers from here on are those of another interface to the same calls: x86_64's x32.
const OTHER_INTERFACE: u32 = 0x4000_0000;

const LOAD: u32 = BPF_LD | BPF_W | BPF_ABS;
const IF_EQUAL: u32 = BPF_JMP | BPF_JEQ | BPF_K;
const IF_NOT_LESS: u32 = BPF_JMP | BPF_JGE | BPF_K;
const RETURN: u32 = BPF_RET | BPF_K;

/// What the kernel runs for a system call. It does for each number there is when a filter is applied,
/// which a search does in half the time of a list.
fn filter(architecture: u32) -> BpfProgram {
    let mut refused: Vec<u32> = REFUSED.iter().map(|call| *call as u32).collect();
    refused.sort_unstable();
    let mut program = vec![
        step(LOAD, ARCHITECTURE, 0, 0),
        step(IF_EQUAL, architecture, 1, 0),
        step(RETURN, SECCOMP_RET_KILL_PROCESS, 0, 0),
        step(LOAD, NUMBER, 0, 0),
    ];
    let mut cases = vec![step(IF_NOT_LESS, OTHER_INTERFACE, REFUSE, 0)];
    search(&refused, &mut cases);
    let count = cases.len();
    for (place, case) in cases.iter_mut().enumerate() {
        let to_allow = (count - place - 1) as u8;
        for jump in [&mut case.jt, &mut case.jf] {
            match *jump {
                ALLOW => *jump = to_allow,
                REFUSE => *jump = to_allow + 1,
                _ => {}
            }
        }
    }
    program.extend(cases);
    program.push(step(RETURN, SECCOMP_RET_ALLOW, 0, 0));
    program.push(step(RETURN, SECCOMP_RET_ERRNO | libc::EPERM as u32, 0, 0));
    program
}

/// Jumps to the ends, until it is known how far they are.
const ALLOW: u8 = u8::MAX;
const REFUSE: u8 = u8::MAX - 1;

/// Whether a number is one of these, in their order.
fn search(refused: &[u32], cases: &mut BpfProgram) {
    match refused.split_at(refused.len() / 2) {
        (_, []) => {}
        ([], [last, ..]) => cases.push(step(IF_EQUAL, *last, REFUSE, ALLOW)),
        (lower, upper @ [least, ..]) => {
            let place = cases.len();
            cases.push(step(IF_NOT_LESS, *least, 0, 0));
            search(lower, cases);
            cases[place].jt = (cases.len() - place - 1) as u8;
            search(upper, cases);
        }
    }
}

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
    fn what_is_open_goes_on_and_nothing_new_begins() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut file = File::open("/proc/self/stat").expect("a file");
        let client = thread::spawn(move || {
            let mut stream = TcpStream::connect(address).expect("a connection");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("an answer");
            answer
        });
        // It holds for its thread, and for those that thread starts.
        let restricted = thread::spawn(move || {
            let enforced = enforce(Sandbox::Required).expect("the kernel has both");
            assert_eq!(enforced, Enforced { landlock: true, seccomp: true });
            let inner = thread::spawn(move || {
                let refused = |error: std::io::Error| error.kind() == ErrorKind::PermissionDenied;
                assert!(File::open("/proc/self/stat").is_err_and(refused));
                assert!(File::create("/tmp/ml-app-sandbox").is_err_and(refused));
                assert!(Command::new("/bin/true").spawn().is_err_and(refused));
                assert!(TcpStream::connect(address).is_err_and(refused));
                assert!(TcpListener::bind("127.0.0.1:0").is_err_and(refused));
                let mut text = String::new();
                file.read_to_string(&mut text).expect("what was open is read");
                let (mut stream, _) = listener.accept().expect("who connects is accepted");
                stream.write_all(b"answer").expect("and answered");
            });
            inner.join()
        });
        restricted.join().expect("no panic").expect("no panic in what it starts");
        assert_eq!(client.join().expect("no panic"), "answer");
    }

    /// What a filter says of a system call.
    fn said(architecture: Option<u32>, number: u32) -> u32 {
        let own = OWN_ARCHITECTURE.expect("it is known");
        let (program, mut place, mut loaded) = (filter(own), 0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[place];
            place += 1;
            let jumps = match u32::from(code) {
                LOAD if k == NUMBER => {
                    loaded = number;
                    continue;
                }
                LOAD => {
                    loaded = architecture.unwrap_or(own);
                    continue;
                }
                IF_EQUAL => loaded == k,
                IF_NOT_LESS => loaded >= k,
                RETURN => return k,
                other => panic!("{other:x}"),
            };
            place += usize::from(if jumps { jt } else { jf });
        }
    }

    #[test]
    fn the_filter_refuses_what_is_listed_and_nothing_else() {
        let refusal = SECCOMP_RET_ERRNO | libc::EPERM as u32;
        for number in 0..1000 {
            let refused = REFUSED.contains(&libc::c_long::from(number));
            let expected = if refused { refusal } else { SECCOMP_RET_ALLOW };
            assert_eq!(said(None, number as u32), expected, "{number}");
        }
        let read = OTHER_INTERFACE + libc::SYS_read as u32;
        for number in [OTHER_INTERFACE, read, u32::MAX] {
            assert_eq!(said(None, number), refusal);
        }
        // i386.
        assert_eq!(said(Some(0x4000_0003), 0), SECCOMP_RET_KILL_PROCESS);
    }

    #[test]
    fn it_can_be_left_out() {
        assert_eq!(enforce(Sandbox::Off).expect("nothing to do"), Enforced::default());
        assert!(File::open("/proc/self/stat").is_ok());
    }
}
