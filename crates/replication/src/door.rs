//! The place where a server takes new connections, and whether anybody answers there.
//!
//! The question is whether TLS is spoken, which every PostgreSQL answers with a byte before it knows whom it talks to. It
//! needs no login, takes none of the server's connections and leaves no trace in its log.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::socket::SSL_REQUEST;

/// How long an answer may take: as long as a machine under load needs for a new process.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Where a server was found.
#[derive(Clone, Debug)]
pub(crate) enum Door {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Door {
    /// Whether a server answers.
    pub(crate) async fn knock(self) -> bool {
        timeout(ANSWER_MAX, self.ask()).await.unwrap_or(false)
    }

    async fn ask(self) -> bool {
        match self {
            Door::Tcp(address) => match TcpStream::connect(address).await {
                Ok(stream) => is_answered(stream).await,
                Err(_) => false,
            },
            Door::Unix(path) => match UnixStream::connect(path).await {
                Ok(stream) => is_answered(stream).await,
                Err(_) => false,
            },
        }
    }
}

/// Whether a byte comes back. A proxy before a dead server takes the connection and says nothing or closes it.
async fn is_answered(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> bool {
    stream.write_all(&SSL_REQUEST).await.is_ok() && stream.read_u8().await.is_ok()
}

#[cfg(test)]
mod tests {
    use pgcluster::TestCluster;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_server_answers_at_each_of_its_doors() {
        let cluster = TestCluster::shared();
        let port = cluster.port();
        assert!(Door::Tcp(([127, 0, 0, 1], port).into()).knock().await);
        let directory = cluster
            .execute("postgres", "show unix_socket_directories")
            .unwrap();
        let path = PathBuf::from(directory).join(format!(".s.PGSQL.{port}"));
        assert!(Door::Unix(path).knock().await);
    }

    #[tokio::test]
    async fn whoever_only_opens_is_no_server() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let door = Door::Tcp(address);
        let opens = async { drop(listener.accept().await.unwrap()) };
        let (answered, ()) = tokio::join!(door.clone().knock(), opens);
        assert!(!answered);
        drop(listener);
        assert!(!door.knock().await, "nobody is there");
        assert!(!Door::Unix("/nowhere/.s.PGSQL.5432".into()).knock().await);
    }
}
