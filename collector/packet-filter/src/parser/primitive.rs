//! Conditions without parts, and the qualifiers before their identifiers.

use super::{
    Direction, Expr, FilterError, Id, Kind, Operand, Parser, Primitive, Protocol, Qualifiers, Symbol, Token,
    Word, direction_of,
};
use crate::ast::{ByteTest, Dotted};

const IDENTIFIER: &str = "an address, a port or a protocol";

impl Parser<'_> {
    /// A condition that begins with a word.
    pub(super) fn primitive(&mut self) -> Result<(Expr, Option<Qualifiers>), FilterError> {
        let start = self.span();
        let primitive = match self.word() {
            Some(Word::Protocol(protocol)) => {
                self.next += 1;
                match self.word() {
                    Some(Word::Direction(_) | Word::Kind(_)) => return self.identified(Some(protocol)),
                    Some(Word::Broadcast | Word::Multicast) => self.cast(Some(protocol)),
                    Some(Word::Refused(_)) => return Err(self.unexpected("a condition")),
                    _ => Primitive::Protocol(protocol),
                }
            }
            Some(Word::Direction(_) | Word::Kind(_)) => return self.identified(None),
            Some(Word::Broadcast | Word::Multicast) => self.cast(None),
            Some(Word::Less) => {
                self.next += 1;
                Primitive::Less(self.plain_number()?)
            }
            Some(Word::Greater) => {
                self.next += 1;
                Primitive::Greater(self.plain_number()?)
            }
            Some(Word::Byte) => {
                self.next += 1;
                let offset = self.plain_number()?;
                let operation = self.byte_test()?;
                Primitive::Byte { offset, operation, value: self.plain_number()? }
            }
            Some(Word::Vlan) => {
                self.next += 1;
                Primitive::Vlan(self.tag()?)
            }
            _ => return Err(self.unexpected("a condition")),
        };
        Ok((Expr::Primitive(primitive, self.since(&start)), None))
    }

    fn cast(&mut self, protocol: Option<Protocol>) -> Primitive {
        let broadcast = self.word() == Some(Word::Broadcast);
        self.next += 1;
        if broadcast { Primitive::Broadcast(protocol) } else { Primitive::Multicast(protocol) }
    }

    fn plain_number(&mut self) -> Result<u32, FilterError> {
        match self.peek() {
            Some(Token::Number(number) | Token::Word(Word::Number(number))) => {
                let number = *number;
                self.next += 1;
                Ok(number)
            }
            _ => Err(self.unexpected("a number")),
        }
    }

    fn byte_test(&mut self) -> Result<ByteTest, FilterError> {
        let test = match self.peek() {
            Some(Token::Symbol(Symbol::Equal)) => ByteTest::Equal,
            Some(Token::Symbol(Symbol::Less)) => ByteTest::Less,
            Some(Token::Symbol(Symbol::Greater)) => ByteTest::Greater,
            Some(Token::Symbol(Symbol::Ampersand)) => ByteTest::And,
            Some(Token::Symbol(Symbol::Bar)) => ByteTest::Or,
            _ => return Err(self.unexpected("one of `=`, `<`, `>`, `&`, `|`")),
        };
        self.next += 1;
        Ok(test)
    }

    /// The number behind `vlan`, with or without parentheses.
    fn tag(&mut self) -> Result<Option<u32>, FilterError> {
        let enclosed = self.peek() == Some(&Token::Symbol(Symbol::Open))
            && matches!(self.peek_at(1), Some(Token::Number(_)))
            && self.peek_at(2) == Some(&Token::Symbol(Symbol::Close));
        self.next += usize::from(enclosed);
        let tag = matches!(self.peek(), Some(Token::Number(_))).then(|| self.plain_number()).transpose();
        self.next += usize::from(enclosed);
        tag
    }

    /// Qualifiers and what they are about.
    fn identified(&mut self, protocol: Option<Protocol>) -> Result<(Expr, Option<Qualifiers>), FilterError> {
        let mut qualifiers = Qualifiers { protocol, ..Qualifiers::default() };
        if let Some(Word::Direction(first)) = self.word() {
            self.next += 1;
            qualifiers.direction = Some(self.second_direction(first)?);
        }
        if let Some(Word::Kind(kind)) = self.word() {
            self.next += 1;
            qualifiers.kind = Some(kind);
        }
        let expr = self.id(qualifiers)?;
        Ok((expr, Some(qualifiers)))
    }

    /// `or dst` behind `src`.
    fn second_direction(&mut self, first: Direction) -> Result<Direction, FilterError> {
        let (Some(word @ (Word::And | Word::Or)), Some(Token::Word(Word::Direction(second)))) =
            (self.word(), self.peek_at(1))
        else {
            return Ok(first);
        };
        let joined = direction_of(first, word == Word::And, *second);
        self.next += 2;
        joined.ok_or_else(|| {
            self.next -= 1;
            self.unexpected("the other one of `src` and `dst`")
        })
    }

    /// An identifier, or several in parentheses.
    pub(super) fn id(&mut self, qualifiers: Qualifiers) -> Result<Expr, FilterError> {
        self.count()?;
        let start = self.span();
        let id = match self.peek() {
            Some(Token::Word(Word::Not)) => {
                self.next += 1;
                let inner = self.nested(|parser| parser.id(qualifiers))?;
                return Ok(Expr::Not(Box::new(inner)));
            }
            Some(Token::Symbol(Symbol::Open)) => {
                self.next += 1;
                let inner = match self.nested(|parser| parser.expression(Some(qualifiers)))? {
                    Operand::Condition(expr, _) => expr,
                    Operand::Number(_, span) => return Err(self.no_condition(&span)),
                };
                self.expect(Symbol::Close, "`)`, `and` or `or`")?;
                return Ok(inner);
            }
            Some(Token::Number(number)) => Id::Number(*number),
            Some(Token::Dotted(dotted)) => {
                let dotted = *dotted;
                self.next += 1;
                let id = self.network(dotted)?;
                return Ok(Expr::Primitive(Primitive::Id(qualifiers, id), self.since(&start)));
            }
            Some(Token::V6(address)) => {
                let address = *address;
                self.next += 1;
                let slash = self.skip(&Token::Symbol(Symbol::Slash));
                let id = if slash { Id::V6Prefix(address, self.plain_number()?) } else { Id::V6(address) };
                return Ok(Expr::Primitive(Primitive::Id(qualifiers, id), self.since(&start)));
            }
            Some(Token::Mac(address)) => Id::Mac(*address),
            Some(Token::Name(name)) => Id::Name(name.clone()),
            // libpcap wants a backslash before it, but there is only one thing it can mean.
            Some(Token::Word(Word::Protocol(protocol))) if qualifiers.kind == Some(Kind::Proto) => {
                Id::Name(crate::words::name(*protocol).to_owned())
            }
            _ => return Err(self.unexpected(IDENTIFIER)),
        };
        self.next += 1;
        Ok(Expr::Primitive(Primitive::Id(qualifiers, id), start))
    }

    /// What may stand behind an IPv4 address.
    fn network(&mut self, address: Dotted) -> Result<Id, FilterError> {
        if self.skip(&Token::Symbol(Symbol::Slash)) {
            return Ok(Id::V4Prefix(address, self.plain_number()?));
        }
        if self.skip(&Token::Word(Word::Mask)) {
            let Some(Token::Dotted(mask)) = self.peek() else {
                return Err(self.unexpected("a mask such as 255.255.0.0"));
            };
            let mask = *mask;
            self.next += 1;
            return Ok(Id::V4Mask(address, mask));
        }
        Ok(Id::V4(address))
    }
}
