//! What was written, as a tree.

use crate::comparison::Comparison;

/// A part of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ast {
    /// The byte of the text it is reported at.
    pub(super) at: usize,
    /// Levels below this one and itself.
    pub(super) depth: usize,
    /// Parts in all.
    pub(super) size: usize,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Nil,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    /// A field, or the start of the name of one.
    Name(String),
    /// `left.name` or `left["name"]`.
    Member(Box<Ast>, String),
    Index(Box<(Ast, Ast)>),
    /// `#`, the element that a predicate looks at.
    Element,
    Not(Box<Ast>),
    Negate(Box<Ast>),
    Plus(Box<Ast>),
    Binary(Binary, Box<(Ast, Ast)>),
    /// Conditions joined by `and` (true) or `or` (false).
    Joined(bool, Vec<Ast>),
    /// `a ? b : c`
    Choice(Box<[Ast; 3]>),
    Call(String, Vec<Ast>),
    Array(Vec<Ast>),
}

/// An operator with two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    Compare(Comparison),
    In,
    Matches,
    Part(Part),
    Range,
    Math(Math),
    Default,
}

/// Where one text is in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Anywhere,
    Start,
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Math {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Power,
}

impl Ast {
    pub(super) fn new(at: usize, kind: Kind) -> Self {
        let (mut depth, mut size) = (0, 1);
        let mut add = |parts: &[Self]| {
            for part in parts {
                depth = depth.max(part.depth);
                size += part.size;
            }
        };
        match &kind {
            Kind::Nil
            | Kind::Bool(_)
            | Kind::Int(_)
            | Kind::Float(_)
            | Kind::Text(_)
            | Kind::Name(_)
            | Kind::Element => {}
            Kind::Member(part, _) | Kind::Not(part) | Kind::Negate(part) | Kind::Plus(part) => {
                add(std::slice::from_ref(part.as_ref()));
            }
            Kind::Index(parts) | Kind::Binary(_, parts) => {
                add(std::slice::from_ref(&parts.0));
                add(std::slice::from_ref(&parts.1));
            }
            Kind::Choice(parts) => add(parts.as_slice()),
            Kind::Joined(_, parts) | Kind::Call(_, parts) | Kind::Array(parts) => add(parts),
        }
        Self { at, depth: depth + 1, size, kind }
    }
}

impl Part {
    pub(super) fn accepts(self, text: &[u8], part: &[u8]) -> bool {
        match self {
            Self::Anywhere => part.is_empty() || text.windows(part.len()).any(|window| window == part),
            Self::Start => text.starts_with(part),
            Self::End => text.ends_with(part),
        }
    }
}
