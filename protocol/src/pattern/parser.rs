//! The recursive-descent parser of STIX patterns. `FOLLOWEDBY` binds loosest, then `OR`, then
//! `AND`; each level of recursion stands for a bracket or parenthesis and is counted.

use super::lexer::{Lexer, Token, refuse};
use super::{
    Comparison, Condition, Expected, Observation, Observed, Operator, Path, PatternError, PatternErrorKind,
    Qualifier, Step, Value,
};
use crate::limits;

type Outcome<T> = Result<T, PatternError>;

pub(super) fn parse(text: &str) -> Outcome<Observation<'_>> {
    let mut lexer = Lexer::new(text);
    let (offset, token) = lexer.next()?;
    let mut parser = Parser {
        lexer,
        offset,
        token,
        depth: 0,
    };
    let root = parser.followed_by()?;
    if parser.token == Token::End {
        Ok(root)
    } else {
        parser.expected(Expected::End)
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    /// Where `token` starts.
    offset: usize,
    /// The token to look at next.
    token: Token<'a>,
    /// Brackets and parentheses that are open.
    depth: usize,
}

impl<'a> Parser<'a> {
    fn expected<T>(&self, what: Expected) -> Outcome<T> {
        refuse(self.offset, PatternErrorKind::Expected(what))
    }

    fn advance(&mut self) -> Outcome<Token<'a>> {
        let (offset, token) = self.lexer.next()?;
        self.offset = offset;
        Ok(std::mem::replace(&mut self.token, token))
    }

    /// Takes the next token if it is this keyword or mark.
    fn take(&mut self, wanted: &str) -> Outcome<bool> {
        let found = match &self.token {
            Token::Word(word) => *word == wanted,
            Token::Mark(mark) => *mark == wanted,
            Token::Value(_) | Token::End => false,
        };
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn demand(&mut self, wanted: &str, expected: Expected) -> Outcome<()> {
        if self.take(wanted)? {
            Ok(())
        } else {
            self.expected(expected)
        }
    }

    /// Runs `inner` one level down.
    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        if self.depth == limits::PATTERN_DEPTH {
            return refuse(self.offset, PatternErrorKind::TooDeep);
        }
        self.depth += 1;
        let outcome = inner(self);
        self.depth -= 1;
        outcome
    }

    /// One `part` or several with `word` between them.
    fn joined<T>(
        &mut self,
        word: &str,
        part: impl Fn(&mut Self) -> Outcome<T>,
        join: impl FnOnce(Vec<T>) -> T,
    ) -> Outcome<T> {
        let first = part(self)?;
        if !self.take(word)? {
            return Ok(first);
        }
        let mut parts = vec![first, part(self)?];
        while self.take(word)? {
            parts.push(part(self)?);
        }
        Ok(join(parts))
    }

    fn followed_by(&mut self) -> Outcome<Observation<'a>> {
        self.joined("FOLLOWEDBY", Self::any_observation, |parts| {
            Observed::FollowedBy(parts).into()
        })
    }

    fn any_observation(&mut self) -> Outcome<Observation<'a>> {
        self.joined("OR", Self::all_observations, |parts| Observed::Or(parts).into())
    }

    fn all_observations(&mut self) -> Outcome<Observation<'a>> {
        self.joined("AND", Self::observation, |parts| Observed::And(parts).into())
    }

    fn observation(&mut self) -> Outcome<Observation<'a>> {
        let mut observation = if self.take("[")? {
            let condition = self.nested(Self::any_condition)?;
            self.demand("]", Expected::Bracket)?;
            Observed::One(condition).into()
        } else if self.take("(")? {
            let inner = self.nested(Self::followed_by)?;
            self.demand(")", Expected::Parenthesis)?;
            inner
        } else {
            return self.expected(Expected::Observation);
        };
        while let Some(qualifier) = self.qualifier()? {
            observation.qualifiers.push(qualifier);
        }
        Ok(observation)
    }

    fn qualifier(&mut self) -> Outcome<Option<Qualifier>> {
        if self.take("WITHIN")? {
            let seconds = self.seconds()?;
            self.demand("SECONDS", Expected::Qualifier)?;
            Ok(Some(Qualifier::Within { seconds }))
        } else if self.take("REPEATS")? {
            let times = self.times()?;
            self.demand("TIMES", Expected::Qualifier)?;
            Ok(Some(Qualifier::Repeats { times }))
        } else if self.take("START")? {
            let start = self.instant()?;
            self.demand("STOP", Expected::Qualifier)?;
            let offset = self.offset;
            let stop = self.instant()?;
            if stop <= start {
                return refuse(offset, PatternErrorKind::Span);
            }
            Ok(Some(Qualifier::Between { start, stop }))
        } else {
            Ok(None)
        }
    }

    fn seconds(&mut self) -> Outcome<f64> {
        let offset = self.offset;
        let seconds = match self.advance()? {
            #[expect(
                clippy::cast_precision_loss,
                reason = "a span of 2^53 seconds outlives the pattern"
            )]
            Token::Value(Value::Integer(seconds)) => seconds as f64,
            Token::Value(Value::Float(seconds)) => seconds,
            _ => return refuse(offset, PatternErrorKind::Expected(Expected::Qualifier)),
        };
        if seconds > 0.0 {
            Ok(seconds)
        } else {
            refuse(offset, PatternErrorKind::Number)
        }
    }

    fn times(&mut self) -> Outcome<u64> {
        let offset = self.offset;
        match self.advance()? {
            Token::Value(Value::Integer(times)) => match u64::try_from(times) {
                Ok(times) if times > 0 => Ok(times),
                _ => refuse(offset, PatternErrorKind::Number),
            },
            _ => refuse(offset, PatternErrorKind::Expected(Expected::Qualifier)),
        }
    }

    fn instant(&mut self) -> Outcome<crate::timestamp::Timestamp> {
        let offset = self.offset;
        match self.advance()? {
            Token::Value(Value::Instant(instant)) => Ok(instant),
            _ => refuse(offset, PatternErrorKind::Expected(Expected::Qualifier)),
        }
    }

    fn any_condition(&mut self) -> Outcome<Condition<'a>> {
        self.joined("OR", Self::all_conditions, Condition::Or)
    }

    fn all_conditions(&mut self) -> Outcome<Condition<'a>> {
        self.joined("AND", Self::condition, Condition::And)
    }

    fn condition(&mut self) -> Outcome<Condition<'a>> {
        if self.take("(")? {
            let inner = self.nested(Self::any_condition)?;
            self.demand(")", Expected::Parenthesis)?;
            return Ok(inner);
        }
        let negated = self.take("NOT")?;
        if self.take("EXISTS")? {
            let path = self.path()?;
            return Ok(Condition::Exists { path, negated });
        }
        if negated {
            return self.expected(Expected::Path);
        }
        let path = self.path()?;
        let negated = self.take("NOT")?;
        let operator = self.operator()?;
        let values = if operator == Operator::In {
            self.set()?
        } else {
            vec![self.value(operator)?]
        };
        Ok(Condition::Test(Comparison {
            path,
            negated,
            operator,
            values,
        }))
    }

    fn operator(&mut self) -> Outcome<Operator> {
        let operator = match &self.token {
            Token::Mark(text) | Token::Word(text) => match *text {
                "=" | "==" => Operator::Equal,
                "!=" | "<>" => Operator::NotEqual,
                ">" => Operator::Greater,
                ">=" => Operator::GreaterOrEqual,
                "<" => Operator::Less,
                "<=" => Operator::LessOrEqual,
                "IN" => Operator::In,
                "LIKE" => Operator::Like,
                "MATCHES" => Operator::Matches,
                "ISSUBSET" => Operator::IsSubset,
                "ISSUPERSET" => Operator::IsSuperset,
                _ => return self.expected(Expected::Operator),
            },
            Token::Value(_) | Token::End => return self.expected(Expected::Operator),
        };
        self.advance()?;
        Ok(operator)
    }

    /// `( value, … )`, perhaps empty.
    fn set(&mut self) -> Outcome<Vec<Value<'a>>> {
        let mut values = Vec::new();
        self.demand("(", Expected::Set)?;
        if self.take(")")? {
            return Ok(values);
        }
        loop {
            values.push(self.value(Operator::In)?);
            if self.take(")")? {
                return Ok(values);
            }
            self.demand(",", Expected::Set)?;
        }
    }

    /// A constant of a kind that `operator` takes.
    fn value(&mut self, operator: Operator) -> Outcome<Value<'a>> {
        let offset = self.offset;
        let value = match self.advance()? {
            Token::Value(value) => value,
            Token::Word("true") => Value::Bool(true),
            Token::Word("false") => Value::Bool(false),
            _ => return refuse(offset, PatternErrorKind::Expected(Expected::Value)),
        };
        let taken = match operator {
            Operator::Equal | Operator::NotEqual | Operator::In => true,
            Operator::Greater | Operator::GreaterOrEqual | Operator::Less | Operator::LessOrEqual => {
                !matches!(value, Value::Bool(_))
            }
            Operator::Like | Operator::Matches | Operator::IsSubset | Operator::IsSuperset => {
                matches!(value, Value::Text(_))
            }
        };
        if taken {
            Ok(value)
        } else {
            refuse(offset, PatternErrorKind::Expected(Expected::Value))
        }
    }

    fn path(&mut self) -> Outcome<Path<'a>> {
        let Token::Word(object) = self.token else {
            return self.expected(Expected::Path);
        };
        self.advance()?;
        self.demand(":", Expected::Path)?;
        let mut steps = vec![self.property()?];
        loop {
            if self.take(".")? {
                steps.push(self.property()?);
            } else if self.take("[")? {
                steps.push(self.index()?);
                self.demand("]", Expected::Bracket)?;
            } else {
                return Ok(Path { object, steps });
            }
        }
    }

    fn property(&mut self) -> Outcome<Step<'a>> {
        let offset = self.offset;
        match self.advance()? {
            Token::Word(name) => Ok(Step::Property(name.into())),
            Token::Value(Value::Text(name)) => Ok(Step::Property(name)),
            _ => refuse(offset, PatternErrorKind::Expected(Expected::Step)),
        }
    }

    fn index(&mut self) -> Outcome<Step<'a>> {
        let offset = self.offset;
        match self.advance()? {
            Token::Mark("*") => Ok(Step::Any),
            Token::Value(Value::Integer(index)) => Ok(Step::Index(index)),
            _ => refuse(offset, PatternErrorKind::Expected(Expected::Step)),
        }
    }
}

impl<'a> From<Observed<'a>> for Observation<'a> {
    fn from(what: Observed<'a>) -> Self {
        Self {
            what,
            qualifiers: Vec::new(),
        }
    }
}
