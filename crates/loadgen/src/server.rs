//! The server under load: one that is already running, or one started here and stopped again.
//!
//! Every started process is in one registry, so that whatever ends the tool (the end, an error, a signal, the
//! deadline) also ends them; see [`guard`].

use crate::swarm::{Member, Swarm};
use crate::target::Target;
use crate::{Result, failed, message, process};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a started server may take until it accepts a socket.
const START_LIMIT: Duration = Duration::from_secs(20);

static CHILDREN: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// How to start a server.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The executable.
    pub program: PathBuf,
    /// Its arguments; `{port}` stands for the port to listen on.
    pub arguments: Vec<String>,
    /// The token its sockets connect with.
    pub token: String,
}

/// A server that can be measured.
pub struct Server {
    /// Where it is reached.
    pub target: Target,
    pid: Option<u32>,
    launch: Option<Launch>,
}

impl Server {
    /// A running server; without `pid` its CPU and memory are not measured.
    pub fn running(target: Target, pid: Option<u32>) -> Server {
        Server {
            target,
            pid,
            launch: None,
        }
    }

    /// Starts a server on a free port of the loopback and waits until it accepts a socket.
    pub fn start(launch: &Launch) -> Result<Server> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let target = Target::parse(&format!("ws://127.0.0.1:{port}"), &launch.token)?;
        let mut server = Server {
            target,
            pid: None,
            launch: Some(launch.clone()),
        };
        server.restart()?;
        Ok(server)
    }

    /// What it was started from, if it was started here.
    pub fn launch(&self) -> Option<&Launch> {
        self.launch.as_ref()
    }

    /// Starts the process again, on its old port and after its end, and waits until it accepts a socket.
    pub fn restart(&mut self) -> Result<()> {
        self.kill();
        let Some(launch) = &self.launch else {
            return failed("this server was not started here");
        };
        let port = self.target.address.port().to_string();
        let child = Command::new(&launch.program)
            .args(
                launch
                    .arguments
                    .iter()
                    .map(|argument| argument.replace("{port}", &port)),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("{}: {error}", launch.program.display()))?;
        self.pid = Some(child.id());
        children().push(child);
        self.wait_until_open()
    }

    /// Starts it again if it was started here; a running one is left alone.
    pub fn renew(&mut self) -> Result<()> {
        match self.launch {
            Some(_) => self.restart(),
            None => Ok(()),
        }
    }

    /// Kills the process, as a crash would, and waits for its end.
    pub fn kill(&mut self) {
        if self.launch.is_some()
            && let Some(pid) = self.pid.take()
        {
            let mut children = children();
            if let Some(at) = children.iter().position(|child| child.id() == pid) {
                end(children.swap_remove(at));
            }
        }
    }

    /// Waits until a handshake and a join are answered.
    fn wait_until_open(&self) -> Result<()> {
        let begun = Instant::now();
        loop {
            let probe = Member::new(message::join("probe", &self.target.token, false));
            match Swarm::new(&self.target)?.open([probe], 1, Duration::from_secs(5)) {
                Ok(_) => return Ok(()),
                Err(error) if begun.elapsed() > START_LIMIT => return Err(error),
                Err(_) if self.has_ended() => return failed("the server ended as soon as it was started"),
                Err(_) => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    /// Whether a process started here ended by itself.
    fn has_ended(&self) -> bool {
        let mut children = children();
        let child = children.iter_mut().find(|child| Some(child.id()) == self.pid);
        child.is_some_and(|child| child.try_wait().is_ok_and(|status| status.is_some()))
    }

    /// CPU time used so far; `None` if the process is not known.
    pub fn cpu_time(&self) -> Result<Option<Duration>> {
        Ok(self.pid.map(process::cpu_time).transpose()?)
    }

    /// Resident memory in bytes; `None` if the process is not known.
    pub fn resident_bytes(&self) -> Result<Option<u64>> {
        Ok(self.pid.map(process::resident_bytes).transpose()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Ends the tool and everything it started after `limit`, or on SIGINT or SIGTERM. Call once, at the start.
pub fn guard(limit: Duration) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("guard".to_owned())
        .spawn(move || {
            let reason = runtime.block_on(async {
                let mut terminated =
                    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
                tokio::select! {
                    _ = tokio::time::sleep(limit) => {}
                    _ = tokio::signal::ctrl_c() => return std::io::Result::Ok("interrupted".to_owned()),
                    _ = terminated.recv() => return Ok("terminated".to_owned()),
                }
                Ok(format!("not finished after {limit:?}"))
            });
            eprintln!("loadgen: {}", reason.unwrap_or_else(|error| error.to_string()));
            end_all();
            std::process::exit(1);
        })?;
    Ok(())
}

/// Kills every process that was started here.
pub fn end_all() {
    children().drain(..).for_each(end);
}

fn children() -> std::sync::MutexGuard<'static, Vec<Child>> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn end(mut child: Child) {
    // Either fails only if the process is gone already, which is what is wanted.
    let _ = child.kill();
    let _ = child.wait();
}
