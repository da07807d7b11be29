//! The server's end of TLS.

use openssl::error::ErrorStack;
use openssl::ssl::{AlpnError, SslContext, SslMethod, SslMode, SslVerifyMode, select_next_proto};
use openssl::stack::Stack;
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;
use simsync_protocol::tls::{ALPN, restrict};

use crate::ca::Credential;

/// TLS 1.3 with the leaf, the CA in the chain, and a client certificate of this CA if the client has one.
pub fn context(ca: &X509, leaf: &Credential) -> Result<SslContext, ErrorStack> {
    let mut b = SslContext::builder(SslMethod::tls_server())?;
    restrict(&mut b)?;
    b.set_num_tickets(0)?;
    b.set_max_early_data(0)?;
    b.set_mode(SslMode::RELEASE_BUFFERS);
    b.set_session_id_context(b"simsync")?;
    b.set_certificate(&leaf.certificate)?;
    b.set_private_key(&leaf.key)?;
    b.add_extra_chain_cert(ca.clone())?;
    let mut store = X509StoreBuilder::new()?;
    store.add_cert(ca.clone())?;
    b.set_cert_store(store.build());
    let mut names = Stack::new()?;
    names.push(ca.subject_name().to_owned()?)?;
    b.set_client_ca_list(names);
    // Without a certificate, too: enrolling and pairing come before there is one.
    b.set_verify(SslVerifyMode::PEER);
    b.set_alpn_select_callback(|_, offered| {
        select_next_proto(ALPN, offered).ok_or(AlpnError::ALERT_FATAL)
    });
    Ok(b.build())
}
