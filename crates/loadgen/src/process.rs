//! What the operating system knows about a process: CPU time, also with all its children, resident memory, open files.

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use std::io;
use std::time::Duration;

/// The unit of times in `/proc`, the same on every common architecture (`USER_HZ`).
const TICKS_PER_SECOND: u64 = 100;
/// Looks at a family until two in a row find the same members.
const LOOKS_MAX: usize = 20;

/// User and system time a process has used so far: all its threads, those that ended included, without its children.
/// A thread that is running may be short of the part since the last scheduler tick (4 ms at 250 Hz).
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let pid = i32::try_from(pid).map_err(|_| Errno::ESRCH)?;
    Ok(clock_gettime(clock_getcpuclockid(Pid::from_raw(pid))?)?.into())
}

/// User and system time that a process and everything that descends from it have used so far, those that ended
/// included once they were waited for: of a postmaster, the time of its whole server.
pub fn family_cpu_time(root: u32) -> io::Result<Duration> {
    let mut before = family(root)?;
    for _ in 0..LOOKS_MAX {
        let mut sum = Duration::ZERO;
        for member in &before {
            // One that is gone is missed by the next look.
            sum += cpu_time(member.pid).unwrap_or_default() + member.ended_children;
        }
        let after = family(root)?;
        if after == before {
            return Ok(sum);
        }
        before = after;
    }
    Err(io::Error::other(
        "processes come and go too fast to add up their time",
    ))
}

/// Time that all cores of the machine together have not been idle so far, that of its host's other guests included.
pub fn machine_cpu_time() -> io::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    busy_time(&stat).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/stat is unreadable"))
}

/// Of the first line, which is about all cores: user, nice, system, idle, iowait, irq, softirq, steal.
fn busy_time(stat: &str) -> Option<Duration> {
    let mut fields = stat
        .lines()
        .next()?
        .strip_prefix("cpu ")?
        .split_ascii_whitespace();
    let mut field = || fields.next()?.parse::<u64>().ok();
    let running = field()? + field()? + field()?;
    let _idle = field()? + field()?;
    let ticks = running + field()? + field()? + field()?;
    Some(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// A process as `/proc/<pid>/stat` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Member {
    pid: u32,
    parent: u32,
    /// Time of those of its children that ended and were waited for.
    ended_children: Duration,
}

impl Member {
    fn parse(stat: &str) -> Option<Member> {
        let pid = stat.split(' ').next()?.parse().ok()?;
        // The name may hold anything, blanks and parentheses included.
        let rest: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let field = |number: usize| rest.get(number - 3)?.trim().parse::<u64>().ok();
        let ticks = field(16)? + field(17)?;
        Some(Member {
            pid,
            parent: u32::try_from(field(4)?).ok()?,
            ended_children: Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND),
        })
    }
}

/// `root` and everything that descends from it.
fn family(root: u32) -> io::Result<Vec<Member>> {
    let mut others = Vec::new();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        // What is no process has no such file, and neither has one that just ended.
        let member = std::fs::read_to_string(entry?.path().join("stat"))
            .ok()
            .and_then(|stat| Member::parse(&stat));
        match member {
            Some(member) if member.pid == root => found.push(member),
            Some(member) => others.push(member),
            None => {}
        }
    }
    if found.is_empty() {
        return Err(Errno::ESRCH.into());
    }
    let mut looked_at = 0;
    while let Some(parent) = found.get(looked_at).map(|member| member.pid) {
        found.extend(others.iter().filter(|member| member.parent == parent));
        looked_at += 1;
    }
    Ok(found)
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
    fn a_stat_line_is_read_whatever_the_process_is_called() {
        let stat = "7 (a) (b c) S 5 7 7 0 -1 4194560 1 2 3 4 50 60 150 25 20 0 1 0 9 8 7";
        assert_eq!(
            Member::parse(stat),
            Some(Member {
                pid: 7,
                parent: 5,
                ended_children: Duration::from_millis(1750)
            })
        );
        assert_eq!(Member::parse("7 (a"), None);
    }

    #[test]
    fn a_machine_is_busy_whenever_it_is_not_idle_or_waiting() {
        let stat = "cpu  10 20 30 1000 2000 40 50 60 7 8\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(busy_time(stat), Some(Duration::from_millis(2100)));
        assert!(machine_cpu_time().unwrap() > Duration::ZERO);
    }

    #[test]
    fn the_family_of_a_process_has_its_children_and_their_children() {
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "echo; cat; true"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // Something is said only when the shell runs, and `cat` ends with our end of the pipe.
        let mut said = [0];
        io::Read::read_exact(shell.stdout.as_mut().unwrap(), &mut said).unwrap();
        let members = family(std::process::id()).unwrap();
        assert!(members.iter().any(|member| member.pid == shell.id()));
        assert!(family_cpu_time(std::process::id()).unwrap() >= cpu_time(shell.id()).unwrap());
        drop(shell.stdin.take());
        shell.wait().unwrap();
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(cpu_time(u32::MAX).is_err());
        assert!(family_cpu_time(u32::MAX).is_err());
    }
}
