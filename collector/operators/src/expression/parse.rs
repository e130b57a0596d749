//! From tokens to a tree, with the precedence of expr-lang.

use super::{
    Fault, MAX_DEPTH, MAX_PARTS, MAX_TWICE,
    ast::{Ast, Binary, Kind, Math, Part},
    lexer::{Placed, Token},
};
use crate::comparison::Comparison;

/// Reads a whole expression.
pub(super) fn parse(tokens: Vec<Placed>) -> Result<Ast, Fault> {
    let mut parser = Parser { tokens, position: 0, nesting: 0 };
    let ast = parser.expression(0)?;
    match parser.peek() {
        Token::End => Ok(ast),
        _ => Err(parser.unexpected()),
    }
}

struct Parser {
    tokens: Vec<Placed>,
    position: usize,
    nesting: usize,
}

/// Operators whose opposite has `not` in front.
const NEGATABLE: [&str; 5] = ["in", "matches", "contains", "startsWith", "endsWith"];

/// Binds looser than every operator with two sides but the pipe.
const ANY: u16 = 0;
const AND: u16 = 15;
const OR: u16 = 10;
const NOT: u16 = 50;
const SIGN: u16 = 90;
const POWER: u16 = 100;
const DEFAULT: u16 = 500;

fn binary(symbol: &str) -> Option<(Binary, u16)> {
    let compare = |comparison| Some((Binary::Compare(comparison), 20));
    let math = |math, precedence| Some((Binary::Math(math), precedence));
    match symbol {
        "==" => compare(Comparison::Equal),
        "!=" => compare(Comparison::NotEqual),
        "<" => compare(Comparison::Less),
        "<=" => compare(Comparison::LessOrEqual),
        ">" => compare(Comparison::Greater),
        ">=" => compare(Comparison::GreaterOrEqual),
        "in" => Some((Binary::In, 20)),
        "matches" => Some((Binary::Matches, 20)),
        "contains" => Some((Binary::Part(Part::Anywhere), 20)),
        "startsWith" => Some((Binary::Part(Part::Start), 20)),
        "endsWith" => Some((Binary::Part(Part::End), 20)),
        ".." => Some((Binary::Range, 25)),
        "+" => math(Math::Add, 30),
        "-" => math(Math::Subtract, 30),
        "*" => math(Math::Multiply, 60),
        "/" => math(Math::Divide, 60),
        "%" => math(Math::Remainder, 60),
        "**" => math(Math::Power, POWER),
        "??" => Some((Binary::Default, DEFAULT)),
        _ => None,
    }
}

impl Parser {
    fn at(&self) -> usize {
        self.tokens.get(self.position).or(self.tokens.last()).map_or(0, |(at, _)| *at)
    }

    fn peek(&self) -> &Token {
        self.peek_behind(0)
    }

    fn peek_behind(&self, count: usize) -> &Token {
        self.tokens.get(self.position + count).map_or(&Token::End, |(_, token)| token)
    }

    fn symbol(&self) -> Option<&'static str> {
        match self.peek() {
            Token::Symbol(symbol) => Some(symbol),
            _ => None,
        }
    }

    fn take(&mut self, symbol: &str) -> bool {
        let is_there = self.symbol() == Some(symbol);
        self.position += usize::from(is_there);
        is_there
    }

    fn expect(&mut self, symbol: &str, why: &str) -> Result<(), Fault> {
        if self.take(symbol) {
            return Ok(());
        }
        Err(Fault::new(self.at(), format!("{}: expected `{symbol}` {why}", self.found())))
    }

    fn found(&self) -> String {
        match self.peek() {
            Token::End => "the expression ends here".to_owned(),
            Token::Symbol(symbol) => format!("unexpected `{symbol}`"),
            Token::Name(name) => format!("unexpected `{}`", name.chars().take(40).collect::<String>()),
            Token::Int(_) | Token::Float(_) => "unexpected number".to_owned(),
            Token::Text(_) => "unexpected text".to_owned(),
        }
    }

    fn unexpected(&self) -> Fault {
        let hint = match self.symbol() {
            Some("=") => "; equality is `==`",
            Some("let") => "; variables are not supported in a filter",
            Some("if" | "else") => "; write `condition ? this : that`",
            Some("::") => "; functions have no prefix",
            Some("{") => "; maps are not supported in a filter",
            Some(";") => "; a filter is one expression",
            Some(":") => "; `:` belongs to `condition ? this : that`",
            _ => "",
        };
        Fault::new(self.at(), format!("{}{hint}", self.found()))
    }

    fn node(at: usize, kind: Kind) -> Result<Ast, Fault> {
        let ast = Ast::new(at, kind);
        if ast.depth > MAX_DEPTH {
            return Err(too_deep(at));
        }
        if ast.size > MAX_PARTS {
            return Err(Fault::new(at, format!("it has more than {MAX_PARTS} parts")));
        }
        Ok(ast)
    }

    fn expression(&mut self, least: u16) -> Result<Ast, Fault> {
        self.nesting += 1;
        if self.nesting > MAX_DEPTH {
            return Err(too_deep(self.at()));
        }
        let mut left = self.primary()?;
        let mut behind_default = false;
        while let Some(symbol) = self.symbol() {
            let at = self.at();
            let negated = symbol == "not";
            let symbol = match self.peek_behind(1) {
                Token::Symbol(next) if negated && NEGATABLE.contains(next) => *next,
                _ if negated => return Err(self.unexpected()),
                _ => symbol,
            };
            let joins = match symbol {
                "and" => Some((true, AND)),
                "or" => Some((false, OR)),
                _ => None,
            };
            let operator = binary(symbol);
            let precedence = match (symbol, joins, operator) {
                ("|", ..) => ANY,
                (_, Some((_, precedence)), _) | (_, _, Some((_, precedence))) => precedence,
                _ => break,
            };
            if precedence < least {
                break;
            }
            if behind_default && symbol != "??" {
                return Err(Fault::new(at, format!("`??` and `{symbol}` side by side need parentheses")));
            }
            behind_default = symbol == "??";
            self.position += 1 + usize::from(negated);
            left = if let Some((is_and, precedence)) = joins {
                let right = self.expression(precedence + 1)?;
                join(at, is_and, left, right)?
            } else if let Some((operator, precedence)) = operator {
                let ast = match operator {
                    Binary::Compare(
                        Comparison::Less
                        | Comparison::LessOrEqual
                        | Comparison::Greater
                        | Comparison::GreaterOrEqual,
                    ) => self.comparisons(at, left, operator, precedence)?,
                    Binary::Math(Math::Power) => {
                        let right = self.expression(precedence)?;
                        Self::node(at, Kind::Binary(operator, Box::new((left, right))))?
                    }
                    _ => {
                        let right = self.expression(precedence + 1)?;
                        Self::node(at, Kind::Binary(operator, Box::new((left, right))))?
                    }
                };
                if negated { Self::node(at, Kind::Not(Box::new(ast)))? } else { ast }
            } else {
                let Token::Name(name) = self.peek().clone() else {
                    return Err(Fault::new(self.at(), "behind `|` stands a function"));
                };
                let at = self.at();
                self.position += 1;
                let call = self.call(at, name, vec![left])?;
                self.postfix(call)?
            };
        }
        if least == ANY {
            left = self.choice(left)?;
        }
        self.nesting -= 1;
        Ok(left)
    }

    /// `a < b < c` is `a < b and b < c`.
    fn comparisons(
        &mut self,
        mut at: usize,
        mut left: Ast,
        mut operator: Binary,
        precedence: u16,
    ) -> Result<Ast, Fault> {
        let mut all: Option<Ast> = None;
        loop {
            let right = self.expression(precedence + 1)?;
            let next = self.symbol().filter(|symbol| matches!(*symbol, "<" | "<=" | ">" | ">="));
            let next = next.and_then(binary);
            let middle = next.map(|_| twice(&right)).transpose()?;
            let one = Self::node(at, Kind::Binary(operator, Box::new((left, right))))?;
            let joined = match all {
                Some(before) => join(at, true, before, one)?,
                None => one,
            };
            let (Some((next, _)), Some(middle)) = (next, middle) else { return Ok(joined) };
            at = self.at();
            self.position += 1;
            (all, left, operator) = (Some(joined), middle, next);
        }
    }

    fn choice(&mut self, mut condition: Ast) -> Result<Ast, Fault> {
        while self.symbol() == Some("?") {
            let at = self.at();
            self.position += 1;
            let (first, second) = if self.take(":") {
                (twice(&condition)?, self.expression(ANY)?)
            } else {
                let first = self.expression(ANY)?;
                self.expect(":", "of `condition ? this : that`")?;
                (first, self.expression(ANY)?)
            };
            condition = Self::node(at, Kind::Choice(Box::new([condition, first, second])))?;
        }
        Ok(condition)
    }

    fn primary(&mut self) -> Result<Ast, Fault> {
        let at = self.at();
        let ast = match self.symbol() {
            Some("not" | "!") => {
                self.position += 1;
                let operand = self.expression(NOT)?;
                Self::node(at, Kind::Not(Box::new(operand)))?
            }
            Some("-") => {
                self.position += 1;
                let operand = self.expression(SIGN)?;
                Self::node(at, Kind::Negate(Box::new(operand)))?
            }
            Some("+") => {
                self.position += 1;
                let operand = self.expression(SIGN)?;
                Self::node(at, Kind::Plus(Box::new(operand)))?
            }
            Some("(") => {
                self.position += 1;
                let inner = self.expression(ANY)?;
                self.expect(")", "for the parenthesis that was opened")?;
                inner
            }
            Some("[") => {
                self.position += 1;
                let items = self.items("]", "at the end of the array", Vec::new())?;
                Self::node(at, Kind::Array(items))?
            }
            Some("#") => {
                self.position += 1;
                Ast::new(at, Kind::Element)
            }
            Some(_) => return Err(self.unexpected()),
            None => {
                let token = self.peek().clone();
                if token == Token::End {
                    return Err(Fault::new(at, "the expression ends where a value is expected"));
                }
                self.position += 1;
                match token {
                    Token::Name(name) if self.symbol() == Some("(") => self.call(at, name, Vec::new())?,
                    Token::Name(name) => Ast::new(
                        at,
                        match name.as_str() {
                            "true" => Kind::Bool(true),
                            "false" => Kind::Bool(false),
                            "nil" => Kind::Nil,
                            _ => Kind::Name(name),
                        },
                    ),
                    Token::Int(value) => Ast::new(at, Kind::Int(value)),
                    Token::Float(value) => Ast::new(at, Kind::Float(value)),
                    Token::Text(text) => Ast::new(at, Kind::Text(text)),
                    Token::Symbol(_) | Token::End => return Err(self.unexpected()),
                }
            }
        };
        self.postfix(ast)
    }

    /// Members and indices behind a value.
    fn postfix(&mut self, mut ast: Ast) -> Result<Ast, Fault> {
        loop {
            let optional = self.symbol() == Some("?.");
            if optional || self.symbol() == Some(".") {
                self.position += 1;
                let name = match self.peek() {
                    Token::Name(name) => name.clone(),
                    Token::Symbol(word) if word.starts_with(|first: char| first.is_alphabetic()) => {
                        (*word).to_owned()
                    }
                    Token::Symbol("[") if optional => continue,
                    _ => return Err(Fault::new(self.at(), format!("{}: expected a name", self.found()))),
                };
                let at = ast.at;
                self.position += 1;
                if self.symbol() == Some("(") {
                    return Err(Fault::new(
                        self.at(),
                        format!("values have no methods; write {name}(…) if it is a function"),
                    ));
                }
                ast = Self::node(at, Kind::Member(Box::new(ast), name))?;
            } else if self.take("[") {
                let slice = |at| Fault::new(at, "slices `[a:b]` are not supported in a filter");
                if self.symbol() == Some(":") {
                    return Err(slice(self.at()));
                }
                let index = self.expression(ANY)?;
                if self.symbol() == Some(":") {
                    return Err(slice(self.at()));
                }
                self.expect("]", "for the bracket that was opened")?;
                let at = ast.at;
                ast = match index.kind {
                    Kind::Text(name) => Self::node(at, Kind::Member(Box::new(ast), name))?,
                    _ => Self::node(at, Kind::Index(Box::new((ast, index))))?,
                };
            } else {
                return Ok(ast);
            }
        }
    }

    /// The arguments of a function and the call itself; `given` is what a pipe brought.
    fn call(&mut self, at: usize, name: String, given: Vec<Ast>) -> Result<Ast, Fault> {
        self.expect("(", "behind the function's name")?;
        let arguments = self.items(")", "at the end of the arguments", given)?;
        Self::node(at, Kind::Call(name, arguments))
    }

    fn items(&mut self, end: &str, why: &str, mut items: Vec<Ast>) -> Result<Vec<Ast>, Fault> {
        let mut is_first = true;
        while !self.take(end) {
            if !is_first {
                self.expect(",", &format!("or `{end}` {why}"))?;
                if self.take(end) {
                    break;
                }
            }
            is_first = false;
            // A predicate may stand in braces.
            let braced = end == ")" && self.take("{");
            items.push(self.expression(ANY)?);
            if braced {
                self.expect("}", "at the end of the predicate")?;
            }
        }
        Ok(items)
    }
}

fn too_deep(at: usize) -> Fault {
    Fault::new(at, format!("it nests deeper than {MAX_DEPTH} levels"))
}

/// A second copy of what an operator uses twice; it is small, so that copies of copies stay few.
fn twice(ast: &Ast) -> Result<Ast, Fault> {
    if ast.size > MAX_TWICE {
        return Err(Fault::new(ast.at, "this is too long to be used twice; name both conditions"));
    }
    Ok(ast.clone())
}

/// Joins conditions without a level for each of them.
fn join(at: usize, is_and: bool, left: Ast, right: Ast) -> Result<Ast, Fault> {
    let parts = match left {
        Ast { kind: Kind::Joined(same, mut parts), .. } if same == is_and => {
            parts.push(right);
            parts
        }
        left => vec![left, right],
    };
    Parser::node(at, Kind::Joined(is_and, parts))
}
