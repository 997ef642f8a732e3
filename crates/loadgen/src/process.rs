//! What the operating system knows about a process: CPU time, resident memory, open files.

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use std::io;
use std::time::Duration;

/// User and system time a process has used so far: all its threads, those that ended included, without its children.
/// A thread that is running may be short of the part since the last scheduler tick (4 ms at 250 Hz).
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let pid = i32::try_from(pid).map_err(|_| Errno::ESRCH)?;
    Ok(clock_gettime(clock_getcpuclockid(Pid::from_raw(pid))?)?.into())
}

/// Resident memory of a process. Bytes.
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    resident_kib(&status)
        .map(|kib| kib * 1024)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/<pid>/status has no VmRSS"))
}

/// Raises this process's limit of open files, inherited by every server it starts, as far as allowed and at most to
/// `wanted`. Returns the limit in force.
pub fn raise_open_files(wanted: u64) -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    // Beyond the hard limit only the privileged may go; others get the hard limit.
    if soft < wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted)).is_err() {
        setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard)?;
    }
    Ok(getrlimit(Resource::RLIMIT_NOFILE)?.0)
}

fn resident_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_the_vmrss_line() {
        assert_eq!(
            resident_kib("Name:\troost\nVmHWM:\t  9 kB\nVmRSS:\t   12345 kB\n"),
            Some(12345)
        );
        assert_eq!(resident_kib("Name:\troost\n"), None);
    }

    #[test]
    fn this_very_process_can_be_read() {
        assert!(resident_bytes(std::process::id()).unwrap() > 0);
        assert!(cpu_time(std::process::id()).unwrap() > Duration::ZERO);
    }

    #[test]
    fn the_time_of_a_thread_that_ended_stays_in_the_sum() {
        let me = std::process::id();
        let before = cpu_time(me).unwrap();
        let burned = std::thread::spawn(|| {
            let clock = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
            let used = || Duration::from(clock_gettime(clock).unwrap());
            while used() < Duration::from_millis(30) {}
            used()
        })
        .join()
        .unwrap();
        assert!(cpu_time(me).unwrap() - before >= burned);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(cpu_time(u32::MAX).is_err());
    }
}
