//! What each condition asks of an Ethernet frame.

use super::ast::{Arith, ByteTest, Compare, Direction, Expr, Id, Kind, Primitive, Qualifiers, Span};
use super::error::{FilterError, quote};
use super::ir::{Alu, Field, Node, Relation, Size, Value};
use super::words;

mod address;
mod protocol;

/// Offset of the type of an Ethernet frame.
const LINK_TYPE: u32 = 12;
/// Offset of what an Ethernet frame carries.
const PAYLOAD: u32 = 14;
/// Types of the tags that `vlan` knows.
const TAG_TYPES: [u32; 3] = [0x8100, 0x88a8, 0x9100];

/// The tests that an expression stands for.
pub(super) fn tests(text: &str, expr: &Expr) -> Result<Node, FilterError> {
    let mut plain = Meaning::new(text, None);
    let tests = plain.condition(expr)?;
    if !plain.tagged {
        return Ok(tests);
    }
    // The kernel may keep the outermost tag beside the frame. Then the first `vlan` is about that one, and nothing moves.
    let mut aside = Meaning::new(text, Some(Field::Tag));
    let tests_aside = aside.condition(expr)?;
    if tests == tests_aside {
        return Ok(tests);
    }
    let present =
        || Node::test(Value::Field(Field::TagPresent), Relation::Equal, Value::Constant(0)).negate();
    Ok(present().and(tests_aside).or(present().negate().and(tests)))
}

/// Where things are, at the place of the expression that is looked at.
struct Meaning<'t> {
    text: &'t str,
    link_type: u32,
    payload: u32,
    /// A tag that is not in the frame and that no `vlan` has asked for yet.
    aside: Option<Field>,
    /// Whether there was a `vlan`.
    tagged: bool,
}

impl<'t> Meaning<'t> {
    fn new(text: &'t str, aside: Option<Field>) -> Self {
        Self { text, link_type: LINK_TYPE, payload: PAYLOAD, aside, tagged: false }
    }

    fn fault(&self, span: &Span, problem: impl Into<String>) -> FilterError {
        FilterError::at(self.text, span, problem)
    }

    fn condition(&mut self, expr: &Expr) -> Result<Node, FilterError> {
        Ok(match expr {
            Expr::And(left, right) => {
                let left = self.condition(left)?;
                left.and(self.condition(right)?)
            }
            Expr::Or(left, right) => {
                let left = self.condition(left)?;
                left.or(self.condition(right)?)
            }
            Expr::Not(inner) => self.condition(inner)?.negate(),
            Expr::Primitive(primitive, span) => self.primitive(primitive, span)?,
        })
    }

    fn primitive(&mut self, primitive: &Primitive, span: &Span) -> Result<Node, FilterError> {
        Ok(match primitive {
            Primitive::Protocol(protocol) => self.protocol(*protocol, span)?,
            Primitive::Id(qualifiers, id) => self.identified(*qualifiers, id, span)?,
            Primitive::Relation(left, relation, right) => self.relation(left, *relation, right)?,
            Primitive::Broadcast(protocol) => self.broadcast(*protocol, span)?,
            Primitive::Multicast(protocol) => self.multicast(*protocol, span)?,
            Primitive::Byte { offset, operation, value } => {
                let byte = Value::load(*offset, Size::Byte);
                let value = Value::Constant(*value);
                match operation {
                    ByteTest::Equal => Node::test(byte, Relation::Equal, value),
                    ByteTest::Less => Node::test(byte, Relation::GreaterOrEqual, value).negate(),
                    ByteTest::Greater => Node::test(byte, Relation::Greater, value),
                    ByteTest::And => Node::test(byte, Relation::AnyBit, value),
                    ByteTest::Or => {
                        let any = Value::Alu(Alu::Or, Box::new(byte), Box::new(value));
                        Node::test(any, Relation::Equal, Value::Constant(0)).negate()
                    }
                }
            }
            Primitive::Less(len) => {
                let len = Value::Constant(*len);
                Node::test(Value::Field(Field::Len), Relation::Greater, len).negate()
            }
            Primitive::Greater(len) => {
                let len = Value::Constant(*len);
                Node::test(Value::Field(Field::Len), Relation::GreaterOrEqual, len)
            }
            Primitive::Vlan(tag) => self.vlan(*tag, span)?,
        })
    }

    /// All that is said from here on is said of what the tag is around.
    fn vlan(&mut self, tag: Option<u32>, span: &Span) -> Result<Node, FilterError> {
        self.tagged = true;
        if let Some(tag) = tag.filter(|tag| *tag > 0xfff) {
            return Err(self.fault(span, format!("VLAN {tag} does not exist: numbers go from 0 to 4095")));
        }
        let (present, number) = if let Some(field) = self.aside.take() {
            (Node::Constant(true), Value::Field(field))
        } else {
            let tests = TAG_TYPES.map(|tag_type| self.link_type(tag_type));
            let present = tests.into_iter().fold(Node::Constant(false), Node::or);
            let number = Value::load(self.payload, Size::Half);
            self.link_type += 4;
            self.payload += 4;
            (present, number)
        };
        Ok(match tag {
            Some(tag) => present.and(equal(number.masked(0xfff), tag)),
            None => present,
        })
    }

    fn relation(&self, left: &Arith, relation: Compare, right: &Arith) -> Result<Node, FilterError> {
        let (left_checks, left) = self.number(left)?;
        let (right_checks, right) = self.number(right)?;
        let test = match relation {
            Compare::Equal => Node::test(left, Relation::Equal, right),
            Compare::NotEqual => Node::test(left, Relation::Equal, right).negate(),
            Compare::Greater => Node::test(left, Relation::Greater, right),
            Compare::LessOrEqual => Node::test(left, Relation::Greater, right).negate(),
            Compare::GreaterOrEqual => Node::test(left, Relation::GreaterOrEqual, right),
            Compare::Less => Node::test(left, Relation::GreaterOrEqual, right).negate(),
        };
        Ok(left_checks.and(right_checks).and(test))
    }

    /// A number, and what must be true of a frame that has it.
    fn number(&self, arith: &Arith) -> Result<(Node, Value), FilterError> {
        let always = Node::Constant(true);
        Ok(match arith {
            Arith::Number(number) => (always, Value::Constant(*number)),
            Arith::Len => (always, Value::Field(Field::Len)),
            Arith::Negate(inner) => {
                let (checks, value) = self.number(inner)?;
                (checks, value.negate())
            }
            Arith::Binary(operation, left, right, span) => {
                let (left_checks, left) = self.number(left)?;
                // libpcap forgets what the right side asks for, and filters in use rely on nothing else.
                let (_, right) = self.number(right)?;
                if let (Alu::ShiftLeft | Alu::ShiftRight, Value::Constant(32..)) = (operation, &right) {
                    return Err(self.fault(span, "a shift by more than 31 bits"));
                }
                let value = Value::alu(*operation, left, right)
                    .map_err(|_zero| self.fault(span, "a division by zero"))?;
                (left_checks, value)
            }
            Arith::Load(protocol, index, size, span) => {
                let (checks, index) = self.number(index)?;
                self.load(*protocol, checks, index, *size, span)?
            }
        })
    }

    /// Whatever stands behind qualifiers.
    fn identified(&self, qualifiers: Qualifiers, id: &Id, span: &Span) -> Result<Node, FilterError> {
        match (qualifiers.kind, id) {
            (Some(Kind::Port | Kind::PortRange), Id::Number(port)) => {
                self.ports(qualifiers, *port, *port, span)
            }
            (Some(Kind::Port), Id::Name(name)) => {
                let port = port_named(name).ok_or_else(|| self.no_port(name, span))?;
                self.ports(qualifiers, port, port, span)
            }
            (Some(Kind::PortRange), Id::Name(name)) => {
                let (first, last) = range_named(name).ok_or_else(|| self.no_port(name, span))?;
                self.ports(qualifiers, first, last, span)
            }
            (Some(Kind::Proto), Id::Number(number)) => self.proto(qualifiers, *number, span),
            (Some(Kind::Proto), Id::Name(name)) => {
                let number = self.proto_named(qualifiers, name, span)?;
                self.proto(qualifiers, number, span)
            }
            (Some(kind @ (Kind::Port | Kind::PortRange | Kind::Proto)), _) => {
                let wanted = if kind == Kind::Proto { "protocol" } else { "port" };
                Err(self.fault(span, format!("an address is no {wanted}")))
            }
            (_, Id::Name(name)) => Err(self.no_host(name, span)),
            (_, Id::Mac(address)) => self.ether_host(qualifiers, *address, span),
            _ => self.host(qualifiers, id, span),
        }
    }

    fn no_port(&self, name: &str, span: &Span) -> FilterError {
        if range_named(name).is_some() {
            return self.fault(span, format!("{} is no port: a range needs `portrange`", quote(name)));
        }
        let error = self.fault(span, format!("no port is called {}", quote(name)));
        match ig_model::nearest(name, words::PORTS.iter().map(|(known, _)| *known)) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint("use its number"),
        }
    }

    fn no_host(&self, name: &str, span: &Span) -> FilterError {
        let error = self.fault(span, format!("names such as {} are not resolved", quote(name)));
        match ig_model::nearest(name, words::WORDS.iter().map(|(known, _)| *known)) {
            Some(near) => error.hint(format!("use an address; or did you mean `{near}`?")),
            None => error.hint("use an address"),
        }
    }
}

/// Both directions, or those wanted.
fn directed(direction: Option<Direction>, test: impl Fn(bool) -> Node) -> Node {
    let (source, destination) = (true, false);
    match direction {
        Some(Direction::Src) => test(source),
        Some(Direction::Dst) => test(destination),
        Some(Direction::Both) => test(source).and(test(destination)),
        Some(Direction::Either) | None => test(source).or(test(destination)),
    }
}

fn equal(value: Value, number: u32) -> Node {
    Node::test(value, Relation::Equal, Value::Constant(number))
}

fn port_named(name: &str) -> Option<u32> {
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        return name.parse().ok();
    }
    words::PORTS.iter().find(|(known, _)| *known == name).map(|(_, port)| *port)
}

/// Two ports with `-` between; names may hold one themselves.
fn range_named(name: &str) -> Option<(u32, u32)> {
    let single = || port_named(name).map(|port| (port, port));
    let splits = name.match_indices('-').filter_map(|(at, _)| name.split_at_checked(at));
    let mut ranges =
        splits.filter_map(|(first, last)| port_named(first).zip(port_named(last.strip_prefix('-')?)));
    ranges.next().or_else(single)
}
