//! What the process of a source may ask the kernel for: a filter of system calls. It starts no program, touches no other process, mounts
//! nothing and loads nothing into the kernel. Where the stream may not lead everywhere, each connection is judged before it is made,
//! whoever makes it: GStreamer, a library for HTTP that follows a redirect, or the demuxer of a playlist.
//!
//! The judge is a thread of the same process that was there before the filter. So a server cannot lead the source astray; a source that was taken over by
//! a fault in a decoder could outwit its judge.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::mpsc;

use libc::{seccomp_notif, seccomp_notif_resp, sock_filter};

use crate::source::reach::{self, Reach};

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// Where the kernel's description of a call has its architecture, its number and the low half of its first argument.
const AT_ARCHITECTURE: u32 = 4;
const AT_NUMBER: u32 = 0;
const AT_FIRST: u32 = 16;

/// A source has no use for these. `io_uring` would make connections that no filter sees.
const REFUSED: [libc::c_long; 36] = [
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_open_by_handle_at,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_sethostname,
];

/// Who may be connected to.
#[derive(Debug)]
pub(super) struct Judge {
    pub reach: Reach,
    /// The host of the stream's address.
    pub own: Option<String>,
}

/// Can this kernel hold a source to where it may connect?
pub(super) fn can_judge() -> bool {
    let action = libc::SECCOMP_RET_USER_NOTIF;
    // SAFETY: the kernel reads four bytes at the address of `action`, which outlives the call.
    let answer = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, std::ptr::from_ref(&action))
    };
    answer == 0 && cfg!(any(target_arch = "x86_64", target_arch = "aarch64"))
}

/// Puts the calling thread, and all that it starts from now on, under the filter.
///
/// # Errors
/// Where the kernel has no such filters, or a filter above this one judges connections already.
pub(super) fn install(judge: Option<Judge>) -> io::Result<()> {
    let filter = filter(judge.is_some());
    let Some(judge) = judge else { return put(&filter, 0).map(drop) };
    let (sender, receiver) = mpsc::channel();
    // Before the filter, which it must not be under: it asks the name service.
    std::thread::Builder::new().name("source-guard".to_owned()).spawn(move || {
        if let Ok(listener) = receiver.recv() {
            judge.sit(&listener);
        }
    })?;
    let listener = put(&filter, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)?;
    let listener = i32::try_from(listener).map_err(io::Error::other)?;
    // SAFETY: with this flag the kernel returned a descriptor that nobody else has.
    let listener = unsafe { OwnedFd::from_raw_fd(listener) };
    sender.send(listener).map_err(|_| io::Error::other("the guard's thread is gone"))
}

fn put(filter: &[sock_filter], flags: libc::c_ulong) -> io::Result<libc::c_long> {
    let length = u16::try_from(filter.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len: length, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the kernel only reads the program, whose instructions outlive the call.
    let answer = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, std::ptr::from_ref(&program))
    };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// The program that the kernel runs before each call.
fn filter(judged: bool) -> Vec<sock_filter> {
    const DENY: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    let load = |at: u32| instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, at, 0, 0);
    let jump = |test: u32, value: u32, yes: u8, no: u8| {
        instruction(libc::BPF_JMP | test | libc::BPF_K, value, yes, no)
    };
    let end = |action: u32| instruction(libc::BPF_RET | libc::BPF_K, action, 0, 0);
    let number = |call: libc::c_long| u32::try_from(call).unwrap_or(u32::MAX);
    let mut program =
        vec![load(AT_ARCHITECTURE), jump(libc::BPF_JEQ, ARCHITECTURE, 1, 0), end(DENY), load(AT_NUMBER)];
    // The numbers of the x32 calls.
    program.extend([jump(libc::BPF_JGE, 0x4000_0000, 0, 1), end(DENY)]);
    for call in REFUSED {
        program.extend([jump(libc::BPF_JEQ, number(call), 0, 1), end(DENY)]);
    }
    if judged {
        let ask = end(libc::SECCOMP_RET_USER_NOTIF);
        program.extend([jump(libc::BPF_JEQ, number(libc::SYS_connect), 0, 1), ask]);
    }
    // An assertion that fails signals its own process.
    let own = std::process::id();
    for call in [libc::SYS_kill, libc::SYS_tgkill] {
        program.extend([
            jump(libc::BPF_JEQ, number(call), 0, 4),
            load(AT_FIRST),
            jump(libc::BPF_JEQ, own, 0, 1),
            end(libc::SECCOMP_RET_ALLOW),
            end(DENY),
        ]);
    }
    program.push(end(libc::SECCOMP_RET_ALLOW));
    program
}

fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    // Every code of the classic machine fits.
    sock_filter { code: code as u16, jt, jf, k }
}

impl Judge {
    /// Judges connections until the process ends. Should this thread end before, no connection can be made any more.
    fn sit(&self, listener: &OwnedFd) {
        let Ok(memory) = File::open("/proc/self/mem") else { return };
        let servers = name_servers();
        loop {
            // SAFETY: all zeros are a value of this structure, and what the kernel asks for.
            let mut asked: seccomp_notif = unsafe { MaybeUninit::zeroed().assume_init() };
            // SAFETY: the kernel fills the structure, which it knows the size of by the request's number.
            let heard =
                unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut asked) };
            if heard != 0 {
                match io::Error::last_os_error().raw_os_error() {
                    // The one who asked was interrupted.
                    Some(libc::EINTR | libc::ENOENT) => continue,
                    _ => return,
                }
            }
            let [_, at, length, ..] = asked.data.args;
            let refused = destination(&memory, at, length).filter(|to| !self.admits(*to, &servers));
            let mut answer = seccomp_notif_resp { id: asked.id, val: 0, error: 0, flags: 0 };
            match refused {
                Some(address) => {
                    reach::refuse(address);
                    answer.error = -libc::EACCES;
                }
                None => answer.flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
            }
            // Who asked may be gone, which is no trouble.
            // SAFETY: the kernel reads the structure, which outlives the call.
            let _gone =
                unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut answer) };
        }
    }

    fn admits(&self, to: SocketAddr, servers: &[IpAddr]) -> bool {
        let is_name_service = to.port() == 53 && servers.contains(&to.ip().to_canonical());
        is_name_service || self.reach.leads(to.ip(), self.own.as_deref())
    }
}

/// The address of IP at `at` in memory; `None` where it is of another kind or cannot be read, which the kernel will say itself.
fn destination(memory: &File, at: u64, length: u64) -> Option<SocketAddr> {
    let mut bytes = [0; 28];
    let length = usize::try_from(length).ok()?.min(bytes.len());
    memory.read_exact_at(&mut bytes[..length], at).ok()?;
    let family = i32::from(u16::from_ne_bytes([bytes[0], bytes[1]]));
    let port = u16::from_be_bytes([bytes[2], bytes[3]]);
    let ip: IpAddr = match family {
        libc::AF_INET if length >= 16 => Ipv4Addr::new(bytes[4], bytes[5], bytes[6], bytes[7]).into(),
        libc::AF_INET6 if length >= 24 => {
            let octets: [u8; 16] = bytes[8..24].try_into().ok()?;
            Ipv6Addr::from(octets).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// Whom the C library asks for names.
fn name_servers() -> Vec<IpAddr> {
    let settings = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let server = |line: &str| line.strip_prefix("nameserver")?.trim().parse::<IpAddr>().ok();
    let mut servers: Vec<IpAddr> = settings.lines().filter_map(server).map(|ip| ip.to_canonical()).collect();
    if servers.is_empty() {
        servers.push(Ipv4Addr::LOCALHOST.into());
    }
    servers
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::process::Command;

    use super::*;

    /// In a thread of its own, for a filter is never taken off.
    fn under<T: Send + 'static>(judge: Option<Judge>, work: impl FnOnce() -> T + Send + 'static) -> T {
        let thread = std::thread::spawn(move || {
            rustix::thread::set_no_new_privs(true).expect("it is granted");
            install(judge).expect("the kernel has filters");
            work()
        });
        thread.join().expect("no panic")
    }

    #[test]
    fn it_starts_no_program_and_touches_no_other_process() {
        let parent = rustix::process::getppid().expect("a parent");
        under(None, move || {
            let error = Command::new("true").status().expect_err("it must not start");
            assert_eq!(error.raw_os_error(), Some(libc::EPERM));
            // Not even to ask whether it is there.
            assert_eq!(rustix::process::test_kill_process(parent), Err(rustix::io::Errno::PERM));
            assert_eq!(rustix::process::test_kill_process(rustix::process::getpid()), Ok(()));
        });
    }

    #[test]
    fn it_connects_to_what_is_allowed_only() {
        let open = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = open.local_addr().expect("bound").port();
        let judge = || Judge { reach: Reach::new(vec!["127.0.0.1".to_owned()]), own: None };
        under(Some(judge()), move || {
            TcpStream::connect(("127.0.0.1", port)).expect("it is allowed");
            for address in
                [format!("127.0.0.2:{port}"), format!("[::1]:{port}"), "169.254.169.254:80".to_owned()]
            {
                let error = TcpStream::connect(&address).expect_err("it is not allowed");
                assert_eq!(error.raw_os_error(), Some(libc::EACCES), "{address}");
                assert_eq!(reach::refused().map(|refused| refused.to_string()), Some(address));
            }
            // A local socket leads to no other machine.
            let error = std::os::unix::net::UnixStream::connect("/nowhere").expect_err("nothing is there");
            assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
        });
    }
}
