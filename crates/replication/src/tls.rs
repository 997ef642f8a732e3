//! TLS towards a database: what `sslmode` promises, kept with rustls.
//!
//! | sslmode | TLS | chain checked | name checked |
//! | --- | --- | --- | --- |
//! | `disable` | never | | |
//! | `prefer` | if the server has it | no | no |
//! | `require` | always | no | no |
//! | `verify-ca` | always | yes | no |
//! | `verify-full` | always | yes | yes |
//!
//! Source: the PostgreSQL manual, section 34.19. Unlike libpq, `prefer` does not fall back to a plain connection once
//! the server has said that it speaks TLS.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::error::Definite;

/// How much TLS a connection string asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SslMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// The TLS half of a connection string. Clones share what is loaded.
#[derive(Clone)]
pub(crate) struct Tls {
    mode: SslMode,
    root_certificates: Option<PathBuf>,
    /// Made at the first connection that needs it, and kept: the certificates of an operating system are many.
    client: Arc<OnceLock<Arc<ClientConfig>>>,
}

impl Tls {
    /// Without a file, servers are checked with the certificates of the operating system.
    pub(crate) fn new(mode: SslMode, root_certificates: Option<PathBuf>) -> Tls {
        Tls {
            mode,
            root_certificates,
            client: Arc::default(),
        }
    }

    pub(crate) fn mode(&self) -> SslMode {
        self.mode
    }

    #[cfg(test)]
    pub(crate) fn root_certificates(&self) -> Option<&Path> {
        self.root_certificates.as_deref()
    }

    /// What a handshake is made with.
    pub(crate) fn client(&self) -> Result<Arc<ClientConfig>, Definite> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let trust = match self.mode {
            SslMode::Disable | SslMode::Prefer | SslMode::Require => Trust::Anyone,
            SslMode::VerifyCa => Trust::Signed(Roots::load(self.root_certificates.as_deref())?),
            SslMode::VerifyFull => Trust::SignedAndNamed(Roots::load(self.root_certificates.as_deref())?),
        };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Arc::new(Verifier {
            trust,
            provider: provider.clone(),
        });
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider supports both versions of TLS")
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(self.client.get_or_init(|| Arc::new(client)).clone())
    }
}

/// Whom to believe.
#[derive(Debug)]
enum Trust {
    Anyone,
    Signed(Roots),
    SignedAndNamed(Roots),
}

struct Roots {
    authorities: RootCertStore,
    /// The certificates of the file as they are: a server that shows one of them is as good as one signed by it. So
    /// the self-signed certificate of a server can be trusted, which a chain of one cannot express.
    pinned: Vec<CertificateDer<'static>>,
}

impl Roots {
    fn load(file: Option<&Path>) -> Result<Roots, Definite> {
        let origin = file.map_or("the operating system".into(), |path| path.display().to_string());
        let failed = |reason: String| Definite::RootCertificates {
            origin: origin.clone(),
            reason,
        };
        let certificates: Vec<CertificateDer<'static>> = match file {
            Some(path) => CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect)
                .map_err(|error| failed(error.to_string()))?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        let pinned = if file.is_some() {
            certificates.clone()
        } else {
            Vec::new()
        };
        let mut authorities = RootCertStore::empty();
        let (added, _) = authorities.add_parsable_certificates(certificates);
        if added == 0 {
            return Err(failed("there is no certificate in it".into()));
        }
        Ok(Roots { authorities, pinned })
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roots({})", self.authorities.len())
    }
}

#[derive(Debug)]
struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let roots = match &self.trust {
            Trust::Anyone => return Ok(ServerCertVerified::assertion()),
            Trust::Signed(roots) | Trust::SignedAndNamed(roots) => roots,
        };
        let certificate = ParsedCertificate::try_from(end_entity)?;
        if !roots.pinned.contains(end_entity) {
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                &roots.authorities,
                intermediates,
                now,
                self.provider.signature_verification_algorithms.all,
            )?;
        }
        if let Trust::SignedAndNamed(_) = self.trust {
            verify_server_name(&certificate, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// A handshake's failure in words for an operator.
pub(crate) fn describe(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate is for another host name".into(),
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate is signed by nobody in sslrootcert".into()
        }
        rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "its certificate has expired".into(),
        error => error.to_string(),
    }
}
