//! Tokens to a tree.
//!
//! `and` and `or` bind alike and group from the left; `not` binds tighter. An identifier without qualifiers takes those
//! of the condition before it: `port 80 or 443`. Recursion and the number of conditions are limited.

use super::ast::{Arith, Direction, Expr, Id, Kind, Primitive, Protocol, Qualifiers, Span};
use super::error::{FilterError, quote};
use super::lexer::{self, Symbol, Token};
use super::words::{WORDS, Word};

mod arithmetic;
mod primitive;

/// Most parentheses, brackets and negations around one another.
const MAX_DEPTH: usize = 64;
/// Most conditions and numbers.
const MAX_PARTS: usize = 1024;

/// Parses an expression; `None` if it is empty.
pub(super) fn parse(text: &str) -> Result<Option<Expr>, FilterError> {
    let tokens = lexer::tokens(text)?;
    if tokens.is_empty() {
        return Ok(None);
    }
    let mut parser = Parser { text, tokens, next: 0, depth: 0, parts: 0 };
    let expr = match parser.expression(None)? {
        Operand::Condition(expr, _) => expr,
        Operand::Number(_, span) => return Err(parser.no_condition(&span)),
    };
    match parser.peek() {
        None => Ok(Some(expr)),
        Some(Token::Symbol(Symbol::Close)) => {
            let span = parser.span();
            Err(parser.fault(&span, "this `)` closes nothing"))
        }
        Some(_) => Err(parser.unexpected("`and` or `or`")),
    }
}

/// What a piece of the text turned out to be. A parenthesis may hold either.
enum Operand {
    /// A condition, and the qualifiers that an identifier behind it takes over.
    Condition(Expr, Option<Qualifiers>),
    Number(Arith, Span),
}

struct Parser<'t> {
    text: &'t str,
    tokens: Vec<(Token, Span)>,
    next: usize,
    depth: usize,
    parts: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.next + ahead).map(|(token, _)| token)
    }

    fn word(&self) -> Option<Word> {
        match self.peek() {
            Some(Token::Word(word)) => Some(*word),
            _ => None,
        }
    }

    /// Place of the next token, or of the end.
    fn span(&self) -> Span {
        let end = self.text.len();
        self.tokens.get(self.next).map_or(end..end, |(_, span)| span.clone())
    }

    /// From a place to the end of the last token taken.
    fn since(&self, start: &Span) -> Span {
        let last = self.next.checked_sub(1).and_then(|last| self.tokens.get(last));
        start.start..last.map_or(start.end, |(_, span)| span.end)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.next += usize::from(token.is_some());
        token
    }

    fn skip(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: Symbol, shown: &str) -> Result<(), FilterError> {
        if self.skip(&Token::Symbol(symbol)) { Ok(()) } else { Err(self.unexpected(shown)) }
    }

    fn fault(&self, span: &Span, problem: impl Into<String>) -> FilterError {
        FilterError::at(self.text, span, problem)
    }

    fn piece(&self, span: &Span) -> String {
        quote(self.text.get(span.clone()).unwrap_or_default())
    }

    fn no_condition(&self, span: &Span) -> FilterError {
        self.fault(span, format!("{} is a number, not a condition", self.piece(span)))
            .hint("say what it is, as in `port 80`, or compare it, as in `len > 80`")
    }

    /// The next token is none that may stand there.
    fn unexpected(&self, wanted: &str) -> FilterError {
        let span = self.span();
        if span.is_empty() {
            return self.fault(&span, format!("the expression ends where {wanted} is expected"));
        }
        let piece = self.text.get(span.clone()).unwrap_or_default();
        match self.peek() {
            Some(Token::Word(Word::Refused(why))) => {
                self.fault(&span, format!("{} is not supported: {why}", quote(piece)))
            }
            Some(Token::Name(_)) => {
                let nearest = ig_model::nearest(piece, WORDS.iter().map(|(word, _)| *word));
                let error = self.fault(&span, format!("{} stands where {wanted} is expected", quote(piece)));
                match nearest {
                    Some(nearest) => error.hint(format!("did you mean `{nearest}`?")),
                    None => error,
                }
            }
            _ => self.fault(&span, format!("{} stands where {wanted} is expected", quote(piece))),
        }
    }

    /// Goes one level down, as far as that is allowed.
    fn nested<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<T, FilterError>,
    ) -> Result<T, FilterError> {
        if self.depth >= MAX_DEPTH {
            let problem = format!("more than {MAX_DEPTH} levels of parentheses and negations");
            return Err(self.fault(&self.span(), problem));
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        result
    }

    fn count(&mut self) -> Result<(), FilterError> {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            let problem = format!("more than {MAX_PARTS} conditions and numbers");
            return Err(self
                .fault(&self.span(), problem)
                .hint("join addresses to networks, or ports to ranges"));
        }
        Ok(())
    }

    /// Conditions joined by `and` and `or`; or a number, which only a parenthesis may hold.
    fn expression(&mut self, before: Option<Qualifiers>) -> Result<Operand, FilterError> {
        let (mut left, mut qualifiers) = match self.operand(before)? {
            Operand::Condition(expr, qualifiers) => (expr, qualifiers),
            number @ Operand::Number(..) => return Ok(number),
        };
        while let Some(word @ (Word::And | Word::Or)) = self.word() {
            self.next += 1;
            let right = match self.operand(qualifiers)? {
                Operand::Condition(expr, of_right) => {
                    qualifiers = of_right;
                    Box::new(expr)
                }
                Operand::Number(_, span) => return Err(self.no_condition(&span)),
            };
            let both = Box::new(left);
            left = if word == Word::And { Expr::And(both, right) } else { Expr::Or(both, right) };
        }
        Ok(Operand::Condition(left, qualifiers))
    }

    /// What may stand beside `and` and `or`. `before` are the qualifiers of what stands to the left.
    fn operand(&mut self, before: Option<Qualifiers>) -> Result<Operand, FilterError> {
        self.count()?;
        let start = self.span();
        let operand = match self.peek() {
            Some(Token::Word(Word::Not)) => {
                self.next += 1;
                return match self.nested(|parser| parser.operand(before))? {
                    Operand::Condition(expr, of_expr) => {
                        Ok(Operand::Condition(Expr::Not(Box::new(expr)), of_expr))
                    }
                    Operand::Number(_, span) => Err(self.no_condition(&span)),
                };
            }
            Some(Token::Symbol(Symbol::Open)) => {
                self.next += 1;
                let inner = self.nested(|parser| parser.expression(before))?;
                self.expect(Symbol::Close, "`)`, `and` or `or`")?;
                match inner {
                    // What is in parentheses changes nothing for what is behind them.
                    Operand::Condition(expr, _) => return Ok(Operand::Condition(expr, before)),
                    Operand::Number(number, _) => {
                        let number = self.arithmetic_from(number, 0, &start)?;
                        Operand::Number(number, self.since(&start))
                    }
                }
            }
            Some(
                Token::Number(_) | Token::Symbol(Symbol::Minus) | Token::Word(Word::Number(_) | Word::Len),
            ) => {
                let number = self.arithmetic(0)?;
                Operand::Number(number, self.since(&start))
            }
            Some(Token::Word(Word::Protocol(_)))
                if self.peek_at(1) == Some(&Token::Symbol(Symbol::OpenBracket)) =>
            {
                let number = self.arithmetic(0)?;
                Operand::Number(number, self.since(&start))
            }
            Some(Token::Dotted(_) | Token::V6(_) | Token::Mac(_)) => {
                let qualifiers = before.ok_or_else(|| {
                    self.fault(&start, format!("{} lacks a qualifier", self.piece(&start)))
                        .hint(format!("try {}", self.qualified(&start)))
                })?;
                return self.id(qualifiers).map(|expr| Operand::Condition(expr, Some(qualifiers)));
            }
            // A misspelt word would be taken for a name; what stands behind it gives it away.
            Some(Token::Name(_)) => {
                let alone = match self.peek_at(1) {
                    None => true,
                    Some(token) => {
                        matches!(token, Token::Word(Word::And | Word::Or) | Token::Symbol(Symbol::Close))
                    }
                };
                return match before.filter(|_| alone) {
                    Some(qualifiers) => {
                        self.id(qualifiers).map(|expr| Operand::Condition(expr, Some(qualifiers)))
                    }
                    None => Err(self.unexpected("a condition")),
                };
            }
            _ => return self.primitive().map(|(expr, of_expr)| Operand::Condition(expr, of_expr)),
        };
        let Operand::Number(number, span) = operand else { return Ok(operand) };
        if let Some(relation) = self.comparison() {
            let right = self.arithmetic(0)?;
            let primitive = Primitive::Relation(Box::new(number), relation, Box::new(right));
            return Ok(Operand::Condition(Expr::Primitive(primitive, self.since(&start)), None));
        }
        match (number, before) {
            (Arith::Number(id), Some(qualifiers)) => {
                let expr = Expr::Primitive(Primitive::Id(qualifiers, Id::Number(id)), span);
                Ok(Operand::Condition(expr, Some(qualifiers)))
            }
            (number, _) => Ok(Operand::Number(number, span)),
        }
    }

    /// How an address would be written right.
    fn qualified(&self, span: &Span) -> String {
        let piece = self.text.get(span.clone()).unwrap_or_default();
        match self.peek() {
            Some(Token::Mac(_)) => quote(&format!("ether host {piece}")),
            Some(Token::Dotted(dotted)) if dotted.bits < 32 => quote(&format!("net {piece}")),
            _ => quote(&format!("host {piece}")),
        }
    }
}

/// What two directions are together; `None` if they are the same.
fn direction_of(first: Direction, both: bool, second: Direction) -> Option<Direction> {
    match (first, second) {
        (Direction::Src, Direction::Dst) | (Direction::Dst, Direction::Src) => {
            Some(if both { Direction::Both } else { Direction::Either })
        }
        _ => None,
    }
}
