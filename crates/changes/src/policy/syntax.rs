//! Expressions as they are written: of policies, as the database prints them, and of the functions they call.
//!
//! What is known is the part of SQL that can be evaluated; anything else ends the reading. Nothing is looked up here, so
//! nothing has a type yet.

use super::Obstacle;
use super::token::{Token, tokens};
use crate::predicate::Comparison;
use crate::value::oid;

/// An expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    Column(String),
    Text(String),
    Number(String),
    Bool(bool),
    Null,
    /// `CURRENT_USER` and `CURRENT_ROLE`.
    CurrentRole,
    Call {
        schema: Option<String>,
        name: String,
        arguments: Vec<Syntax>,
    },
    Coalesce(Vec<Syntax>),
    NullIf(Box<Syntax>, Box<Syntax>),
    Array(Vec<Syntax>),
    Cast(Box<Syntax>, TypeName),
    /// `( SELECT … )` of nothing.
    Select(Box<Syntax>),
    /// `->`, and `->>` if it is `as_text`.
    Member {
        of: Box<Syntax>,
        name: Box<Syntax>,
        as_text: bool,
    },
    Compare(Comparison, Box<Syntax>, Box<Syntax>),
    /// `= ANY (…)`, `<> ALL (…)`.
    Quantified {
        comparison: Comparison,
        left: Box<Syntax>,
        right: Box<Syntax>,
        all: bool,
    },
    Distinct(Box<Syntax>, Box<Syntax>),
    IsNull(Box<Syntax>),
    /// `IS TRUE`, `IS FALSE`, `IS UNKNOWN`.
    IsTruth(Box<Syntax>, Option<bool>),
    Not(Box<Syntax>),
    And(Vec<Syntax>),
    Or(Vec<Syntax>),
}

/// A type as far as it is known by its name alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TypeName {
    /// One of `pg_catalog`, without a modifier.
    Known(u32),
    /// Somebody's own, or one that is not evaluated.
    Other(String),
    Array(Box<TypeName>),
}

/// Deepest nesting that is followed.
const DEPTH_MAX: usize = 48;

/// Reads an expression, the whole of it.
pub(super) fn parse(text: &str) -> Result<Syntax, Obstacle> {
    let tokens = tokens(text)?;
    let mut parser = Parser::new(&tokens);
    let found = parser.expression()?;
    parser.end()?;
    Ok(found)
}

/// Reads the body of a function: one `SELECT` of one expression.
pub(super) fn parse_body(text: &str) -> Result<Syntax, Obstacle> {
    let tokens = tokens(text)?;
    let mut parser = Parser::new(&tokens);
    let found = parser.select()?;
    parser.take_mark(';');
    parser.end()?;
    Ok(found)
}

struct Parser<'a> {
    rest: &'a [Token],
    depth: usize,
}

impl<'a> Parser<'a> {
    fn new(tokens: &'a [Token]) -> Self {
        Self {
            rest: tokens,
            depth: 0,
        }
    }

    /// The loosest operators first, as SQL has them: `OR`, `AND`, `NOT`, `IS`, comparisons, others.
    fn expression(&mut self) -> Result<Syntax, Obstacle> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Obstacle::new("it is nested too deeply"));
        }
        let mut parts = vec![self.conjunction()?];
        while self.take_word("or") {
            parts.push(self.conjunction()?);
        }
        self.depth -= 1;
        Ok(several(parts, Syntax::Or))
    }

    fn conjunction(&mut self) -> Result<Syntax, Obstacle> {
        let mut parts = vec![self.negation()?];
        while self.take_word("and") {
            parts.push(self.negation()?);
        }
        Ok(several(parts, Syntax::And))
    }

    fn negation(&mut self) -> Result<Syntax, Obstacle> {
        let mut negated = false;
        while self.take_word("not") {
            negated = !negated;
        }
        let found = self.test()?;
        Ok(if negated {
            Syntax::Not(Box::new(found))
        } else {
            found
        })
    }

    fn test(&mut self) -> Result<Syntax, Obstacle> {
        let tested = Box::new(self.comparison()?);
        if !self.take_word("is") {
            return Ok(*tested);
        }
        let negated = self.take_word("not");
        let found = if self.take_word("null") {
            Syntax::IsNull(tested)
        } else if self.take_word("true") {
            Syntax::IsTruth(tested, Some(true))
        } else if self.take_word("false") {
            Syntax::IsTruth(tested, Some(false))
        } else if self.take_word("unknown") {
            Syntax::IsTruth(tested, None)
        } else if self.take_word("distinct") && self.take_word("from") {
            Syntax::Distinct(tested, Box::new(self.comparison()?))
        } else {
            return Err(self.stuck());
        };
        // None of these is ever NULL.
        Ok(if negated {
            Syntax::Not(Box::new(found))
        } else {
            found
        })
    }

    fn comparison(&mut self) -> Result<Syntax, Obstacle> {
        let left = Box::new(self.member()?);
        let Some(comparison) = self.take_comparison() else {
            return Ok(*left);
        };
        let all = if self.take_word("any") {
            false
        } else if self.take_word("all") {
            true
        } else {
            return Ok(Syntax::Compare(comparison, left, Box::new(self.member()?)));
        };
        self.expect_mark('(')?;
        let right = Box::new(self.expression()?);
        self.expect_mark(')')?;
        Ok(Syntax::Quantified {
            comparison,
            left,
            right,
            all,
        })
    }

    fn member(&mut self) -> Result<Syntax, Obstacle> {
        let mut found = self.cast()?;
        for _ in 0..DEPTH_MAX {
            let as_text = match self.rest.first() {
                Some(Token::Operator(operator)) if operator == "->" => false,
                Some(Token::Operator(operator)) if operator == "->>" => true,
                _ => return Ok(found),
            };
            self.skip();
            found = Syntax::Member {
                of: Box::new(found),
                name: Box::new(self.cast()?),
                as_text,
            };
        }
        Err(self.stuck())
    }

    fn cast(&mut self) -> Result<Syntax, Obstacle> {
        let mut found = self.primary()?;
        for _ in 0..DEPTH_MAX {
            if !matches!(self.rest.first(), Some(Token::Operator(operator)) if operator == "::") {
                return Ok(found);
            }
            self.skip();
            found = Syntax::Cast(Box::new(found), self.type_name()?);
        }
        Err(self.stuck())
    }

    fn primary(&mut self) -> Result<Syntax, Obstacle> {
        match self.rest {
            [Token::Mark('('), ..] => {
                self.skip();
                let found = if self.is_at("select") {
                    Syntax::Select(Box::new(self.select()?))
                } else {
                    self.expression()?
                };
                self.expect_mark(')')?;
                Ok(found)
            }
            [Token::Text(text), ..] => {
                self.skip();
                Ok(Syntax::Text(text.clone()))
            }
            [Token::Number(number), ..] => {
                self.skip();
                Ok(Syntax::Number(number.clone()))
            }
            [Token::Name(word), ..] => self.word(word),
            [Token::Quoted(_), ..] => self.named(),
            _ => Err(self.stuck()),
        }
    }

    /// What starts with a word: keywords are never the name of anything unless they are quoted.
    fn word(&mut self, word: &str) -> Result<Syntax, Obstacle> {
        let plain = match word {
            "true" => Syntax::Bool(true),
            "false" => Syntax::Bool(false),
            "null" => Syntax::Null,
            "current_user" | "current_role" => Syntax::CurrentRole,
            "coalesce" => {
                self.skip();
                return Ok(Syntax::Coalesce(self.list('(', ')')?));
            }
            "array" => {
                self.skip();
                return Ok(Syntax::Array(self.list('[', ']')?));
            }
            "nullif" => {
                self.skip();
                let [value, null]: [Syntax; 2] = self
                    .list('(', ')')?
                    .try_into()
                    .map_err(|_| Obstacle::new("NULLIF takes two values"))?;
                return Ok(Syntax::NullIf(Box::new(value), Box::new(null)));
            }
            "not" | "select" | "case" | "cast" | "exists" | "row" | "interval" | "any" | "all" | "some"
            | "and" | "or" | "is" | "from" | "as" | "in" | "like" | "ilike" | "between" | "current_date"
            | "current_time" | "current_timestamp" | "localtime" | "localtimestamp" | "session_user"
            | "user" | "collate" | "timestamp" | "time" => return Err(self.stuck()),
            _ => return self.named(),
        };
        self.skip();
        Ok(plain)
    }

    /// A column, or a call of a function.
    fn named(&mut self) -> Result<Syntax, Obstacle> {
        let first = self.take_name()?;
        let (schema, name) = if self.take_mark('.') {
            (Some(first), self.take_name()?)
        } else {
            (None, first)
        };
        if matches!(self.rest.first(), Some(Token::Mark('('))) {
            let arguments = self.list('(', ')')?;
            return Ok(Syntax::Call {
                schema,
                name,
                arguments,
            });
        }
        match schema {
            None => Ok(Syntax::Column(name)),
            Some(table) => Err(Obstacle::new(&format!("it reads {table}.{name}"))),
        }
    }

    /// `SELECT … AS …`
    fn select(&mut self) -> Result<Syntax, Obstacle> {
        if !self.take_word("select") {
            return Err(self.stuck());
        }
        let found = self.expression()?;
        if self.take_word("as") {
            self.take_name()?;
        }
        Ok(found)
    }

    fn list(&mut self, opening: char, closing: char) -> Result<Vec<Syntax>, Obstacle> {
        self.expect_mark(opening)?;
        let mut found = Vec::new();
        if self.take_mark(closing) {
            return Ok(found);
        }
        loop {
            found.push(self.expression()?);
            if self.take_mark(closing) {
                return Ok(found);
            }
            self.expect_mark(',')?;
        }
    }

    fn type_name(&mut self) -> Result<TypeName, Obstacle> {
        let mut name = match self.rest {
            [Token::Name(first), Token::Mark('.'), Token::Name(name), ..] if first == "pg_catalog" => {
                self.rest = self.rest.get(3..).unwrap_or_default();
                match known(name) {
                    Some(oid) => TypeName::Known(oid),
                    None => TypeName::Other(name.clone()),
                }
            }
            [Token::Name(_) | Token::Quoted(_), Token::Mark('.'), ..] => {
                let schema = self.take_name()?;
                self.skip();
                TypeName::Other(format!("{schema}.{}", self.take_name()?))
            }
            [Token::Quoted(name), ..] => {
                self.skip();
                TypeName::Other(name.clone())
            }
            [Token::Name(_), ..] => self.type_words()?,
            _ => return Err(self.stuck()),
        };
        if matches!(self.rest.first(), Some(Token::Mark('('))) {
            return Err(Obstacle::new("it casts to a type with a modifier"));
        }
        if self.take_mark('[') {
            self.expect_mark(']')?;
            name = TypeName::Array(Box::new(name));
        }
        Ok(name)
    }

    /// A type whose name may be several words.
    fn type_words(&mut self) -> Result<TypeName, Obstacle> {
        let mut name = self.take_name()?;
        let more: &[&str] = match name.as_str() {
            "character" | "bit" if self.is_at("varying") => &["varying"],
            "double" if self.is_at("precision") => &["precision"],
            "timestamp" | "time" if self.is_at("with") => &["with", "time", "zone"],
            "timestamp" | "time" if self.is_at("without") => &["without", "time", "zone"],
            _ => &[],
        };
        for word in more {
            if !self.take_word(word) {
                return Err(self.stuck());
            }
            name.push(' ');
            name.push_str(word);
        }
        Ok(match known(&name) {
            Some(oid) => TypeName::Known(oid),
            None => TypeName::Other(name),
        })
    }

    fn take_comparison(&mut self) -> Option<Comparison> {
        let Some(Token::Operator(operator)) = self.rest.first() else {
            return None;
        };
        let found = match operator.as_str() {
            "=" => Comparison::Eq,
            "<>" | "!=" => Comparison::Neq,
            "<" => Comparison::Lt,
            "<=" => Comparison::Lte,
            ">" => Comparison::Gt,
            ">=" => Comparison::Gte,
            _ => return None,
        };
        self.skip();
        Some(found)
    }

    fn take_name(&mut self) -> Result<String, Obstacle> {
        match self.rest.first() {
            Some(Token::Name(name) | Token::Quoted(name)) => {
                self.skip();
                Ok(name.clone())
            }
            _ => Err(self.stuck()),
        }
    }

    fn is_at(&self, word: &str) -> bool {
        matches!(self.rest.first(), Some(Token::Name(found)) if found == word)
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_at(word);
        if found {
            self.skip();
        }
        found
    }

    fn take_mark(&mut self, mark: char) -> bool {
        let found = self.rest.first() == Some(&Token::Mark(mark));
        if found {
            self.skip();
        }
        found
    }

    fn expect_mark(&mut self, mark: char) -> Result<(), Obstacle> {
        if self.take_mark(mark) {
            Ok(())
        } else {
            Err(self.stuck())
        }
    }

    fn end(&self) -> Result<(), Obstacle> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.stuck())
        }
    }

    fn skip(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    /// There is no way to go on.
    fn stuck(&self) -> Obstacle {
        match self.rest.first() {
            None => Obstacle::new("it ends early"),
            Some(Token::Name(word) | Token::Operator(word) | Token::Number(word)) => Obstacle::unknown(word),
            Some(Token::Quoted(name)) => Obstacle::unknown(&format!("\"{name}\"")),
            Some(Token::Text(text)) => Obstacle::unknown(&format!("'{text}'")),
            Some(Token::Mark(mark)) => Obstacle::unknown(&mark.to_string()),
        }
    }
}

/// One part as it is.
fn several(mut parts: Vec<Syntax>, joined: fn(Vec<Syntax>) -> Syntax) -> Syntax {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            joined(parts)
        }
        None => joined(parts),
    }
}

/// The type of `pg_catalog` that SQL knows by this name. `character` is not `bpchar`: it is one character long.
fn known(name: &str) -> Option<u32> {
    Some(match name {
        "boolean" | "bool" => oid::BOOL,
        "smallint" | "int2" => oid::INT2,
        "integer" | "int" | "int4" => oid::INT4,
        "bigint" | "int8" => oid::INT8,
        "numeric" | "decimal" => oid::NUMERIC,
        "real" | "float4" => oid::FLOAT4,
        "double precision" | "float8" => oid::FLOAT8,
        "text" => oid::TEXT,
        "character varying" | "varchar" => oid::VARCHAR,
        "bpchar" => oid::BPCHAR,
        "name" => oid::NAME,
        "uuid" => oid::UUID,
        "date" => oid::DATE,
        "timestamp without time zone" | "timestamp" => oid::TIMESTAMP,
        "timestamp with time zone" | "timestamptz" => oid::TIMESTAMPTZ,
        "json" => oid::JSON,
        "jsonb" => oid::JSONB,
        _ => return None,
    })
}
