//! From what was written to parts that have one kind of value each.

mod calls;
mod compare;

use ig_model::kind::Scalar;
use regex::bytes::RegexBuilder;

use super::{
    Fault, MAX_PATTERNS, REGEX_SIZE_LIMIT,
    ast::{Ast, Binary, Kind, Math},
    node::{Bool, Choice, Float, Int, List, Text, Typed, calculate},
};
use crate::column::{Column, Columns, NumberForm, Render, ValueKind};

/// The kind of what is in an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ElementKind {
    Int,
    Float,
    Text,
}

pub(super) struct Checker<'c> {
    columns: &'c Columns,
    /// What `#` is, for each predicate around.
    elements: Vec<ElementKind>,
    patterns: usize,
}

/// Two values that can be compared or take each other's place.
pub(super) enum Pair {
    Bools(Bool, Bool),
    Ints(Int, Int),
    Floats(Float, Float),
    Texts(Text, Text),
}

impl<'c> Checker<'c> {
    pub(super) fn new(columns: &'c Columns) -> Self {
        Self { columns, elements: Vec::new(), patterns: 0 }
    }

    pub(super) fn check(&mut self, ast: &Ast) -> Result<Typed, Fault> {
        let at = ast.at;
        match &ast.kind {
            Kind::Nil => Ok(Typed::Nil),
            Kind::Bool(value) => Ok(Typed::Bool(Bool::Constant(*value))),
            Kind::Int(value) => Ok(Typed::Int(Int::Constant(*value))),
            Kind::Float(value) => Ok(Typed::Float(Float::Constant(*value))),
            Kind::Text(text) => Ok(Typed::Text(Text::Constant(text.as_bytes().into()))),
            Kind::Name(_) | Kind::Member(..) => self.field(ast),
            Kind::Index(parts) => self.element(at, &parts.0, &parts.1),
            Kind::Element => match self.elements.last() {
                Some(ElementKind::Int) => Ok(Typed::Int(Int::Element)),
                Some(ElementKind::Float) => Ok(Typed::Float(Float::Element)),
                Some(ElementKind::Text) => Ok(Typed::Text(Text::Element)),
                None => Err(Fault::new(
                    at,
                    "`#` is an element, and means nothing outside of any(), all(), none(), one(), count()",
                )),
            },
            Kind::Not(operand) => {
                let condition =
                    self.condition(operand, "`not` binds tighter than a comparison: not (a == b)")?;
                Ok(Typed::Bool(Bool::Not(Box::new(condition))))
            }
            Kind::Negate(operand) => match self.check(operand)? {
                Typed::Int(Int::Constant(value)) => Ok(Typed::Int(Int::Constant(-value))),
                Typed::Float(Float::Constant(value)) => Ok(Typed::Float(Float::Constant(-value))),
                Typed::Int(value) => {
                    Ok(Typed::Int(Int::Math(Math::Subtract, Box::new((Int::Constant(0), value)))))
                }
                Typed::Float(value) => {
                    Ok(Typed::Float(Float::Math(Math::Multiply, Box::new((Float::Constant(-1.0), value)))))
                }
                other => Err(Fault::new(at, format!("`-` needs a number, not {}", other.kind()))),
            },
            Kind::Plus(operand) => match self.check(operand)? {
                number @ (Typed::Int(_) | Typed::Float(_)) => Ok(number),
                other => Err(Fault::new(at, format!("`+` needs a number, not {}", other.kind()))),
            },
            Kind::Binary(operator, sides) => self.binary(at, *operator, &sides.0, &sides.1),
            Kind::Joined(is_and, parts) => {
                let conditions =
                    parts.iter().map(|part| self.condition(part, "")).collect::<Result<_, _>>()?;
                Ok(Typed::Bool(if *is_and { Bool::All(conditions) } else { Bool::Any(conditions) }))
            }
            Kind::Choice(parts) => {
                let [condition, first, second] = &**parts;
                let condition = self.condition(condition, "")?;
                let (first, second) = (self.check(first)?, self.check(second)?);
                let pair = self.pair(at, first, second, "choose between")?;
                Ok(choose(Some(condition), pair))
            }
            Kind::Call(name, arguments) => self.call(at, name, arguments),
            Kind::Array(items) => self.array(at, items),
        }
    }

    /// Finds text that lacks its quotes: a name that stands beside text and is no field.
    fn refuse_bare_text(&self, ast: &Ast) -> Result<(), Fault> {
        let Kind::Name(name) = &ast.kind else { return Ok(()) };
        let near = || ig_model::nearest(name, self.columns.iter().map(|column| column.name.as_str()));
        if self.columns.find(name).is_some() || near().is_some() {
            return Ok(());
        }
        let name: String = name.chars().take(100).collect();
        Err(Fault::new(
            ast.at,
            format!("text stands in quotes, as \"{name}\"; there is no field of this name"),
        ))
    }

    /// A part that is true or false.
    fn condition(&mut self, ast: &Ast, hint: &str) -> Result<Bool, Fault> {
        match self.check(ast)? {
            Typed::Bool(condition) => Ok(condition),
            other => {
                let hint = if hint.is_empty() { String::new() } else { format!("; {hint}") };
                Err(Fault::new(ast.at, format!("a condition is needed here, not {}{hint}", other.kind())))
            }
        }
    }

    fn field(&self, ast: &Ast) -> Result<Typed, Fault> {
        let name = path(ast).ok_or_else(|| Fault::new(ast.at, "only fields have members"))?;
        let column = self.columns.find(&name).ok_or_else(|| {
            Fault::new(ast.at, self.columns.unknown(&name.chars().take(100).collect::<String>()))
        })?;
        let boxed = || Box::new(column.clone());
        Ok(match column.value_kind() {
            ValueKind::Bool => Typed::Bool(Bool::Column(boxed())),
            ValueKind::Unsigned | ValueKind::Signed => {
                Typed::Int(match (&column.render, column.inputs.as_slice()) {
                    (Render::Number(NumberForm::Plain(kind)), [range]) => Int::Field(*kind, range.clone()),
                    _ => Int::Column(boxed()),
                })
            }
            ValueKind::Float => Typed::Float(Float::Column(boxed())),
            ValueKind::Text | ValueKind::Bytes => {
                Typed::Text(match (&column.render, column.inputs.as_slice()) {
                    (Render::CString, [range]) => Text::Field(range.clone()),
                    _ => Text::Column(boxed()),
                })
            }
            ValueKind::Array(_) => Typed::List(List::Column(boxed())),
            ValueKind::Members => {
                let below = format!("{}.", column.name);
                let members = self.columns.iter().filter_map(|member| member.name.strip_prefix(&below));
                let members = members.filter(|member| !member.contains('.')).collect::<Vec<_>>();
                return Err(Fault::new(
                    ast.at,
                    format!(
                        "`{}` is a group without a value of its own (it has: {})",
                        column.name,
                        members.join(", ")
                    ),
                ));
            }
        })
    }

    fn element(&mut self, at: usize, list: &Ast, index: &Ast) -> Result<Typed, Fault> {
        let list = match self.check(list)? {
            Typed::List(list) => list,
            other => return Err(Fault::new(at, format!("only arrays have elements, not {}", other.kind()))),
        };
        let index = match self.check(index)? {
            Typed::Int(index) => index,
            other => {
                return Err(Fault::new(
                    index.at,
                    format!("an element has a whole number, not {}", other.kind()),
                ));
            }
        };
        Ok(match list.element_kind() {
            ElementKind::Int => Typed::Int(Int::At(Box::new((list, index)))),
            ElementKind::Float => Typed::Float(Float::At(Box::new((list, index)))),
            ElementKind::Text => Typed::Text(Text::At(Box::new((list, index)))),
        })
    }

    fn array(&mut self, at: usize, items: &[Ast]) -> Result<Typed, Fault> {
        let (mut ints, mut floats, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        for item in items {
            match self.check(item)? {
                Typed::Int(value) if floats.is_empty() => ints.push(value),
                Typed::Int(value) => floats.push(Float::OfInt(Box::new(value))),
                Typed::Float(value) => {
                    floats.extend(ints.drain(..).map(|value| Float::OfInt(Box::new(value))));
                    floats.push(value);
                }
                Typed::Text(text) => texts.push(text),
                other => {
                    let reason = format!("arrays of {} are not supported in a filter", other.kind());
                    return Err(Fault::new(item.at, reason));
                }
            }
        }
        Ok(Typed::List(match (texts.is_empty(), floats.is_empty(), ints.is_empty()) {
            (false, true, true) => List::Texts(texts),
            (true, false, _) => List::Floats(floats),
            (true, true, _) => List::Ints(ints),
            _ => {
                return Err(Fault::new(
                    at,
                    "an array has text and numbers; one kind is supported in a filter",
                ));
            }
        }))
    }

    fn binary(&mut self, at: usize, operator: Binary, left: &Ast, right: &Ast) -> Result<Typed, Fault> {
        let (left_at, right_at) = (left.at, right.at);
        let left = self.check(left)?;
        if matches!(left, Typed::Text(_)) {
            self.refuse_bare_text(right)?;
        }
        let right = self.check(right)?;
        match operator {
            Binary::Compare(comparison) => self.compare(at, comparison, left, right).map(Typed::Bool),
            Binary::In => Self::is_in(at, left, right).map(Typed::Bool),
            Binary::Default => {
                let pair = match (left, right) {
                    (Typed::Nil, right) => return Ok(right),
                    (left, Typed::Nil) => return Ok(left),
                    (left, right) => self.pair(at, left, right, "choose between")?,
                };
                Ok(choose(None, pair))
            }
            Binary::Matches => match (left, right) {
                (Typed::Text(text), Typed::Text(Text::Constant(pattern))) => {
                    self.pattern(right_at, text, &pattern).map(Typed::Bool)
                }
                (Typed::Text(_), Typed::Text(_)) => {
                    Err(Fault::new(right_at, "the pattern of `matches` must be written out"))
                }
                (left, right) => {
                    let reason =
                        format!("`matches` works on text, not on {} and {}", left.kind(), right.kind());
                    Err(Fault::new(at, reason))
                }
            },
            Binary::Part(part) => match (left, right) {
                (Typed::Text(left), Typed::Text(right)) => {
                    Ok(Typed::Bool(Bool::Part(part, Box::new((left, right)))))
                }
                (left, right) => {
                    let reason =
                        format!("text is looked for in text, not {} in {}", right.kind(), left.kind());
                    Err(Fault::new(at, reason))
                }
            },
            Binary::Range => match (left, right) {
                (Typed::Int(left), Typed::Int(right)) => {
                    Ok(Typed::List(List::Range(Box::new((left, right)))))
                }
                (Typed::Int(_), other) => {
                    Err(Fault::new(right_at, format!("a range ends at a whole number, not {}", other.kind())))
                }
                (other, _) => Err(Fault::new(
                    left_at,
                    format!("a range starts at a whole number, not {}", other.kind()),
                )),
            },
            Binary::Math(math) => Self::math(at, math, left, right),
        }
    }

    fn math(at: usize, math: Math, left: Typed, right: Typed) -> Result<Typed, Fault> {
        match (left, right) {
            (Typed::Text(left), Typed::Text(right)) if math == Math::Add => {
                Ok(Typed::Text(Text::Joined(Box::new((left, right)))))
            }
            (Typed::Int(left), Typed::Int(right)) if !matches!(math, Math::Divide | Math::Power) => {
                let known = match (&left, &right) {
                    (Int::Constant(left), Int::Constant(right)) => calculate(math, *left, *right).ok(),
                    _ => None,
                };
                Ok(Typed::Int(known.map_or_else(|| Int::Math(math, Box::new((left, right))), Int::Constant)))
            }
            (left @ (Typed::Int(_) | Typed::Float(_)), right @ (Typed::Int(_) | Typed::Float(_)))
                if math != Math::Remainder =>
            {
                let (Some(left), Some(right)) = (left.into_float(), right.into_float()) else {
                    return Err(Fault::new(at, "numbers are needed here"));
                };
                Ok(Typed::Float(Float::Math(math, Box::new((left, right)))))
            }
            (left, right) => {
                let needs = match math {
                    Math::Add => "`+` adds numbers or joins texts",
                    Math::Remainder => "`%` needs whole numbers",
                    _ => "this operator needs numbers",
                };
                Err(Fault::new(at, format!("{needs}, not {} and {}", left.kind(), right.kind())))
            }
        }
    }

    fn pattern(&mut self, at: usize, text: Text, pattern: &[u8]) -> Result<Bool, Fault> {
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            return Err(Fault::new(at, format!("more than {MAX_PATTERNS} regular expressions")));
        }
        let pattern = RegexBuilder::new(&String::from_utf8_lossy(pattern))
            .size_limit(REGEX_SIZE_LIMIT)
            .dfa_size_limit(REGEX_SIZE_LIMIT)
            .build()
            .map_err(|error| Fault::new(at, format!("bad regular expression: {error}")))?;
        Ok(Bool::Matches(text, Box::new(pattern)))
    }
}

/// The full name of the field that members of names name.
fn path(ast: &Ast) -> Option<String> {
    match &ast.kind {
        Kind::Name(name) => Some(name.clone()),
        Kind::Member(parent, name) => {
            let parent = path(parent)?;
            Some(if parent == "$env" { name.clone() } else { format!("{parent}.{name}") })
        }
        _ => None,
    }
}

/// One of two values: by the condition, or the second where the first is missing.
fn choose(condition: Option<Bool>, pair: Pair) -> Typed {
    fn choice<T>(condition: Option<Bool>, first: T, second: T) -> Choice<T> {
        match condition {
            Some(condition) => Choice::If(condition, first, second),
            None => Choice::Default(first, second),
        }
    }
    match pair {
        Pair::Bools(first, second) => Typed::Bool(Bool::Choice(Box::new(choice(condition, first, second)))),
        Pair::Ints(first, second) => Typed::Int(Int::Choice(Box::new(choice(condition, first, second)))),
        Pair::Floats(first, second) => {
            Typed::Float(Float::Choice(Box::new(choice(condition, first, second))))
        }
        Pair::Texts(first, second) => Typed::Text(Text::Choice(Box::new(choice(condition, first, second)))),
    }
}

impl Typed {
    /// What the value is called in messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "true or false",
            Self::Int(_) => "a whole number",
            Self::Float(_) => "a number with a fraction",
            Self::Text(_) => "text",
            Self::List(_) => "an array",
            Self::Nets(_) => "networks",
        }
    }

    fn into_float(self) -> Option<Float> {
        match self {
            Self::Int(Int::Constant(value)) => Some(Float::Constant(value as f64)),
            Self::Int(value) => Some(Float::OfInt(Box::new(value))),
            Self::Float(value) => Some(value),
            _ => None,
        }
    }
}

impl List {
    pub(super) fn element_kind(&self) -> ElementKind {
        match self {
            Self::Column(column) => element_kind(column),
            Self::Range(_) | Self::Ints(_) => ElementKind::Int,
            Self::Floats(_) => ElementKind::Float,
            Self::Texts(_) => ElementKind::Text,
        }
    }
}

fn element_kind(column: &Column) -> ElementKind {
    match column.value_kind() {
        ValueKind::Array(Scalar::Float(_)) => ElementKind::Float,
        _ => ElementKind::Int,
    }
}
