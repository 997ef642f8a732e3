//! `pgcluster DIRECTORY`: a cluster that runs until standard input ends, for tests in other languages.

use std::error::Error;
use std::io;

use pgcluster::{Cluster, ClusterOptions, Installation};

fn main() -> Result<(), Box<dyn Error>> {
    let home = std::env::args_os().nth(1).ok_or("usage: pgcluster DIRECTORY")?;
    let options = ClusterOptions {
        home: home.into(),
        port: None,
        password: "postgres".to_owned(),
        durable: true,
        settings: Vec::new(),
    };
    let cluster = Cluster::create_or_open(&Installation::find()?, options)?;
    println!("{}", cluster.superuser_dsn("postgres"));
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
