//! What the policies on `realtime.messages` let somebody do on a topic.
//!
//! The policies are asked by trying: to read is to select rows that were inserted for the purpose, to write is to
//! insert some. The asker's role and settings are in force meanwhile, and everything is rolled back.
//!
//! Many askers share a transaction and a round trip. Invariants:
//!
//! * An asker is asked in a subtransaction that is undone whatever comes of it, so that no setting and no row of one is
//!   there for the next, and the failure of one is no other's. Where the transaction fails, each is asked alone.
//! * No text of an asker is ever part of a statement: all of them travel as one parameter.
//! * Reading and writing are asked about in different transactions, as policies may look at the rows that are there.
//! * A connection goes back to the pool only after the rollback.

use replication::ServerError;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::error::Error;
use crate::pool::Pool;

/// Somebody, and what they want to do on a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// The topic without its prefix `realtime:`.
    pub topic: &'a str,
    /// The role of their token.
    pub role: &'a str,
    /// All claims of their token, as JSON.
    pub claims: &'a str,
    /// The subject of their token.
    pub sub: Option<&'a str>,
    /// The headers of their handshake, as a JSON object.
    pub headers: &'a str,
    /// What they want to do.
    pub questions: Questions,
}

/// What may be asked about. Nothing by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Questions {
    /// Receiving broadcasts.
    pub broadcast_read: bool,
    /// Sending broadcasts.
    pub broadcast_write: bool,
    /// Seeing who is present.
    pub presence_read: bool,
    /// Being present.
    pub presence_write: bool,
}

/// The answers; `None` is *not asked*.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// To [`Questions::broadcast_read`].
    pub broadcast_read: Option<bool>,
    /// To [`Questions::broadcast_write`].
    pub broadcast_write: Option<bool>,
    /// To [`Questions::presence_read`].
    pub presence_read: Option<bool>,
    /// To [`Questions::presence_write`].
    pub presence_write: Option<bool>,
}

/// Why there is no answer for an asker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A policy raised, there is no such role, it may not use the table, or we may not switch to it.
    #[error("the database said: {0}")]
    Policy(ServerError),
    /// `realtime.messages` has no partition for today.
    #[error("realtime.messages has no partition for today")]
    MissingPartition,
    /// A time limit or an operator ended the statement.
    #[error("the database said: {0}")]
    Cancelled(ServerError),
    /// The policies took more time than an asker has beside others. One who is the only one of a call has all that a
    /// statement has.
    #[error("the policies take too long to be asked beside others")]
    Slow,
    /// The role `none`, which is the connection's own, or a zero byte, which the database does not take.
    #[error("the database cannot be asked with this {0}")]
    Unusable(&'static str),
}

impl Pool {
    /// Asks the policies; the answers are in the order of the askers.
    ///
    /// The more askers a call has, the less each of them costs. Measured in one run, with PostgreSQL 15 on the same two
    /// cores and policies that look at topic and claims in an SQL function: 240 askers per call are answered at 12 times
    /// the rate of one per call when reading (10,400 against 870 a second over one connection) and at 9 times when
    /// writing (14,100 against 1,500); four calls at once reach 16,400 and 22,700.
    ///
    /// # Errors
    ///
    /// If nobody could be asked: there is no connection, or it broke. What concerns an asker is among the answers.
    pub async fn authorize(&self, asked: &[Asked<'_>]) -> Result<Vec<Result<Grants, Refusal>>, Error> {
        let mut answers: Vec<_> = asked
            .iter()
            .map(|asked| asked.usable().map(|()| Grants::default()))
            .collect();
        let patience = if asked.len() == 1 {
            Patience::Long
        } else {
            Patience::Short
        };
        for direction in [Direction::Read, Direction::Write] {
            let mut askers: Vec<Asker<'_>> = asked
                .iter()
                .enumerate()
                .zip(&answers)
                .filter(|(_, answer)| answer.is_ok())
                .filter_map(|((at, asked), _)| direction.asker(at, *asked))
                .collect();
            // The server plans again whenever the role is another.
            askers.sort_by_key(|asker| asker.asked.role);
            let mut waiting = &askers[..];
            while !waiting.is_empty() {
                let (together, _) = waiting.split_at(share(waiting));
                let verdicts = self.ask(direction, together, patience).await?;
                if verdicts.is_empty() || verdicts.len() > together.len() {
                    return Err(Error::Answer(format!("{} answers", verdicts.len())));
                }
                waiting = waiting.get(verdicts.len()..).unwrap_or_default();
                for (asker, verdict) in together.iter().zip(verdicts) {
                    if let Some(answer) = answers.get_mut(asker.at) {
                        direction.note(answer, verdict);
                    }
                }
            }
        }
        Ok(answers)
    }

    /// Asks a few together, or each alone if that fails. Answers at least the first; those after an asker whose time
    /// is up have to be asked again.
    async fn ask(
        &self,
        direction: Direction,
        askers: &[Asker<'_>],
        patience: Patience,
    ) -> Result<Vec<Verdict>, Error> {
        match self.try_to_ask(direction, askers, patience).await {
            Ok(verdicts) => Ok(verdicts),
            Err(Failure::Connection(error)) => Err(error),
            // Somebody's doing, and nobody knows whose.
            Err(Failure::Transaction(Refusal::Policy(_))) if askers.len() > 1 => {
                let mut verdicts = Vec::with_capacity(askers.len());
                for asker in askers {
                    let alone = std::slice::from_ref(asker);
                    match self.try_to_ask(direction, alone, patience).await {
                        Ok(verdict) => verdicts.extend(verdict),
                        Err(Failure::Transaction(refusal)) => verdicts.push(Err(refusal)),
                        Err(Failure::Connection(error)) => return Err(error),
                    }
                }
                Ok(verdicts)
            }
            Err(Failure::Transaction(refusal)) => Ok(vec![Err(refusal); askers.len()]),
        }
    }

    async fn try_to_ask(
        &self,
        direction: Direction,
        askers: &[Asker<'_>],
        patience: Patience,
    ) -> Result<Vec<Verdict>, Failure> {
        let texts: Vec<Option<&str>> = askers.iter().flat_map(Asker::texts).collect();
        let lent = self.lend().await.map_err(Failure::Connection)?;
        let rows = transaction(lent.client(), direction, &texts, patience).await?;
        lent.give_back();
        let mut verdicts = Vec::with_capacity(askers.len());
        for row in rows.map_err(Failure::Transaction)? {
            match read_row(&row) {
                Row::Answered(verdict) => verdicts.push(verdict),
                // Who is not the first may have been held up by those before.
                Row::OutOfTime(_) if !verdicts.is_empty() => break,
                Row::OutOfTime(server) => verdicts.push(Err(match patience {
                    Patience::Long => Refusal::Cancelled(server),
                    Patience::Short => Refusal::Slow,
                })),
                Row::Unknown => return Err(Failure::Connection(Error::Answer(row))),
            }
        }
        Ok(verdicts)
    }
}

/// Whose rows are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    /// Those we insert, by the asker.
    Read,
    /// Those the asker inserts.
    Write,
}

/// How long a transaction may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// As long as any statement of the pool.
    Long,
    /// So long that the others of a call are not kept waiting.
    Short,
}

/// Somebody with a question in one direction.
#[derive(Clone, Copy, Debug)]
struct Asker<'a> {
    /// Their place among the answers.
    at: usize,
    asked: Asked<'a>,
    /// The first letters of the extensions in question.
    extensions: &'static str,
}

/// What somebody may do in one direction, with broadcasts and with presence.
type Verdict = Result<[Option<bool>; 2], Refusal>;

/// Why a transaction has no answer.
#[derive(Debug)]
enum Failure {
    /// The server refused it.
    Transaction(Refusal),
    /// It is not known what became of it.
    Connection(Error),
}

/// One row of the answer.
enum Row {
    Answered(Verdict),
    OutOfTime(ServerError),
    Unknown,
}

/// Askers of one transaction.
const ASKERS_MAX: usize = 40;
/// Bytes of the texts of the askers of one transaction, if there are several.
const TEXT_BYTES_MAX: usize = 1024 * 1024;

impl Asked<'_> {
    fn usable(&self) -> Result<(), Refusal> {
        if self.role == "none" {
            return Err(Refusal::Unusable("role"));
        }
        let texts = [
            ("topic", Some(self.topic)),
            ("role", Some(self.role)),
            ("claims", Some(self.claims)),
            ("subject", self.sub),
            ("headers", Some(self.headers)),
        ];
        match texts
            .iter()
            .find(|(_, text)| text.is_some_and(|text| text.contains('\0')))
        {
            Some((name, _)) => Err(Refusal::Unusable(name)),
            None => Ok(()),
        }
    }
}

impl Direction {
    fn asker(self, at: usize, asked: Asked<'_>) -> Option<Asker<'_>> {
        let questions = &asked.questions;
        let extensions = match self {
            Direction::Read => (questions.broadcast_read, questions.presence_read),
            Direction::Write => (questions.broadcast_write, questions.presence_write),
        };
        let extensions = match extensions {
            (true, true) => "bp",
            (true, false) => "b",
            (false, true) => "p",
            (false, false) => return None,
        };
        Some(Asker {
            at,
            asked,
            extensions,
        })
    }

    fn note(self, answer: &mut Result<Grants, Refusal>, verdict: Verdict) {
        let Ok(grants) = answer else { return };
        match (self, verdict) {
            (_, Err(refusal)) => *answer = Err(refusal),
            (Direction::Read, Ok([broadcast, presence])) => {
                grants.broadcast_read = broadcast;
                grants.presence_read = presence;
            }
            (Direction::Write, Ok([broadcast, presence])) => {
                grants.broadcast_write = broadcast;
                grants.presence_write = presence;
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Direction::Read => "read",
            Direction::Write => "write",
        }
    }
}

impl<'a> Asker<'a> {
    fn texts(&self) -> [Option<&'a str>; TEXTS] {
        let Asked {
            topic,
            role,
            claims,
            sub,
            headers,
            ..
        } = self.asked;
        let extensions = Some(self.extensions);
        [
            Some(topic),
            Some(role),
            Some(claims),
            sub,
            Some(headers),
            extensions,
        ]
    }

    fn text_bytes(&self) -> usize {
        self.texts().iter().flatten().map(|text| text.len()).sum()
    }
}

/// How many of those who wait go into one transaction. At least one.
fn share(waiting: &[Asker<'_>]) -> usize {
    let mut bytes = 0;
    let fit = waiting.iter().take(ASKERS_MAX).take_while(|asker| {
        bytes += asker.text_bytes();
        bytes <= TEXT_BYTES_MAX
    });
    fit.count().clamp(1, waiting.len().max(1))
}

/// The rows of the answer, once everything is rolled back. All in one round trip.
async fn transaction(
    client: &Client,
    direction: Direction,
    texts: &[Option<&str>],
    patience: Patience,
) -> Result<Result<Vec<String>, Refusal>, Failure> {
    let begin = match patience {
        Patience::Long => "begin",
        Patience::Short => "begin; set local statement_timeout = '1s'",
    };
    let parameters: [(&(dyn ToSql + Sync), Type); 2] =
        [(&texts, Type::TEXT_ARRAY), (&direction.name(), Type::TEXT)];
    // They are sent in this order, which is that of their first poll.
    let (begun, handed_over, asked, rolled_back) = tokio::join!(
        biased;
        client.batch_execute(begin),
        client.query_typed(HAND_OVER, &parameters),
        client.simple_query(ASK),
        client.batch_execute("rollback"),
    );
    rolled_back.map_err(broken)?;
    let asked = match (begun, handed_over, asked) {
        (Err(error), _, _) | (_, Err(error), _) | (_, _, Err(error)) => {
            return Refusal::of_driver(error).map(Err);
        }
        (Ok(()), Ok(_), Ok(asked)) => asked,
    };
    let rows = asked.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
        _ => None,
    });
    Ok(Ok(rows.collect()))
}

impl Refusal {
    /// Of a statement outside of the subtransactions of the askers.
    fn of_driver(error: tokio_postgres::Error) -> Result<Refusal, Failure> {
        let is_about_messages = error
            .as_db_error()
            .is_some_and(|error| error.table() == Some("messages"));
        match Error::from(error) {
            Error::Statement(server) => Ok(Refusal::of_server(server, is_about_messages)),
            error => Err(Failure::Connection(error)),
        }
    }

    fn of_server(server: ServerError, is_about_messages: bool) -> Refusal {
        match &*server.sqlstate {
            CHECK_VIOLATION if is_about_messages => Refusal::MissingPartition,
            QUERY_CANCELED => Refusal::Cancelled(server),
            _ => Refusal::Policy(server),
        }
    }
}

fn broken(error: tokio_postgres::Error) -> Failure {
    Failure::Connection(error.into())
}

/// Reads what [`ASK`] writes.
fn read_row(row: &str) -> Row {
    let answer = |letter| match letter {
        't' => Some(Some(true)),
        'f' => Some(Some(false)),
        '-' => Some(None),
        _ => None,
    };
    let server = |text: &str| {
        let (sqlstate, message) = text.split_at_checked(5)?;
        Some(ServerError {
            sqlstate: sqlstate.to_owned(),
            message: message.to_owned(),
        })
    };
    let read = || match row.split_at_checked(1)? {
        ("a", letters) => {
            let mut letters = letters.chars();
            let verdict = [answer(letters.next()?)?, answer(letters.next()?)?];
            Some(Row::Answered(Ok(verdict)))
        }
        ("m", text) => Some(Row::Answered(Err(Refusal::of_server(server(text)?, true)))),
        ("e", text) => Some(Row::Answered(Err(Refusal::of_server(server(text)?, false)))),
        ("c", text) => Some(Row::OutOfTime(server(text)?)),
        _ => None,
    };
    read().unwrap_or(Row::Unknown)
}

const CHECK_VIOLATION: &str = "23514";
const QUERY_CANCELED: &str = "57014";

/// Texts of an asker, in the order that [`ASK`] expects.
const TEXTS: usize = 6;

/// Where [`ASK`] finds the texts; a block of code has no parameters.
const HAND_OVER: &str = "
select set_config('roost.asked', $1::text[]::text, true), set_config('roost.direction', $2, true)";

/// A row per asker: `a` and two answers, or `e`, `m` (about the table of messages) or `c` (cancelled, the last row)
/// with the server's code and words.
///
/// The handler of an asker's block always runs: leaving it by an error is what undoes it.
const ASK: &str = "
do $roost$
declare
  asked constant text[] := current_setting('roost.asked')::text[];
  is_reading constant boolean := current_setting('roost.direction') = 'read';
  askers constant integer := cardinality(asked) / 6;
  moment constant timestamp := clock_timestamp() at time zone 'UTC';
  answers text[] := '{}';
  ids uuid[] := array_fill(null::uuid, array[2 * askers]);
  seen uuid[];
  topic text;
  extensions text;
  broadcast text;
  presence text;
  is_finished boolean;
  code text;
  words text;
  about text;
begin
  perform set_config('roost.asked', '', true);
  if is_reading then
    for at in 0 .. askers - 1 loop
      extensions := asked[6 * at + 6];
      if extensions like '%b%' then
        ids[2 * at + 1] := gen_random_uuid();
      end if;
      if extensions like '%p%' then
        ids[2 * at + 2] := gen_random_uuid();
      end if;
    end loop;
    insert into realtime.messages (id, topic, extension, inserted_at, updated_at)
    select ids[2 * n + e], asked[6 * n + 1], case e when 1 then 'broadcast' else 'presence' end, moment, moment
    from generate_series(0, askers - 1) n, generate_series(1, 2) e
    where ids[2 * n + e] is not null;
  end if;

  for at in 0 .. askers - 1 loop
    topic := asked[6 * at + 1];
    extensions := asked[6 * at + 6];
    broadcast := '-';
    presence := '-';
    is_finished := false;
    begin
      perform set_config('role', asked[6 * at + 2], true);
      perform set_config('realtime.topic', topic, true);
      perform set_config('request.jwt.claims', asked[6 * at + 3], true);
      perform set_config('request.jwt.claim.sub', asked[6 * at + 4], true);
      perform set_config('request.jwt.claim.role', asked[6 * at + 2], true);
      perform set_config('request.headers', asked[6 * at + 5], true);
      if is_reading then
        seen := array(
          select m.id from realtime.messages m where m.id in (ids[2 * at + 1], ids[2 * at + 2])
        );
        if extensions like '%b%' then
          broadcast := case when ids[2 * at + 1] = any (seen) then 't' else 'f' end;
        end if;
        if extensions like '%p%' then
          presence := case when ids[2 * at + 2] = any (seen) then 't' else 'f' end;
        end if;
      else
        if extensions like '%b%' then
          begin
            insert into realtime.messages (topic, extension, inserted_at, updated_at)
            values (topic, 'broadcast', moment, moment);
            broadcast := 't';
          exception when insufficient_privilege then
            broadcast := 'f';
          end;
        end if;
        if extensions like '%p%' then
          begin
            insert into realtime.messages (topic, extension, inserted_at, updated_at)
            values (topic, 'presence', moment, moment);
            presence := 't';
          exception when insufficient_privilege then
            presence := 'f';
          end;
        end if;
      end if;
      is_finished := true;
      raise exception 'undone';
    exception when others or assert_failure or query_canceled then
      if is_finished then
        answers := answers || ('a' || broadcast || presence);
      else
        get stacked diagnostics code = returned_sqlstate, words = message_text, about = table_name;
        if code = '57014' then
          answers := answers || ('c' || code || words);
          exit;
        end if;
        answers := answers || (case about when 'messages' then 'm' else 'e' end || code || words);
      end if;
    end;
  end loop;
  perform set_config('roost.answers', answers::text, true);
end $roost$;
select unnest(current_setting('roost.answers')::text[])";
