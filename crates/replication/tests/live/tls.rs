//! What each `sslmode` accepts.

use std::fs;
use std::path::PathBuf;

use pgcluster::TestCluster;
use replication::Definite;

use super::*;

/// A server with a certificate for `localhost`, signed by an authority that nobody else knows.
struct TlsServer {
    cluster: TestCluster,
    directory: PathBuf,
}

impl TlsServer {
    fn start() -> TlsServer {
        let mut cluster = TestCluster::start(&[]);
        // The server makes the files itself, so that they are its own.
        let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        for command in [
            format!("openssl req -x509 {new_key} -keyout ca.key -out ca.pem -subj /CN=authority -days 2"),
            format!("openssl req -x509 {new_key} -keyout other.key -out other.pem -subj /CN=other -days 2"),
            format!("openssl req {new_key} -keyout server.key -out server.csr -subj /CN=localhost"),
            "echo subjectAltName=DNS:localhost > names".to_owned(),
            "openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names \
             -out server.crt"
                .to_owned(),
        ] {
            let program = format!("(umask 077; {command}) 2>&1");
            sql(&cluster, "postgres", &format!("copy (select) to program 'cat > /dev/null; {program}'"));
        }
        sql(&cluster, "postgres", "alter system set ssl = on");
        cluster.restart().expect("the server starts with its certificate");

        let directory = std::env::temp_dir().join(format!("roost-tls-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        for file in ["ca.pem", "other.pem", "server.crt"] {
            let pem = sql(&cluster, "postgres", &format!("select pg_read_file('{file}')"));
            fs::write(directory.join(file), pem).unwrap();
        }
        fs::write(directory.join("empty.pem"), "").unwrap();
        TlsServer { cluster, directory }
    }

    /// An address of the server by that name, which need not resolve.
    fn dsn(&self, host: &str, options: &str) -> String {
        let options = options.replace("DIR", &self.directory.display().to_string());
        let port = self.cluster.port();
        format!(
            "host={host} hostaddr=127.0.0.1 port={port} user=postgres password=postgres dbname=postgres {options}"
        )
    }

    /// Whether the only other session there is uses TLS.
    fn is_encrypted(&self) -> bool {
        let statement = "select ssl from pg_stat_ssl join pg_stat_activity using (pid) \
                         where application_name = 'roost'";
        sql(&self.cluster, "postgres", statement) == "t"
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.directory);
    }
}

#[tokio::test]
async fn each_mode_accepts_what_it_promises() {
    let server = TlsServer::start();
    let accepts = async |host: &str, options: &str| {
        let connection = log_in(&server.dsn(host, options)).await;
        let connection = connection.unwrap_or_else(|error| panic!("{host} {options}: {error}"));
        let encrypted = server.is_encrypted();
        let pid_gone = "select count(*) from pg_stat_activity where application_name = 'roost'";
        drop(connection);
        until(&server.cluster, pid_gone, "0").await;
        encrypted
    };
    assert!(!accepts("localhost", "sslmode=disable").await);
    for options in [
        "",
        "sslmode=prefer",
        "sslmode=require",
        "sslmode=require channel_binding=require",
        "sslmode=require channel_binding=disable",
        "sslmode=require sslrootcert=DIR/ca.pem",
        "sslmode=verify-ca sslrootcert=DIR/ca.pem",
    ] {
        assert!(accepts("another.name", options).await, "{options}");
    }
    assert!(
        accepts(
            "localhost",
            "sslmode=verify-full sslrootcert=DIR/ca.pem channel_binding=require"
        )
        .await
    );
    // The server's own certificate can stand for an authority.
    assert!(accepts("localhost", "sslmode=verify-full sslrootcert=DIR/server.crt").await);

    let refuses = async |host: &str, options: &str, word: &str| {
        let refusal = refusal(&server.dsn(host, options)).await;
        assert!(
            matches!(
                refusal,
                Error::Definite(Definite::Tls { .. } | Definite::RootCertificates { .. })
            ),
            "{options}: {refusal:?}"
        );
        assert!(refusal.to_string().contains(word), "{options}: {refusal}");
    };
    let full = "sslmode=verify-full sslrootcert=DIR/ca.pem";
    refuses("another.name", full, "another host name").await;
    refuses("127.0.0.1", full, "another host name").await;
    refuses(
        "another.name",
        "sslmode=verify-full sslrootcert=DIR/server.crt",
        "another host name",
    )
    .await;
    refuses(
        "localhost",
        "sslmode=verify-full sslrootcert=DIR/other.pem",
        "signed by nobody",
    )
    .await;
    refuses(
        "localhost",
        "sslmode=verify-ca sslrootcert=DIR/other.pem",
        "signed by nobody",
    )
    .await;
    refuses(
        "localhost",
        "sslmode=require sslrootcert=DIR/other.pem",
        "signed by nobody",
    )
    .await;
    refuses(
        "localhost",
        "sslmode=verify-ca sslrootcert=DIR/missing.pem",
        "missing.pem",
    )
    .await;
    refuses(
        "localhost",
        "sslmode=verify-ca sslrootcert=DIR/empty.pem",
        "no certificate",
    )
    .await;
}

#[tokio::test]
async fn a_server_without_tls_is_enough_for_prefer_only() {
    let cluster = TestCluster::shared();
    let dsn = |mode: &str| format!("{}?sslmode={mode}", cluster.superuser_dsn("postgres"));
    assert!(log_in(&dsn("prefer")).await.is_ok());
    for mode in ["require", "verify-ca", "verify-full"] {
        let server = format!("127.0.0.1:{}", cluster.port());
        assert_eq!(
            refusal(&dsn(mode)).await,
            Definite::TlsNotOffered { server }.into()
        );
    }
}
