//! The server's own certificate authority: its CA, its leaf, and the terminals' certificates.

use std::net::IpAddr;

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private, Public};
use openssl::x509::extension::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName,
};
use openssl::x509::{X509, X509Builder, X509Name, X509NameBuilder, X509Req};
use simsync_card::ids::{Hash, Point, SubscriberId, TerminalId};
use simsync_protocol::tls::spki_hash;

/// Certificates of terminals and the CA do not expire: their state is checked at every request (RFC 5280, 4.1.2.5).
const NEVER: &str = "99991231235959Z";
/// Start of validity, so that a server or terminal with a wrong clock still works.
const ALWAYS: &str = "20200101000000Z";
/// How long the server's leaf is good for.
const LEAF_DAYS: u32 = 90;
/// It is renewed when it is good for less than this.
const LEAF_RENEW_DAYS: i32 = 30;

/// A certificate with its private key.
#[derive(Clone)]
pub struct Credential {
    /// The certificate that it signs with.
    pub certificate: X509,
    /// Key of the certificate.
    pub key: PKey<Private>,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential(..)")
    }
}

fn new_key() -> Result<PKey<Private>, ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    PKey::from_ec_key(EcKey::generate(&group)?)
}

fn builder(subject: &X509Name, issuer: &X509Name) -> Result<X509Builder, ErrorStack> {
    let mut serial = BigNum::new()?;
    serial.rand(127, MsbOption::MAYBE_ZERO, false)?;
    let mut b = X509::builder()?;
    b.set_version(2)?;
    b.set_serial_number(&*Asn1Integer::from_bn(&serial)?)?;
    b.set_subject_name(subject)?;
    b.set_issuer_name(issuer)?;
    Ok(b)
}

fn name(entries: &[(Nid, &str)]) -> Result<X509Name, ErrorStack> {
    let mut b = X509NameBuilder::new()?;
    for (nid, value) in entries {
        b.append_entry_by_nid(*nid, value)?;
    }
    Ok(b.build())
}

/// A new CA: P-256, self-signed, for certificates of one level.
pub fn new_ca(host: &str) -> Result<Credential, ErrorStack> {
    let key = new_key()?;
    let subject = name(&[
        (Nid::ORGANIZATIONNAME, "simsync"),
        (
            Nid::COMMONNAME,
            &format!("simsync CA of {}", &host[..host.len().min(40)]),
        ),
    ])?;
    let mut b = builder(&subject, &subject)?;
    b.set_not_before(&*Asn1Time::from_str_x509(ALWAYS)?)?;
    b.set_not_after(&*Asn1Time::from_str_x509(NEVER)?)?;
    b.set_pubkey(&key)?;
    b.append_extension(BasicConstraints::new().critical().ca().pathlen(0).build()?)?;
    b.append_extension(
        KeyUsage::new()
            .critical()
            .key_cert_sign()
            .crl_sign()
            .build()?,
    )?;
    b.sign(&key, MessageDigest::sha256())?;
    Ok(Credential {
        certificate: b.build(),
        key,
    })
}

/// A new leaf for the server under `host`, a name or an IP address.
pub fn new_leaf(ca: &Credential, host: &str) -> Result<Credential, ErrorStack> {
    let key = new_key()?;
    let subject = name(&[
        (Nid::ORGANIZATIONNAME, "simsync"),
        (Nid::COMMONNAME, "simsync-server"),
    ])?;
    let mut b = builder(&subject, &ca.certificate.subject_name().to_owned()?)?;
    b.set_not_before(&*Asn1Time::from_str_x509(ALWAYS)?)?;
    b.set_not_after(&*Asn1Time::days_from_now(LEAF_DAYS)?)?;
    b.set_pubkey(&key)?;
    let mut san = SubjectAlternativeName::new();
    match host.parse::<IpAddr>() {
        Ok(_) => san.ip(host),
        Err(_) => san.dns(host),
    };
    let san = san.build(&b.x509v3_context(Some(&ca.certificate), None))?;
    b.append_extension(san)?;
    b.append_extension(BasicConstraints::new().critical().build()?)?;
    b.append_extension(KeyUsage::new().critical().digital_signature().build()?)?;
    b.append_extension(ExtendedKeyUsage::new().server_auth().build()?)?;
    b.sign(&ca.key, MessageDigest::sha256())?;
    Ok(Credential {
        certificate: b.build(),
        key,
    })
}

/// Whether a leaf should be replaced now.
pub fn leaf_is_old(leaf: &X509) -> Result<bool, ErrorStack> {
    let now = Asn1Time::days_from_now(0)?;
    Ok(now.diff(leaf.not_after())?.days < LEAF_RENEW_DAYS)
}

/// What a terminal's certificate request says.
pub struct Request {
    /// The P-256 public key that the terminal wants a certificate for, uncompressed.
    pub key: Point,
    public: PKey<Public>,
}

/// Reads a request (PKCS #10, DER) and checks that it is signed by its own P-256 key. `None`: it is not.
pub fn read_request(der: &[u8]) -> Option<Request> {
    let request = parse_request(der);
    // A signature that does not verify is no error to the `openssl` crate, but leaves one in OpenSSL's queue of this
    // thread, where the next read or write of any TLS connection would find it and take it for its own.
    let _ = ErrorStack::get();
    request
}

fn parse_request(der: &[u8]) -> Option<Request> {
    let request = X509Req::from_der(der).ok()?;
    let public = request.public_key().ok()?;
    if !request.verify(&public).ok()? {
        return None;
    }
    let ec = public.ec_key().ok()?;
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).ok()?;
    if ec.group().curve_name() != Some(Nid::X9_62_PRIME256V1) {
        return None;
    }
    let mut ctx = openssl::bn::BigNumContext::new().ok()?;
    let form = openssl::ec::PointConversionForm::UNCOMPRESSED;
    let bytes = ec.public_key().to_bytes(&group, form, &mut ctx).ok()?;
    let key = Point::from_slice(&bytes).ok()?;
    // Written again from the point, so that the certificate holds the named curve and nothing else.
    let point = openssl::ec::EcPoint::from_bytes(&group, &bytes, &mut ctx).ok()?;
    let public = PKey::from_ec_key(EcKey::from_public_key(&group, &point).ok()?).ok()?;
    Some(Request { key, public })
}

/// A terminal's certificate, DER: subject = subscriber and terminal ID, good for TLS clients only.
pub fn terminal_certificate(
    ca: &Credential,
    subscriber: &SubscriberId,
    request: &Request,
) -> Result<Vec<u8>, ErrorStack> {
    let terminal = TerminalId::of(&request.key).to_string();
    let subject = name(&[
        (Nid::ORGANIZATIONNAME, subscriber.as_str()),
        (Nid::COMMONNAME, &terminal),
    ])?;
    let mut b = builder(&subject, &ca.certificate.subject_name().to_owned()?)?;
    b.set_not_before(&*Asn1Time::from_str_x509(ALWAYS)?)?;
    b.set_not_after(&*Asn1Time::from_str_x509(NEVER)?)?;
    b.set_pubkey(&request.public)?;
    b.append_extension(BasicConstraints::new().critical().build()?)?;
    b.append_extension(KeyUsage::new().critical().digital_signature().build()?)?;
    b.append_extension(ExtendedKeyUsage::new().client_auth().build()?)?;
    b.sign(&ca.key, MessageDigest::sha256())?;
    b.build().to_der()
}

/// Subscriber and terminal, as [`terminal_certificate`] wrote them. `None`: the certificate is no terminal's.
pub fn terminal_of(certificate: &X509) -> Option<(SubscriberId, TerminalId)> {
    let text = |nid| {
        let entry = certificate.subject_name().entries_by_nid(nid).next()?;
        entry.data().to_string().ok()
    };
    let subscriber = text(Nid::ORGANIZATIONNAME)?.parse().ok()?;
    Some((subscriber, text(Nid::COMMONNAME)?.parse().ok()?))
}

/// What goes onto cards: the hash of the CA's public key info.
pub fn pin(ca: &Credential) -> Result<Hash, ErrorStack> {
    spki_hash(&ca.certificate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaf_and_terminal_certificates_chain_to_the_ca() {
        let ca = new_ca("localhost").unwrap();
        let public = ca.certificate.public_key().unwrap();
        for host in ["localhost", "127.0.0.1", "::1"] {
            let leaf = new_leaf(&ca, host).unwrap();
            assert!(leaf.certificate.verify(&public).unwrap());
            assert!(!leaf_is_old(&leaf.certificate).unwrap());
        }
        let key = simsync_card::sign::SecretKey::from_bytes(&[9; 32]).unwrap();
        let alice = "alice".parse().unwrap();
        let der = simsync_protocol::tls::certificate_request(&key, &alice).unwrap();
        let request = read_request(&der).unwrap();
        assert_eq!(request.key, key.point());
        let certificate = terminal_certificate(&ca, &alice, &request).unwrap();
        let certificate = X509::from_der(&certificate).unwrap();
        assert!(certificate.verify(&public).unwrap());
        let terminal = TerminalId::of(&key.point());
        assert_eq!(terminal_of(&certificate), Some((alice, terminal)));
        assert_eq!(terminal_of(&ca.certificate), None);
        assert_eq!(
            certificate.not_after().to_string(),
            "Dec 31 23:59:59 9999 GMT"
        );
    }

    #[test]
    fn a_request_without_proof_of_its_key_is_refused() {
        let key = simsync_card::sign::SecretKey::from_bytes(&[9; 32]).unwrap();
        let alice = "alice".parse().unwrap();
        let mut der = simsync_protocol::tls::certificate_request(&key, &alice).unwrap();
        let last = der.len() - 1;
        der[last] ^= 1;
        assert!(read_request(&der).is_none());
        assert!(read_request(b"").is_none());
        assert!(read_request(&der[..20]).is_none());
    }
}
