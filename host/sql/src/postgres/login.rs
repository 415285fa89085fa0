//! The beginning of a connection: who asks, and the proof of it.

use std::time::{Duration, Instant};

use fallible_iterator::FallibleIterator as _;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use zeroize::Zeroizing;

use crate::bounds::CONNECT_SECONDS;
use crate::postgres::socket::Socket;
use crate::postgres::tls::secure;
use crate::postgres::wire::{Wire, malformed};
use crate::snapshot::Clock;
use crate::{Error, Passwords, PostgresAddress};

/// Connects and logs in; the server waits for a question then.
pub(crate) fn connect(
    address: &PostgresAddress,
    clock: &Clock,
    passwords: &Passwords,
) -> Result<Wire, Error> {
    let host = address.server();
    let end = clock.end().min(Instant::now() + Duration::from_secs(CONNECT_SECONDS));
    let socket = Socket::connect(&address.host, address.port, end);
    let socket = socket.map_err(|source| Error::Connect { host: host.clone(), source })?;
    let mut stream = secure(socket, address)?;
    stream.until(clock.end());
    let mut wire = Wire::new(stream, host, clock);
    let PostgresAddress { user, database, .. } = address;
    wire.send(|out| {
        let settings = [
            ("user", user.as_str()),
            ("database", database),
            ("client_encoding", "UTF8"),
            ("application_name", "fedwasm"),
        ];
        frontend::startup_message(settings, out)
    })?;
    prove(&mut wire, address, passwords)?;
    wire.until_ready()?;
    Ok(wire)
}

/// Proves who asks, in the way that the server wants.
fn prove(wire: &mut Wire, address: &PostgresAddress, passwords: &Passwords) -> Result<(), Error> {
    let failed = |reason: &str| Error::Login { host: address.server(), reason: reason.into() };
    let password = || -> Result<Zeroizing<String>, Error> {
        let found = passwords.of(address)?;
        found.ok_or_else(|| {
            failed("it asks for a password; give it as PGPASSWORD, or in the file of PGPASSFILE")
        })
    };
    // SCRAM proves it without telling it. The older ways tell it, or nearly.
    let told = || match address.is_private() {
        true => password(),
        false => Err(failed(
            "it wants the password in the clear or as MD5; such servers need \
             `sslmode=verify-full`, or `password_encryption = 'scram-sha-256'`",
        )),
    };
    match wire.receive()? {
        Message::AuthenticationOk => return Ok(()),
        Message::AuthenticationCleartextPassword => {
            let password = told()?;
            wire.send(|out| frontend::password_message(password.as_bytes(), out))?;
        }
        Message::AuthenticationMd5Password(body) => {
            let password = told()?;
            let hash = md5_hash(address.user.as_bytes(), password.as_bytes(), body.salt());
            wire.send(|out| frontend::password_message(hash.as_bytes(), out))?;
        }
        Message::AuthenticationSasl(body) => {
            let mut offered = body.mechanisms();
            while let Some(name) = offered.next().map_err(malformed)? {
                if name == SCRAM_SHA_256 {
                    return scram(wire, &password()?);
                }
            }
            return Err(failed("it offers no SCRAM-SHA-256"));
        }
        _ => {
            return Err(failed(
                "it wants a proof that is not known here; these are: none (peer, trust), \
                 scram-sha-256, and md5 or password with `sslmode=verify-full`",
            ));
        }
    }
    match wire.receive()? {
        Message::AuthenticationOk => Ok(()),
        _ => Err(Error::protocol("it did not say whether the password is right")),
    }
}

/// Both sides prove that they know the password.
fn scram(wire: &mut Wire, password: &str) -> Result<(), Error> {
    let mut scram = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
    wire.send(|out| frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), out))?;
    let Message::AuthenticationSaslContinue(body) = wire.receive()? else {
        return Err(Error::protocol("it left out a step of SCRAM"));
    };
    scram.update(body.data()).map_err(malformed)?;
    wire.send(|out| frontend::sasl_response(scram.message(), out))?;
    let Message::AuthenticationSaslFinal(body) = wire.receive()? else {
        return Err(Error::protocol("it left out a step of SCRAM"));
    };
    scram.finish(body.data()).map_err(malformed)?;
    match wire.receive()? {
        Message::AuthenticationOk => Ok(()),
        _ => Err(Error::protocol("it left out a step of SCRAM")),
    }
}
