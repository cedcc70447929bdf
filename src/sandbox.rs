//! What the process gives up once its socket is open: to open files, to open connections, to start
//! programs. Whoever gets it to do something else then gets little.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus,
    Scope,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};
use std::collections::BTreeMap;
use std::env::consts::ARCH;
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
    let refused = SeccompAction::Errno(libc::EPERM as u32);
    let rules: BTreeMap<_, _> = REFUSED.iter().map(|call| (*call, vec![])).collect();
    let architecture = TargetArch::try_from(ARCH)?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, architecture)?;
    let program: BpfProgram = filter.try_into()?;
    apply_filter(&program)?;
    Ok(())
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

    #[test]
    fn it_can_be_left_out() {
        assert_eq!(enforce(Sandbox::Off).expect("nothing to do"), Enforced::default());
        assert!(File::open("/proc/self/stat").is_ok());
    }
}
