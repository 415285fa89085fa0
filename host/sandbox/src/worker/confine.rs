//! Confines a worker from the rest of the machine: the wall behind the sandbox. Each part stands
//! alone; parts that the machine lacks are reported, except for the limits on resources, without
//! which there is no worker.

use std::io;

use fedwasm_protocol::Limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::frame::{Protection, Setup};

/// Beside memories and tensors: code, stacks, the engine, buffers.
const OWN_BYTES: u64 = 512 << 20;
/// Beside what compiling takes: the process itself.
const COMPILER_BYTES: u64 = 64 << 20;
/// A thread of tensors: its stack, and what the allocator keeps for it.
const THREAD_BYTES: u64 = 8 << 20;
/// The least processor time, in seconds.
const CPU_S_MIN: u64 = 4;

/// Confines this process and all of its threads. `threads` is called once
/// between: the threads that it starts are also confined, and none can be started later. `closed`
/// is the result of [`close_inherited`].
///
/// # Errors
/// Limits on resources that cannot be set.
pub(super) fn confine(
    setup: &Setup,
    closed: Result<(), String>,
    threads: impl FnOnce(),
) -> io::Result<Vec<Protection>> {
    let mut protections = Vec::new();
    let mut held = |name: &str, result: Result<(), String>| {
        protections.push(Protection { name: name.into(), missing: result.err() });
    };
    held("closed descriptors", closed);
    limit_resources(setup)?;
    held("resource limits", Ok(()));
    #[cfg(target_os = "linux")]
    {
        held("network namespace", linux::leave_network());
        held("no capabilities", linux::drop_capabilities());
        held("no new privileges", linux::no_new_privileges());
        held("landlock", linux::landlock());
        threads();
        held("seccomp", linux::seccomp());
    }
    #[cfg(not(target_os = "linux"))]
    {
        threads();
        for name in
            ["network namespace", "no capabilities", "no new privileges", "landlock", "seccomp"]
        {
            held(name, Err("only Linux supports it".into()));
        }
    }
    Ok(protections)
}

/// Closes descriptors that the host's own parent left open; standard streams stay.
pub(super) fn close_inherited() -> Result<(), String> {
    #[cfg(target_os = "linux")]
    {
        linux::close_from(3)
    }
    #[cfg(not(target_os = "linux"))]
    Err("only Linux supports it".into())
}

/// The memory that a worker may hold: all memories, every tensor once (it comes, is used
/// and goes in the same place), predictions twice, and room of its own; one that
/// compiles does nothing else. Address space means nothing: the engine reserves
/// gigabytes of it for every memory.
fn data_bytes(setup: &Setup) -> u64 {
    let Limits { memory_bytes_max, declared_bytes_max, prediction_bytes_max, .. } = setup.limits;
    let times = |n: usize, times: u64| (n as u64).saturating_mul(times);
    let run = times(memory_bytes_max, 1)
        .saturating_add(times(declared_bytes_max, 1))
        .saturating_add(times(prediction_bytes_max, 2))
        .saturating_add(THREAD_BYTES * tensor_threads(setup) as u64)
        .saturating_add(OWN_BYTES);
    match setup.compile_threads {
        0 => run,
        _ => setup.limits.compile_bytes_max.saturating_add(COMPILER_BYTES),
    }
}

/// Threads for the operations of tensors; a worker that compiles has no tensors.
pub(super) fn tensor_threads(setup: &Setup) -> usize {
    if setup.compile_threads > 0 { 1 } else { setup.limits.threads() }
}

/// Processor time of a worker, in case no host is left to kill it:
/// compiling, and the time of two calls. The host replaces a worker that has
/// used the time of one.
fn cpu_s(setup: &Setup) -> u64 {
    let compile = setup.limits.compile_time().as_secs() + 1;
    let compile = compile.saturating_mul(setup.compile_threads as u64);
    let calls = setup.limits.time().as_secs().saturating_add(2).saturating_mul(2);
    let calls = calls.saturating_mul(tensor_threads(setup) as u64);
    compile.saturating_add(calls).max(CPU_S_MIN)
}

fn limit_resources(setup: &Setup) -> io::Result<()> {
    let set = |resource, limit: u64| {
        // The machine's own limit may already be lower.
        let limit = getrlimit(resource).maximum.map_or(limit, |most| most.min(limit));
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })
    };
    set(Resource::Core, 0)?;
    set(Resource::Data, data_bytes(setup))?;
    set(Resource::Cpu, cpu_s(setup))?;
    // The pipes, and the descriptors of the next steps; afterwards nothing can be opened.
    set(Resource::Nofile, 16)?;
    // A file cannot be written, even if one could be opened.
    set(Resource::Fsize, 0)?;
    Ok(())
}

#[cfg(target_os = "linux")]
mod linux {
    use landlock::{
        ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset,
        RulesetAttr as _, RulesetStatus, Scope,
    };
    use rustix::thread::{
        CapabilitySet, CapabilitySets, UnshareFlags, remove_capability_from_bounding_set,
        set_capabilities,
    };
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule, TargetArch,
    };

    /// Closes all descriptors from `first` on.
    pub(super) fn close_from(first: libc::c_uint) -> Result<(), String> {
        // SAFETY: nothing of this process is open yet but the standard streams.
        #[expect(unsafe_code, reason = "file descriptors of the parent have no owner here")]
        let code = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
        match code {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error().to_string()),
        }
    }

    /// Moves into a network of its own, which has no device, and out of all
    /// rights that root has here.
    pub(super) fn leave_network() -> Result<(), String> {
        let flags = UnshareFlags::NEWUSER | UnshareFlags::NEWNET;
        // SAFETY: this thread is the only one, and neither flag separates
        // descriptors or memory.
        #[expect(unsafe_code, reason = "there is no safe way to leave a namespace")]
        let left = unsafe { rustix::thread::unshare_unsafe(flags) };
        left.map_err(|error| format!("a namespace of its own: {error}"))
    }

    /// Drops all capabilities: a process that makes a user namespace has all of them inside it, and
    /// root has them outside.
    pub(super) fn drop_capabilities() -> Result<(), String> {
        // The bounding set matters only where a program is started, which is impossible here, and
        // only a process with CAP_SETPCAP can shrink it.
        for capability in CapabilitySet::all().iter() {
            let _ = remove_capability_from_bounding_set(capability);
        }
        let none = CapabilitySet::empty();
        let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
        set_capabilities(None, sets).map_err(|error| error.to_string())
    }

    pub(super) fn no_new_privileges() -> Result<(), String> {
        rustix::thread::set_no_new_privs(true).map_err(|error| error.to_string())
    }

    /// Takes every path, port, socket without a name, and foreign process away.
    pub(super) fn landlock() -> Result<(), String> {
        let abi = ABI::V6;
        let restrict = || {
            Ruleset::default()
                .set_compatibility(CompatLevel::BestEffort)
                .handle_access(AccessFs::from_all(abi))?
                .handle_access(AccessNet::from_all(abi))?
                .scope(Scope::from_all(abi))?
                .create()?
                .restrict_self()
        };
        match restrict().map_err(|error: landlock::RulesetError| error.to_string())?.ruleset {
            RulesetStatus::FullyEnforced => Ok(()),
            RulesetStatus::PartiallyEnforced => {
                Err("partly: the kernel is older than 6.12, so only files are closed to it".into())
            }
            RulesetStatus::NotEnforced => Err("the kernel does not support it".into()),
        }
    }

    /// System calls that computing takes: memory, threads that are there
    /// already, the two pipes, signals of its own, the end.
    fn allowed() -> Vec<(i64, Vec<SeccompRule>)> {
        let is = |argument, operator, value| {
            SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value).ok()
        };
        let all = |conditions: [Option<SeccompCondition>; 2]| {
            let conditions: Option<Vec<SeccompCondition>> = conditions.into_iter().collect();
            conditions.and_then(|conditions| SeccompRule::new(conditions).ok())
        };
        let mut calls: Vec<(i64, Vec<SeccompRule>)> = [
            libc::SYS_read,
            libc::SYS_write,
            libc::SYS_readv,
            libc::SYS_writev,
            libc::SYS_close,
            libc::SYS_ppoll,
            #[cfg(target_arch = "x86_64")]
            libc::SYS_poll,
            libc::SYS_munmap,
            libc::SYS_mprotect,
            libc::SYS_mremap,
            libc::SYS_madvise,
            libc::SYS_brk,
            libc::SYS_membarrier,
            libc::SYS_futex,
            libc::SYS_sched_yield,
            libc::SYS_sched_getaffinity,
            libc::SYS_getrandom,
            libc::SYS_clock_gettime,
            libc::SYS_clock_nanosleep,
            libc::SYS_nanosleep,
            libc::SYS_getpid,
            libc::SYS_gettid,
            libc::SYS_rt_sigaction,
            libc::SYS_rt_sigprocmask,
            libc::SYS_rt_sigreturn,
            libc::SYS_sigaltstack,
            libc::SYS_set_robust_list,
            libc::SYS_rseq,
            libc::SYS_restart_syscall,
            libc::SYS_exit,
            libc::SYS_exit_group,
        ]
        .map(|call| (call, Vec::new()))
        .into();
        // `abort` signals the thread itself; it cannot be stopped and outlive its host.
        let own = u64::from(std::process::id());
        let abort =
            all([is(0, SeccompCmpOp::Eq, own), is(2, SeccompCmpOp::Eq, libc::SIGABRT as u64)]);
        calls.extend(abort.map(|rule| (libc::SYS_tgkill, vec![rule])));
        // Memory that is shared, or grows by itself, would not count as this process's.
        let own = |mask: i32, value: i32| is(3, SeccompCmpOp::MaskedEq(mask as u64), value as u64);
        let map = all([
            own(libc::MAP_SHARED | libc::MAP_PRIVATE, libc::MAP_PRIVATE),
            own(libc::MAP_GROWSDOWN, 0),
        ]);
        calls.extend(map.map(|rule| (libc::SYS_mmap, vec![rule])));
        calls
    }

    /// System calls that no code of ours makes: a process that makes one has broken out of the
    /// sandbox, and is killed.
    const DEADLY: [i64; 24] = [
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_accept4,
        libc::SYS_sendto,
        libc::SYS_sendmsg,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_kill,
        libc::SYS_mount,
        libc::SYS_setns,
        libc::SYS_unshare,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_io_uring_setup,
        libc::SYS_keyctl,
        libc::SYS_memfd_create,
        libc::SYS_userfaultfd,
        libc::SYS_init_module,
    ];

    /// Leaves the system calls that computing takes; others fail, and the
    /// deadly ones kill. Holds for all threads.
    pub(super) fn seccomp() -> Result<(), String> {
        let arch: TargetArch = std::env::consts::ARCH.try_into().map_err(text)?;
        let deadly = DEADLY.map(|call| (call, Vec::new())).into();
        let (allow, kill) = (SeccompAction::Allow, SeccompAction::KillProcess);
        let refuse = SeccompAction::Errno(libc::EPERM as u32);
        // The second filter could not be set if the first let only computing through.
        let deadly = SeccompFilter::new(deadly, allow.clone(), kill, arch);
        let allowed = SeccompFilter::new(allowed().into_iter().collect(), refuse, allow, arch);
        for filter in [deadly, allowed] {
            let program: BpfProgram = filter.map_err(text)?.try_into().map_err(text)?;
            seccompiler::apply_filter_all_threads(&program).map_err(text)?;
        }
        Ok(())
    }

    fn text(error: impl std::fmt::Display) -> String {
        error.to_string()
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::io::Write as _;
    use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
    use std::process::{Command, ExitStatus};

    use super::*;
    use crate::Profile;

    /// The deeds that a child process of the test tries once it is confined.
    const DEED: &str = "FEDWASM_TEST_DEED";

    fn setup() -> Setup {
        let limits = Limits {
            memory_bytes_max: 16 << 20,
            declared_bytes_max: 1 << 20,
            prediction_bytes_max: 1 << 20,
            time_ms_max: 1_000,
            ..Limits::default()
        };
        let version = String::new();
        Setup { version, profile: Profile::Standard, limits, compile_threads: 0 }
    }

    /// Runs the next test in a process of its own.
    fn attempt(deed: &str) -> (ExitStatus, String) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "worker::confine::tests::inside", "--ignored", "--nocapture"]);
        let output = command.env(DEED, deed).output().unwrap();
        (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    #[test]
    #[ignore = "the inside of the tests below, in a process that is confined for good"]
    fn inside() {
        let deed = std::env::var(DEED).expect("it is run by the tests below, with a deed");
        let status = |key: &str| {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let line = status.lines().find(|line| line.starts_with(key)).unwrap();
            line.split_whitespace().last().unwrap().to_owned()
        };
        // The harness has threads, which keep a process from a user namespace of its own:
        // that part is looked at through a worker, in the integration tests.
        limit_resources(&setup()).unwrap();
        assert_eq!(linux::no_new_privileges(), Ok(()));
        assert_eq!(status("NoNewPrivs"), "1");
        assert_eq!(linux::drop_capabilities(), Ok(()));
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(status(set), "0000000000000000", "{set}");
        }
        if let Err(missing) = linux::landlock() {
            // A kernel before 6.12 closes files, which is tried below; one without landlock has
            // nothing to try.
            assert!(missing.starts_with("partly"), "{missing}");
        }
        let before_seccomp = |path: &str| std::fs::read(path).unwrap_err().kind();
        match deed.as_str() {
            "landlock read" => {
                assert_eq!(before_seccomp("/etc/passwd"), io::ErrorKind::PermissionDenied);
                let created = std::fs::File::create("/tmp/fedwasm-escape");
                assert_eq!(created.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            }
            "landlock network" => {
                let bound = std::net::TcpListener::bind("127.0.0.1:0");
                assert_eq!(bound.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            }
            _ => {
                assert_eq!(linux::seccomp(), Ok(()));
                outlaw(&deed);
            }
        }
        // The standard error is open; the harness's own end is not.
        let _ = writeln!(std::io::stderr(), "still here");
    }

    /// Deeds that a plan might try after it broke out.
    fn outlaw(deed: &str) {
        let refused = |result: io::Result<()>| {
            assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EPERM));
        };
        match deed {
            "open" => refused(std::fs::File::open("/dev/null").map(drop)),
            "thread" => refused(std::thread::Builder::new().spawn(|| ()).map(drop)),
            "socket" => drop(std::net::UdpSocket::bind("127.0.0.1:0")),
            "fork" => refused(Command::new("/bin/true").status().map(drop)),
            "execute" => drop(Command::new("/bin/true").exec()),
            "signal" => {
                let other = rustix::process::Pid::INIT;
                let _ = rustix::process::kill_process(other, rustix::process::Signal::USR1);
            }
            "memory" => drop(std::hint::black_box(vec![1_u8; 1 << 30])),
            "processor" => loop {
                std::hint::black_box(0);
            },
            "compute" => assert_eq!(std::hint::black_box(vec![1_u8; 1 << 20]).len(), 1 << 20),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn what_is_closed_is_closed() {
        for deed in ["landlock read", "landlock network", "open", "thread", "fork", "compute"] {
            let (status, words) = attempt(deed);
            assert!(words.contains("still here"), "{deed}: {status} {words}");
        }
    }

    #[test]
    fn what_nothing_of_ours_does_kills() {
        for deed in ["socket", "execute", "signal"] {
            let (status, words) = attempt(deed);
            assert_eq!(status.signal(), Some(libc::SIGSYS), "{deed}: {status} {words}");
        }
    }

    #[test]
    fn memory_and_processor_time_end() {
        let (status, words) = attempt("memory");
        assert_eq!(status.signal(), Some(libc::SIGABRT), "{words}");
        assert!(words.contains("memory allocation of 1073741824 bytes failed"), "{words}");
        let (status, words) = attempt("processor");
        let signals = [Some(libc::SIGXCPU), Some(libc::SIGKILL)];
        assert!(signals.contains(&status.signal()), "{status} {words}");
    }
}
