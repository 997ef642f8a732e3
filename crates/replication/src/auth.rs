//! Proving to a server who we are: `trust`, `password`, `md5` and `scram-sha-256` with or without channel binding.

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{self, ScramSha256};
use postgres_protocol::message::backend::{AuthenticationSaslBody, Message};
use postgres_protocol::message::frontend;
use tokio_postgres::config::ChannelBinding;

use crate::connect::Connection;
use crate::dsn::Dsn;
use crate::error::{Definite, Error, protocol};

/// Answers the server's questions until it is satisfied.
pub(crate) async fn authenticate(connection: &mut Connection, dsn: &Dsn) -> Result<(), Error> {
    let method = |method| Err(Definite::AuthenticationMethod { method }.into());
    loop {
        let question = connection.receive_in_login(dsn.user()).await?;
        let bound = matches!(question, Message::AuthenticationSasl(_));
        if dsn.channel_binding_required() && !bound {
            return Err(Definite::ChannelBinding.into());
        }
        let mut answer = BytesMut::new();
        let written = match question {
            Message::AuthenticationOk => return Ok(()),
            Message::AuthenticationCleartextPassword => {
                frontend::password_message(password(dsn)?, &mut answer)
            }
            Message::AuthenticationMd5Password(body) => {
                let hash = md5_hash(dsn.user().as_bytes(), password(dsn)?, body.salt());
                frontend::password_message(hash.as_bytes(), &mut answer)
            }
            Message::AuthenticationSasl(body) => return scram(connection, dsn, &body).await,
            Message::AuthenticationGss | Message::AuthenticationSspi => return method("GSSAPI"),
            Message::AuthenticationKerberosV5 => return method("Kerberos"),
            Message::AuthenticationScmCredential => return method("SCM credentials"),
            _ => return Err(protocol("not a question of authentication")),
        };
        written.map_err(|_| protocol("a password with a NUL in it"))?;
        connection.send(&answer).await?;
    }
}

/// The exchange of SCRAM, up to the server's final word that all is well.
async fn scram(connection: &mut Connection, dsn: &Dsn, body: &AuthenticationSaslBody) -> Result<(), Error> {
    let (mut plain, mut plus) = (false, false);
    let mut mechanisms = body.mechanisms();
    while let Some(name) = mechanisms
        .next()
        .map_err(|_| protocol("malformed list of mechanisms"))?
    {
        plain |= name == sasl::SCRAM_SHA_256;
        plus |= name == sasl::SCRAM_SHA_256_PLUS;
    }
    let wanted = dsn.config().get_channel_binding() != ChannelBinding::Disable;
    let binding = connection.channel_binding().filter(|_| wanted);
    let (mechanism, binding) = match binding {
        Some(data) if plus => (
            sasl::SCRAM_SHA_256_PLUS,
            sasl::ChannelBinding::tls_server_end_point(data),
        ),
        _ if dsn.channel_binding_required() => return Err(Definite::ChannelBinding.into()),
        // Says that we could have: a server that could as well then knows that somebody hid it from us.
        Some(_) if plain => (sasl::SCRAM_SHA_256, sasl::ChannelBinding::unrequested()),
        None if plain => (sasl::SCRAM_SHA_256, sasl::ChannelBinding::unsupported()),
        _ => {
            return Err(Definite::AuthenticationMethod {
                method: "unknown SASL",
            }
            .into());
        }
    };

    let mut scram = ScramSha256::new(password(dsn)?, binding);
    let mut answer = BytesMut::new();
    frontend::sasl_initial_response(mechanism, scram.message(), &mut answer)
        .map_err(|_| protocol("a first message of SCRAM that is too long"))?;
    connection.send(&answer).await?;

    let Message::AuthenticationSaslContinue(body) = connection.receive_in_login(dsn.user()).await? else {
        return Err(protocol("SCRAM does not go on"));
    };
    scram
        .update(body.data())
        .map_err(|_| protocol("a malformed challenge of SCRAM"))?;
    answer.clear();
    frontend::sasl_response(scram.message(), &mut answer)
        .map_err(|_| protocol("a message of SCRAM that is too long"))?;
    connection.send(&answer).await?;

    let Message::AuthenticationSaslFinal(body) = connection.receive_in_login(dsn.user()).await? else {
        return Err(protocol("SCRAM does not end"));
    };
    scram.finish(body.data()).map_err(|_| Definite::ServerProof)?;
    match connection.receive_in_login(dsn.user()).await? {
        Message::AuthenticationOk => Ok(()),
        _ => Err(protocol("no verdict after SCRAM")),
    }
}

fn password(dsn: &Dsn) -> Result<&[u8], Definite> {
    dsn.config().get_password().ok_or(Definite::PasswordMissing)
}
