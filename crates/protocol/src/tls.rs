//! TLS 1.3 as both sides speak it: no tickets, no resumption, no early data, no authentication after the handshake.

use std::sync::Arc;

use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey, EcPoint};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslRef, SslSessionCacheMode,
    SslVerifyMode, SslVersion,
};
use openssl::x509::verify::X509CheckFlags;
use openssl::x509::{
    X509, X509NameBuilder, X509Ref, X509ReqBuilder, X509StoreContextRef, X509VerifyResult,
};
use parking_lot::Mutex;
use simsync_card::ids::{Hash, SubscriberId};
use simsync_card::sign::SecretKey;

use crate::address::ServerAddress;
use crate::api::EXPORTER_LABEL;

/// The only application protocol.
pub const ALPN: &[u8] = b"\x02h2";

/// A terminal's certificate and key.
#[derive(Debug, Clone)]
pub struct Identity {
    /// DER, as answered by `POST /v1/pair`.
    pub certificate: Vec<u8>,
    /// The key of that certificate.
    pub key: SecretKey,
}

/// SHA-256 of a certificate's SubjectPublicKeyInfo, DER: what a card keeps as "CA pin".
pub fn spki_hash(certificate: &X509Ref) -> Result<Hash, ErrorStack> {
    Ok(Hash::of(&certificate.public_key()?.public_key_to_der()?))
}

/// One of our signing keys as OpenSSL wants it.
pub fn private_key(key: &SecretKey) -> Result<PKey<Private>, ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    let mut ctx = openssl::bn::BigNumContext::new()?;
    let mut scalar = BigNum::from_slice(key.to_bytes().as_slice())?;
    scalar.set_const_time();
    let point = EcPoint::from_bytes(&group, &key.point().0, &mut ctx)?;
    let ec = EcKey::from_private_components(&group, &scalar, &point)?;
    scalar.clear();
    PKey::from_ec_key(ec)
}

/// A certificate request (PKCS #10, DER) for the terminal's key. The subject is a hint; the server writes its own.
pub fn certificate_request(
    key: &SecretKey,
    subscriber: &SubscriberId,
) -> Result<Vec<u8>, ErrorStack> {
    let pkey = private_key(key)?;
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_nid(Nid::ORGANIZATIONNAME, subscriber.as_str())?;
    let mut req = X509ReqBuilder::new()?;
    req.set_version(0)?;
    req.set_subject_name(&name.build())?;
    req.set_pubkey(&pkey)?;
    req.sign(&pkey, MessageDigest::sha256())?;
    req.build().to_der()
}

/// Settings that client and server share: TLS 1.3 only, nothing that outlives a connection.
pub fn restrict(builder: &mut SslContextBuilder) -> Result<(), ErrorStack> {
    builder.set_min_proto_version(Some(SslVersion::TLS1_3))?;
    builder.set_max_proto_version(Some(SslVersion::TLS1_3))?;
    builder.set_options(
        SslOptions::NO_TICKET | SslOptions::NO_COMPRESSION | SslOptions::NO_RENEGOTIATION,
    );
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    Ok(())
}

/// The connection's exporter value (RFC 9266), 32 bytes: equal on both ends and nowhere else.
pub fn exporter(ssl: &SslRef) -> Result<[u8; 32], ErrorStack> {
    let mut out = [0; 32];
    ssl.export_keying_material(&mut out, EXPORTER_LABEL, Some(&[]))?;
    Ok(out)
}

/// What the check of the server's chain found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A CA, but not the pinned one; or none at all.
    Pin,
    /// The pinned CA, but the certificate is for another name.
    Host,
    /// Anything else, for example expired.
    Other(X509VerifyResult),
}

/// Filled in by the verification callback when it refuses.
#[derive(Debug, Clone, Default)]
pub(crate) struct VerdictSlot(Arc<Mutex<Option<Verdict>>>);

impl VerdictSlot {
    pub(crate) fn get(&self) -> Option<Verdict> {
        *self.0.lock()
    }

    fn set(&self, verdict: Verdict) {
        self.0.lock().get_or_insert(verdict);
    }
}

/// An OpenSSL object for one connection to `address`, whose chain must end in the CA of `pin`.
///
/// The context has no trusted roots at all, so OpenSSL reports the CA, which the server sends in its chain, as
/// "self-signed certificate in chain". The callback lets exactly that error pass, and only for the pinned key;
/// signatures, purpose, dates and host name are checked by OpenSSL as ever.
pub(crate) fn client_ssl(
    address: &ServerAddress,
    pin: &Hash,
    identity: Option<&Identity>,
) -> Result<(Ssl, VerdictSlot), ErrorStack> {
    let mut builder = SslContext::builder(SslMethod::tls_client())?;
    restrict(&mut builder)?;
    builder.set_alpn_protos(ALPN)?;
    if let Some(identity) = identity {
        builder.set_certificate(&*X509::from_der(&identity.certificate)?)?;
        builder.set_private_key(&*private_key(&identity.key)?)?;
        builder.check_private_key()?;
    }
    let mut ssl = Ssl::new(&builder.build())?;
    let param = ssl.param_mut();
    param.set_hostflags(X509CheckFlags::NEVER_CHECK_SUBJECT | X509CheckFlags::NO_PARTIAL_WILDCARDS);
    match address.ip() {
        Some(ip) => param.set_ip(ip)?,
        None => {
            param.set_host(address.host())?;
            ssl.set_hostname(address.host())?;
        }
    }
    let slot = VerdictSlot::default();
    let (pin, verdict) = (*pin, slot.clone());
    ssl.set_verify_callback(SslVerifyMode::PEER, move |ok, chain| {
        ok || match judge(chain, &pin) {
            Ok(()) => {
                chain.set_error(X509VerifyResult::OK);
                true
            }
            Err(why) => {
                verdict.set(why);
                false
            }
        }
    });
    Ok((ssl, slot))
}

fn judge(chain: &X509StoreContextRef, pin: &Hash) -> Result<(), Verdict> {
    // Numbers of <openssl/x509_vfy.h>.
    const DEPTH_ZERO_SELF_SIGNED_CERT: i32 = 18;
    const SELF_SIGNED_CERT_IN_CHAIN: i32 = 19;
    const UNABLE_TO_GET_ISSUER_CERT_LOCALLY: i32 = 20;
    const UNABLE_TO_VERIFY_LEAF_SIGNATURE: i32 = 21;
    const HOSTNAME_MISMATCH: i32 = 62;
    const IP_ADDRESS_MISMATCH: i32 = 64;
    match chain.error().as_raw() {
        SELF_SIGNED_CERT_IN_CHAIN => {
            let found = chain.current_cert().and_then(|ca| spki_hash(ca).ok());
            if found.as_ref() == Some(pin) {
                Ok(())
            } else {
                Err(Verdict::Pin)
            }
        }
        DEPTH_ZERO_SELF_SIGNED_CERT
        | UNABLE_TO_GET_ISSUER_CERT_LOCALLY
        | UNABLE_TO_VERIFY_LEAF_SIGNATURE => Err(Verdict::Pin),
        HOSTNAME_MISMATCH | IP_ADDRESS_MISMATCH => Err(Verdict::Host),
        _ => Err(Verdict::Other(chain.error())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_holds_the_key_and_proves_it() {
        let key = SecretKey::from_bytes(&[7; 32]).unwrap();
        let der = certificate_request(&key, &"alice".parse().unwrap()).unwrap();
        let req = openssl::x509::X509Req::from_der(&der).unwrap();
        let public = req.public_key().unwrap();
        assert!(req.verify(&public).unwrap());
        let spki = public.public_key_to_der().unwrap();
        assert_eq!(spki[spki.len() - 65..], key.point().0);
    }
}
