//! How this device verifies the certificates of brokers and servers: as WebPKI says, at the time of [`wall`], and with
//! one thing more to say where that time is not known. It knows nothing of what is carried.
//!
//! Where no time source keeps the clock, it may be late: a certificate that has expired by it is refused, but one that is
//! not valid *yet* may well be. Such a one is taken when there is one moment from
//! now on at which it and all above it are valid. What this gives away is little: a certificate is stolen or outlives its
//! use, which its end bounds; nobody gains by one whose time is still to come. What it saves is the device that lay on a
//! shelf while the broker's certificate was renewed.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::WantsClientCert;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme,
};

use crate::wall;

/// Certificates of one chain whose time may still be to come.
const CHAIN: usize = 8;

/// A client that trusts these authorities; whether it shows a certificate of its own is the caller's to say.
pub fn client(roots: RootCertStore) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_details(provider.clone(), Arc::new(DeviceTime))
        .with_safe_default_protocol_versions()?;
    if roots.is_empty() {
        // Nothing will verify, which is to be said of the certificate and not of the client.
        return Ok(builder.with_root_certificates(roots));
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let inner = verifier.map_err(|error| Error::General(error.to_string()))?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(Verifier { inner })))
}

/// [`wall`] as rustls asks for it.
#[derive(Debug)]
struct DeviceTime;

impl TimeProvider for DeviceTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(wall::at_least()))
    }
}

#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verify = |at| self.inner.verify_server_cert(leaf, above, name, ocsp, at);
        let kept = wall::is_synchronised();
        let verified = if kept { verify(now) } else { from_then_on(now, verify) };
        if !kept
            && verified.is_ok()
            && let Some(issued) = begin(&verify(UnixTime::since_unix_epoch(Duration::ZERO)))
            && issued <= now
        {
            // The clock says so, and so does an authority: it was issued before now.
            wall::raise_floor(issued.as_secs().saturating_mul(1_000));
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Verifies at this moment, and where something is not valid yet, at the one from which it is.
fn from_then_on<T>(now: UnixTime, verify: impl Fn(UnixTime) -> Result<T, Error>) -> Result<T, Error> {
    let first = verify(now);
    let (mut at, mut last) = (now, begin(&first));
    for _ in 0..CHAIN {
        let Some(then) = last.filter(|then| *then > at) else { break };
        at = then;
        let again = verify(at);
        if again.is_ok() {
            log::info!(
                "a certificate is taken that is not valid yet by this clock, which no time source keeps"
            );
            return again;
        }
        last = begin(&again);
    }
    first
}

/// When what is not valid yet begins to be.
fn begin<T>(verified: &Result<T, Error>) -> Option<UnixTime> {
    match verified {
        Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. })) => {
            Some(*not_before)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(secs))
    }

    /// Verifies a chain of these times, as WebPKI does.
    fn chain(times: &[(u64, u64)], now: UnixTime) -> Result<u64, Error> {
        for (from, until) in times {
            let (time, not_before, not_after) = (now, at(*from), at(*until));
            if now < not_before {
                return Err(CertificateError::NotValidYetContext { time, not_before }.into());
            }
            if now > not_after {
                return Err(CertificateError::ExpiredContext { time, not_after }.into());
            }
        }
        Ok(now.as_secs())
    }

    #[test]
    fn a_chain_is_taken_at_the_first_moment_at_which_all_of_it_is_valid() {
        let verify = |times: &[(u64, u64)], now| from_then_on(at(now), |at| chain(times, at));
        assert_eq!(verify(&[(10, 20), (5, 50)], 15), Ok(15));
        assert_eq!(verify(&[(10, 20), (5, 50)], 1), Ok(10));
        assert_eq!(verify(&[(10, 20), (15, 50)], 1), Ok(15));
        let expired = CertificateError::ExpiredContext { time: at(21), not_after: at(20) };
        assert_eq!(verify(&[(10, 20)], 21), Err(expired.into()));
        let never = CertificateError::NotValidYetContext { time: at(1), not_before: at(10) };
        assert_eq!(
            verify(&[(10, 20), (30, 50)], 1),
            Err(never.into()),
            "one has ended when the other begins"
        );
        let growing: Vec<_> = (1..100).map(|n| (n * 10, 10_000)).collect();
        assert!(verify(&growing, 0).is_err(), "it does not go on for ever");
    }
}
