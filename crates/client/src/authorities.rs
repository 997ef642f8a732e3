//! Whose certificates are trusted: the operating system's authorities, and those of a file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, InvalidMessage, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::address::Address;
use crate::stream::Stream;

/// Why a server's certificate could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum AuthoritiesError {
    /// No authority is trusted.
    #[error(
        "no certificate authorities were found, so {0} cannot be checked: install the package ca-certificates, or name a file of \
         them (PEM) with --ca-file"
    )]
    None(String),
    /// The file cannot be read, or there is no certificate in it.
    #[error(
        "{0}: {1}: a file with certificates of authorities is needed, in PEM (-----BEGIN CERTIFICATE-----)"
    )]
    File(PathBuf, String),
    /// The host is no name a certificate can be for.
    #[error("{0} is no name a certificate can be for: write the host as its certificate has it")]
    Name(String),
}

/// Checks the certificate of one server.
#[derive(Clone)]
pub(crate) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    /// Reads the authorities, those of `file` besides those of the operating system.
    pub(crate) fn new(address: &Address, file: Option<&Path>) -> Result<Self, AuthoritiesError> {
        let name = ServerName::try_from(address.host.clone())
            .map_err(|_| AuthoritiesError::Name(address.host.clone()))?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(file) = file {
            let error = |reason: String| AuthoritiesError::File(file.to_owned(), reason);
            let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(file)
                .and_then(Iterator::collect)
                .map_err(|problem| error(problem.to_string()))?;
            if certificates.is_empty() {
                return Err(error("there is no certificate in it".to_owned()));
            }
            for certificate in certificates {
                roots
                    .add(certificate)
                    .map_err(|problem| error(problem.to_string()))?;
            }
        }
        if roots.is_empty() {
            return Err(AuthoritiesError::None(address.authority().to_owned()));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider supports both versions of TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            name,
        })
    }

    pub(crate) async fn connect(&self, stream: TcpStream) -> io::Result<Stream> {
        let stream = self.connector.connect(self.name.clone(), stream).await?;
        Ok(Stream::Tls(Box::new(stream)))
    }
}

/// What to do about an error of TLS; empty if nobody knows.
pub(crate) fn advice(error: &io::Error) -> &'static str {
    let error = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match error {
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            ": nobody who is trusted has issued its certificate; an authority of your own is named with --ca-file FILE (PEM)"
        }
        Some(rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => ": its certificate is for another host; write the host as the certificate has it",
        Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            ": what answers speaks no TLS; a server in the clear is ws:// or http://"
        }
        _ => "",
    }
}
