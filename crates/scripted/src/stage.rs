//! The files that are played, and who comes back to which of them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use transcript::{ExpectedAnswer, Value};

use crate::blanks::Blanks;
use crate::likeness;
use crate::message::Message;
use crate::player::{Player, Rest, Role};
use crate::script::{Life, Script, ScriptError};

/// Most clients of one connection of a file that are awaited again; the one awaited longest is forgotten first.
pub const AWAITED_MAX: usize = 1000;

/// How files are played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Whether a client is disconnected that says what the file does not have.
    pub is_strict: bool,
    /// Whether the pauses of the recording are kept.
    pub has_pauses: bool,
}

/// All files, shared by all connections.
#[derive(Debug)]
pub struct Stage {
    scripts: Vec<Arc<Script>>,
    rules: Rules,
    /// By script and connection of it: where those go on who come back.
    awaited: HashMap<(usize, usize), VecDeque<Rest>>,
}

/// What a client asks for in its handshake; without a word it gets what its joins are like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// `?script=`: the name of a file.
    pub script: Option<String>,
    /// `?as=`: the name of a connection in it.
    pub connection: Option<String>,
}

/// A request that is not what the server serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The content type, if there is a body.
    pub content_type: Option<String>,
    /// The body.
    pub body: String,
}

impl Stage {
    /// # Errors
    ///
    /// Two files of one name, or none at all.
    pub fn new(scripts: Vec<Script>, rules: Rules) -> Result<Self, ScriptError> {
        for (at, script) in scripts.iter().enumerate() {
            let twin = scripts
                .iter()
                .take(at)
                .find(|other| other.name() == script.name());
            if let Some(twin) = twin {
                return Err(ScriptError::Twins {
                    one: twin.file().to_owned(),
                    other: script.file().to_owned(),
                });
            }
        }
        Ok(Self {
            scripts: scripts.into_iter().map(Arc::new).collect(),
            rules,
            awaited: HashMap::new(),
        })
    }

    /// The files, in their order.
    pub fn scripts(&self) -> impl Iterator<Item = &Script> {
        self.scripts.iter().map(Arc::as_ref)
    }

    pub(crate) fn rules(&self) -> Rules {
        self.rules
    }

    /// The answer to an HTTP request that broadcasts: that of the first file that has this request, else 202.
    pub fn answer(&self, method: &str, target: &str, body: &[u8]) -> Answer {
        let body = Value::parse_bytes(body).unwrap_or(Value::Null);
        let found = self
            .scripts
            .iter()
            .find_map(|script| script.answer(method, target, &body));
        found.map_or_else(Answer::accepted, Answer::of_file)
    }

    /// The files a client can mean. An error names those there are.
    pub(crate) fn eligible(&self, choice: &Choice) -> Result<Vec<usize>, Answer> {
        let Some(wanted) = &choice.script else {
            return Ok((0..self.scripts.len()).collect());
        };
        let found = self.scripts.iter().position(|script| script.name() == wanted);
        found.map(|script| vec![script]).ok_or_else(|| {
            let names: Vec<&str> = self.scripts().map(Script::name).collect();
            Answer::explaining(&format!(
                "no script is named {wanted}; there are {}",
                names.join(", ")
            ))
        })
    }

    /// The connection of a file that a client is before it has joined anything; none if it could be several.
    pub(crate) fn actor(&self, script: usize, choice: &Choice) -> Result<Option<usize>, Answer> {
        let actors = self.scripts.get(script).map_or(&[][..], |script| script.actors());
        let Some(wanted) = &choice.connection else {
            return Ok((actors.len() == 1).then_some(0));
        };
        let found = actors.iter().position(|actor| actor.name == *wanted);
        found.map(Some).ok_or_else(|| {
            let names: Vec<&str> = actors.iter().map(|actor| actor.name.as_str()).collect();
            Answer::explaining(&format!(
                "no connection is named {wanted}; there are {}",
                names.join(", ")
            ))
        })
    }

    /// What the handshake of the next client is answered with, if it is refused; then it counts as having been there.
    pub(crate) fn refusal(&mut self, script: usize, actor: usize) -> Option<Answer> {
        let role = self.next_role(script, actor);
        let found = self.scripts.get(script)?.clone();
        let refused = found.life(actor, role.life)?.refused.as_ref()?;
        let rest = self.take(script, actor);
        let role = Role {
            life: role.life + 1,
            ..role
        };
        if found.life(actor, role.life).is_some() {
            self.await_again(Rest {
                role,
                blanks: rest.blanks,
            });
        }
        Some(Answer::of_file(refused))
    }

    /// A player of this connection for the next client.
    pub(crate) fn player(&mut self, script: usize, actor: usize) -> Option<Player> {
        let found = self.scripts.get(script)?.clone();
        let rest = self.take(script, actor);
        Some(Player::new(found, rest, self.rules.has_pauses))
    }

    /// The connection of these files that has this join and is not among the roles that are taken: the first that joins as
    /// the client does, or else the first that joins the topic.
    pub(crate) fn joining(
        &self,
        said: &Message,
        eligible: &[usize],
        choice: &Choice,
        taken: &[Role],
    ) -> Option<(usize, usize)> {
        let mut first = None;
        for script in eligible {
            let actors = self.scripts.get(*script)?.actors();
            for (actor, found) in actors.iter().enumerate() {
                let role = self.next_role(*script, actor);
                let is_wanted = choice.connection.as_ref().is_none_or(|name| *name == found.name);
                let is_taken = taken
                    .iter()
                    .any(|taken| (taken.script, taken.actor) == (*script, actor));
                let mut joins = found.lives.get(role.life).into_iter().flat_map(Life::joins);
                let join = joins.find(|join| join.topic == said.topic);
                let Some(join) = join.filter(|_| is_wanted && !is_taken) else {
                    continue;
                };
                if likeness::compare(join, said, &mut Blanks::new()).is_ok() {
                    return Some((*script, actor));
                }
                first = first.or(Some((*script, actor)));
            }
        }
        first
    }

    /// Remembers where somebody goes on who comes back.
    pub(crate) fn await_again(&mut self, rest: Rest) {
        let queue = self
            .awaited
            .entry((rest.role.script, rest.role.actor))
            .or_default();
        if queue.len() == AWAITED_MAX {
            queue.pop_front();
        }
        queue.push_back(rest);
    }

    fn next_role(&self, script: usize, actor: usize) -> Role {
        let queue = self.awaited.get(&(script, actor));
        queue
            .and_then(|queue| queue.front())
            .map_or(Role::beginning(script, actor), |rest| rest.role)
    }

    fn take(&mut self, script: usize, actor: usize) -> Rest {
        let queue = self.awaited.get_mut(&(script, actor));
        queue.and_then(VecDeque::pop_front).unwrap_or_else(|| Rest {
            role: Role::beginning(script, actor),
            blanks: Blanks::new(),
        })
    }
}

impl Role {
    fn beginning(script: usize, actor: usize) -> Self {
        let life = 0;
        Self { script, actor, life }
    }
}

impl Answer {
    fn accepted() -> Self {
        Self {
            status: 202,
            content_type: None,
            body: String::new(),
        }
    }

    fn explaining(text: &str) -> Self {
        let error = Value::Object(vec![("error".to_owned(), text.into())]);
        Self {
            status: 404,
            content_type: Some(JSON.to_owned()),
            body: error.to_string(),
        }
    }

    fn of_file(expected: &ExpectedAnswer) -> Self {
        let body = match &expected.body {
            None => String::new(),
            Some(body) => match Blanks::new().fill(body) {
                Value::String(text) => text,
                json => json.to_string(),
            },
        };
        let by_body = || match &expected.body {
            Some(Value::String(_)) => "text/plain; charset=utf-8",
            _ => JSON,
        };
        let content_type = (!body.is_empty()).then(|| {
            let given = expected.content_type.as_deref();
            given.unwrap_or_else(by_body).to_owned()
        });
        Self {
            status: expected.status,
            content_type,
            body,
        }
    }
}

const JSON: &str = "application/json; charset=utf-8";
