//! Numbers made of numbers.
//!
//! Operators bind as in libpcap's grammar: `|`, `&`, shifts, `+ -`, `* /`, from loose to tight. `%` and `^` stand outside
//! of that order there: all to the right of them belongs to them.

use super::{FilterError, Parser, Protocol, Span, Symbol, Token, Word};
use crate::ast::{Arith, Compare};
use crate::ir::{Alu, Size};

/// Tighter than any operator between two numbers.
const UNARY: u8 = 6;

impl Parser<'_> {
    /// A number; operators that bind looser than `least` are left.
    pub(super) fn arithmetic(&mut self, least: u8) -> Result<Arith, FilterError> {
        let start = self.span();
        let left = self.nested(Self::number)?;
        self.arithmetic_from(left, least, &start)
    }

    /// The same behind a number that is there already.
    pub(super) fn arithmetic_from(
        &mut self,
        mut left: Arith,
        least: u8,
        start: &Span,
    ) -> Result<Arith, FilterError> {
        while let Some((alu, strength)) = self.peek().and_then(operator) {
            let within = match strength {
                Some(strength) if strength < least => break,
                Some(strength) => strength + 1,
                None => 0,
            };
            self.next += 1;
            let right = self.nested(|parser| parser.arithmetic(within))?;
            left = Arith::Binary(alu, Box::new(left), Box::new(right), self.since(start));
        }
        Ok(left)
    }

    fn number(&mut self) -> Result<Arith, FilterError> {
        self.count()?;
        let start = self.span();
        match self.peek() {
            Some(Token::Number(number) | Token::Word(Word::Number(number))) => {
                let number = *number;
                self.next += 1;
                Ok(Arith::Number(number))
            }
            Some(Token::Word(Word::Len)) => {
                self.next += 1;
                Ok(Arith::Len)
            }
            Some(Token::Symbol(Symbol::Minus)) => {
                self.next += 1;
                Ok(Arith::Negate(Box::new(self.arithmetic(UNARY)?)))
            }
            Some(Token::Symbol(Symbol::Open)) => {
                self.next += 1;
                let inner = self.arithmetic(0)?;
                self.expect(Symbol::Close, "`)` or an operator")?;
                Ok(inner)
            }
            Some(Token::Word(Word::Protocol(protocol))) => {
                let protocol = *protocol;
                self.next += 1;
                self.load(protocol, &start)
            }
            _ => Err(self.unexpected("a number")),
        }
    }

    /// `[offset]` or `[offset:size]` behind a protocol.
    fn load(&mut self, protocol: Protocol, start: &Span) -> Result<Arith, FilterError> {
        self.expect(Symbol::OpenBracket, "`[`")?;
        let index = self.arithmetic(0)?;
        let mut size = Size::Byte;
        if self.skip(&Token::Symbol(Symbol::Colon)) {
            let span = self.span();
            size = match self.take() {
                Some(Token::Number(1)) => Size::Byte,
                Some(Token::Number(2)) => Size::Half,
                Some(Token::Number(4)) => Size::Word,
                _ => return Err(self.fault(&span, "1, 2 or 4 bytes can be loaded at once")),
            };
        }
        self.expect(Symbol::CloseBracket, "`]`")?;
        Ok(Arith::Load(protocol, Box::new(index), size, self.since(start)))
    }

    /// Takes an operator that compares numbers.
    pub(super) fn comparison(&mut self) -> Option<Compare> {
        let Some(Token::Symbol(symbol)) = self.peek() else { return None };
        let compare = match symbol {
            Symbol::Equal => Compare::Equal,
            Symbol::NotEqual => Compare::NotEqual,
            Symbol::Less => Compare::Less,
            Symbol::LessOrEqual => Compare::LessOrEqual,
            Symbol::Greater => Compare::Greater,
            Symbol::GreaterOrEqual => Compare::GreaterOrEqual,
            _ => return None,
        };
        self.next += 1;
        Some(compare)
    }
}

/// What an operator does and how tightly it binds.
fn operator(token: &Token) -> Option<(Alu, Option<u8>)> {
    let Token::Symbol(symbol) = token else { return None };
    Some(match symbol {
        Symbol::Bar => (Alu::Or, Some(1)),
        Symbol::Ampersand => (Alu::And, Some(2)),
        Symbol::ShiftLeft => (Alu::ShiftLeft, Some(3)),
        Symbol::ShiftRight => (Alu::ShiftRight, Some(3)),
        Symbol::Plus => (Alu::Add, Some(4)),
        Symbol::Minus => (Alu::Sub, Some(4)),
        Symbol::Star => (Alu::Mul, Some(5)),
        Symbol::Slash => (Alu::Div, Some(5)),
        Symbol::Percent => (Alu::Mod, None),
        Symbol::Caret => (Alu::Xor, None),
        _ => return None,
    })
}
