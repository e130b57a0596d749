//! Tests of a frame's bytes, without the words of the language.
//!
//! Constants are folded as the tree is made. Invariant: a [`Node`] that is no [`Node::Constant`] holds none, and no
//! [`Test`] compares two constants; so each test of a tree can come out both ways.

/// Whether a frame is wanted. Parts are looked at from left to right, and only as far as needed.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Node {
    Constant(bool),
    Test(Test),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Not(Box<Self>),
}

/// A comparison of two unsigned numbers.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Test {
    pub(super) left: Value,
    pub(super) relation: Relation,
    pub(super) right: Value,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Relation {
    Equal,
    Greater,
    GreaterOrEqual,
    /// They have a bit in common.
    AnyBit,
}

/// An unsigned number of 32 bits that wraps around.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Value {
    Constant(u32),
    Field(Field),
    /// Bytes of the frame in network order; the frame is refused if it ends before. Offset and index add up without wrapping.
    Load {
        offset: u32,
        index: Option<Box<Self>>,
        size: Size,
    },
    Alu(Alu, Box<Self>, Box<Self>),
    Negate(Box<Self>),
}

/// What the kernel knows about the packet; the number is the offset in `struct __sk_buff`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Field {
    Len = 0,
    /// Whether a VLAN tag is kept beside the frame.
    TagPresent = 20,
    /// That tag.
    Tag = 24,
}

/// Bytes of a load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Size {
    Byte = 1,
    Half = 2,
    Word = 4,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Alu {
    Add,
    Sub,
    Mul,
    /// The frame is refused if the right side is zero.
    Div,
    /// The same.
    Mod,
    And,
    Or,
    Xor,
    /// Zero if the right side is more than 31.
    ShiftLeft,
    /// The same.
    ShiftRight,
}

/// A division by zero, known without any frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct DivisionByZero;

impl Node {
    pub(super) fn test(left: Value, relation: Relation, right: Value) -> Self {
        if let (Value::Constant(left), Value::Constant(right)) = (&left, &right) {
            return Self::Constant(relation.holds(*left, *right));
        }
        Self::Test(Test { left, relation, right })
    }

    /// A constant on the right makes the left needless unless it may pass. A load on the left that would refuse the frame
    /// refuses what is refused anyway.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Constant(false), _) | (_, Self::Constant(false)) => Self::Constant(false),
            (Self::Constant(true), node) | (node, Self::Constant(true)) => node,
            (left, right) => Self::And(Box::new(left), Box::new(right)),
        }
    }

    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Constant(true), _) | (_, Self::Constant(true)) => Self::Constant(true),
            (Self::Constant(false), node) | (node, Self::Constant(false)) => node,
            (left, right) => Self::Or(Box::new(left), Box::new(right)),
        }
    }

    pub(super) fn negate(self) -> Self {
        match self {
            Self::Constant(value) => Self::Constant(!value),
            Self::Not(node) => *node,
            node => Self::Not(Box::new(node)),
        }
    }

    /// Whether any value in the tree is such.
    pub(super) fn any(&self, wanted: &mut impl FnMut(&Value) -> bool) -> bool {
        match self {
            Self::Constant(_) => false,
            Self::Test(test) => test.left.any(wanted) || test.right.any(wanted),
            Self::And(left, right) | Self::Or(left, right) => left.any(wanted) || right.any(wanted),
            Self::Not(node) => node.any(wanted),
        }
    }
}

impl Value {
    /// A load at a fixed place.
    pub(super) fn load(offset: u32, size: Size) -> Self {
        Self::Load { offset, index: None, size }
    }

    /// A load at a place that is counted from `offset`.
    pub(super) fn load_at(offset: u32, index: Self, size: Size) -> Self {
        match index {
            // Beyond 32 bits there is no frame.
            Self::Constant(index) => Self::load(offset.saturating_add(index), size),
            index => Self::Load { offset, index: Some(Box::new(index)), size },
        }
    }

    pub(super) fn alu(operation: Alu, left: Self, right: Self) -> Result<Self, DivisionByZero> {
        match (&left, &right) {
            (_, Self::Constant(0)) if matches!(operation, Alu::Div | Alu::Mod) => Err(DivisionByZero),
            (Self::Constant(left), Self::Constant(right)) => {
                Ok(Self::Constant(operation.apply(*left, *right)))
            }
            _ => Ok(Self::Alu(operation, Box::new(left), Box::new(right))),
        }
    }

    /// All bits of the value that are in the mask.
    pub(super) fn masked(self, mask: u32) -> Self {
        match (self, mask) {
            (Self::Constant(value), mask) => Self::Constant(value & mask),
            (value, u32::MAX) => value,
            (value, mask) => Self::Alu(Alu::And, Box::new(value), Box::new(Self::Constant(mask))),
        }
    }

    pub(super) fn negate(self) -> Self {
        match self {
            Self::Constant(value) => Self::Constant(value.wrapping_neg()),
            value => Self::Negate(Box::new(value)),
        }
    }

    fn any(&self, wanted: &mut impl FnMut(&Self) -> bool) -> bool {
        wanted(self)
            || match self {
                Self::Load { index: Some(value), .. } | Self::Negate(value) => value.any(wanted),
                Self::Alu(_, left, right) => left.any(wanted) || right.any(wanted),
                Self::Constant(_) | Self::Field(_) | Self::Load { index: None, .. } => false,
            }
    }
}

impl Relation {
    fn holds(self, left: u32, right: u32) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
            Self::AnyBit => left & right != 0,
        }
    }
}

impl Alu {
    /// Divisions by zero never get here.
    fn apply(self, left: u32, right: u32) -> u32 {
        match self {
            Self::Add => left.wrapping_add(right),
            Self::Sub => left.wrapping_sub(right),
            Self::Mul => left.wrapping_mul(right),
            Self::Div => left.checked_div(right).unwrap_or_default(),
            Self::Mod => left.checked_rem(right).unwrap_or_default(),
            Self::And => left & right,
            Self::Or => left | right,
            Self::Xor => left ^ right,
            Self::ShiftLeft => left.checked_shl(right).unwrap_or_default(),
            Self::ShiftRight => left.checked_shr(right).unwrap_or_default(),
        }
    }
}
