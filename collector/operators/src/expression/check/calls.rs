//! Functions.

use super::{Checker, ElementKind};
use crate::expression::{
    Fault,
    ast::{Ast, Part},
    net::Net,
    node::{Bits, Bool, Float, Fold, Int, List, Rounding, Text, Typed, Wanted},
};

/// Every function there is here.
const KNOWN: [&str; 33] = [
    "CidrMatches",
    "abs",
    "all",
    "any",
    "bitand",
    "bitnand",
    "bitnot",
    "bitor",
    "bitshl",
    "bitshr",
    "bitushr",
    "bitxor",
    "ceil",
    "cidr",
    "count",
    "float",
    "floor",
    "hasPrefix",
    "hasSuffix",
    "int",
    "len",
    "lower",
    "max",
    "min",
    "none",
    "one",
    "round",
    "string",
    "sum",
    "trim",
    "trimPrefix",
    "trimSuffix",
    "upper",
];

/// What the language has besides.
const UNSUPPORTED: [&str; 40] = [
    "concat",
    "date",
    "duration",
    "filter",
    "find",
    "findIndex",
    "findLast",
    "findLastIndex",
    "first",
    "flatten",
    "fromBase64",
    "fromJSON",
    "fromPairs",
    "get",
    "groupBy",
    "indexOf",
    "join",
    "keys",
    "last",
    "lastIndexOf",
    "map",
    "mean",
    "median",
    "now",
    "reduce",
    "repeat",
    "replace",
    "reverse",
    "sort",
    "sortBy",
    "split",
    "splitAfter",
    "take",
    "timezone",
    "toBase64",
    "toJSON",
    "toPairs",
    "type",
    "uniq",
    "values",
];

impl Checker<'_> {
    pub(super) fn call(&mut self, at: usize, name: &str, arguments: &[Ast]) -> Result<Typed, Fault> {
        match (name, arguments) {
            ("all" | "any" | "none" | "one" | "count", _) => self.elements(at, name, arguments),
            ("cidr", _) if !arguments.is_empty() => {
                arguments.iter().map(|net| self.net(net)).collect::<Result<_, _>>().map(Typed::Nets)
            }
            ("CidrMatches", [address, net]) => {
                let address = self.text(name, address)?;
                Ok(Typed::Bool(Bool::IsInNets(address, vec![self.net(net)?])))
            }
            ("len", [of]) => match self.check(of)? {
                Typed::Text(text) => Ok(Typed::Int(Int::Characters(Box::new(text)))),
                Typed::List(list) => Ok(Typed::Int(Int::Elements(Box::new(list)))),
                other => Err(Fault::new(
                    of.at,
                    format!("only text and arrays have a length, not {}", other.kind()),
                )),
            },
            ("string" | "int" | "float", [of]) => self.convert(name, of),
            ("upper", [text]) => Ok(Typed::Text(Text::Upper(Box::new(self.text(name, text)?)))),
            ("lower", [text]) => Ok(Typed::Text(Text::Lower(Box::new(self.text(name, text)?)))),
            ("trim", [text]) => Ok(Typed::Text(Text::Trimmed(Box::new(self.text(name, text)?)))),
            ("trimPrefix" | "trimSuffix" | "hasPrefix" | "hasSuffix", [text, part]) => {
                let sides = Box::new((self.text(name, text)?, self.text(name, part)?));
                Ok(match name {
                    "trimPrefix" => Typed::Text(Text::WithoutPrefix(sides)),
                    "trimSuffix" => Typed::Text(Text::WithoutSuffix(sides)),
                    "hasPrefix" => Typed::Bool(Bool::Part(Part::Start, sides)),
                    _ => Typed::Bool(Bool::Part(Part::End, sides)),
                })
            }
            ("abs" | "ceil" | "floor" | "round", [of]) => {
                let rounding = match name {
                    "abs" => Rounding::Abs,
                    "ceil" => Rounding::Ceil,
                    "floor" => Rounding::Floor,
                    _ => Rounding::Round,
                };
                match self.check(of)? {
                    Typed::Int(value) if name == "abs" => Ok(Typed::Int(Int::Abs(Box::new(value)))),
                    value => {
                        let value = Self::float(name, of.at, value)?;
                        Ok(Typed::Float(Float::Rounded(rounding, Box::new(value))))
                    }
                }
            }
            ("min" | "max" | "sum", _) if !arguments.is_empty() => self.fold(at, name, arguments),
            ("bitnot", [of]) => {
                let value = self.int(name, of)?;
                Ok(Typed::Int(Int::Bits(Bits::Xor, Box::new((value, Int::Constant(-1))))))
            }
            ("bitand" | "bitor" | "bitxor" | "bitnand" | "bitshl" | "bitshr" | "bitushr", [left, right]) => {
                let bits = match name {
                    "bitand" => Bits::And,
                    "bitor" => Bits::Or,
                    "bitxor" => Bits::Xor,
                    "bitnand" => Bits::AndNot,
                    "bitshl" => Bits::Left,
                    "bitshr" => Bits::Right,
                    _ => Bits::RightUnsigned,
                };
                let sides = (self.int(name, left)?, self.int(name, right)?);
                Ok(Typed::Int(Int::Bits(bits, Box::new(sides))))
            }
            _ => Err(unknown(at, name, arguments.len())),
        }
    }

    fn elements(&mut self, at: usize, name: &str, arguments: &[Ast]) -> Result<Typed, Fault> {
        let [list, condition] = arguments else {
            return Err(Fault::new(
                at,
                format!("{name}() needs an array and a condition, as in {name}(array, # > 1)"),
            ));
        };
        let list = self.list(name, list)?;
        self.elements.push(list.element_kind());
        let condition = self.condition(condition, "");
        self.elements.pop();
        let parts = Box::new((list, condition?));
        let wanted = match name {
            "count" => return Ok(Typed::Int(Int::Count(parts))),
            "all" => Wanted::All,
            "any" => Wanted::Any,
            "none" => Wanted::None,
            _ => Wanted::One,
        };
        Ok(Typed::Bool(Bool::Elements(wanted, parts)))
    }

    fn fold(&mut self, at: usize, name: &str, arguments: &[Ast]) -> Result<Typed, Fault> {
        let fold = match name {
            "min" => Fold::Least,
            "max" => Fold::Greatest,
            _ => Fold::Sum,
        };
        let values = arguments.iter().map(|argument| self.check(argument)).collect::<Result<Vec<_>, _>>()?;
        if values.iter().all(|value| matches!(value, Typed::Int(_))) && fold != Fold::Sum {
            let ints = values.into_iter().filter_map(|value| match value {
                Typed::Int(value) => Some(value),
                _ => None,
            });
            return Ok(Typed::Int(Int::Fold(fold, ints.collect())));
        }
        let is_alone = values.len() == 1;
        let mut floats = Vec::new();
        for (value, argument) in values.into_iter().zip(arguments) {
            match value {
                Typed::List(list) if is_alone && list.element_kind() != ElementKind::Text => {
                    return Ok(match list.element_kind() {
                        ElementKind::Float => Typed::Float(Float::FoldList(fold, Box::new(list))),
                        _ => Typed::Int(Int::FoldList(fold, Box::new(list))),
                    });
                }
                value if fold != Fold::Sum => floats.push(Self::float(name, argument.at, value)?),
                _ => return Err(Fault::new(at, "sum() needs one array of numbers")),
            }
        }
        Ok(Typed::Float(Float::Fold(fold, floats)))
    }

    fn convert(&mut self, name: &str, of: &Ast) -> Result<Typed, Fault> {
        Ok(match (name, self.check(of)?) {
            ("string", value @ Typed::Text(_))
            | ("int", value @ Typed::Int(_))
            | ("float", value @ Typed::Float(_)) => value,
            ("string", Typed::Int(value)) => Typed::Text(Text::OfInt(Box::new(value))),
            ("string", Typed::Float(value)) => Typed::Text(Text::OfFloat(Box::new(value))),
            ("string", Typed::Bool(value)) => Typed::Text(Text::OfBool(Box::new(value))),
            ("int", Typed::Float(value)) => Typed::Int(Int::OfFloat(Box::new(value))),
            ("int", Typed::Text(value)) => Typed::Int(Int::OfText(Box::new(value))),
            ("float", Typed::Int(value)) => Typed::Float(Float::OfInt(Box::new(value))),
            ("float", Typed::Text(value)) => Typed::Float(Float::OfText(Box::new(value))),
            (name, other) => {
                return Err(Fault::new(of.at, format!("{name}() cannot convert {}", other.kind())));
            }
        })
    }

    fn text(&mut self, function: &str, argument: &Ast) -> Result<Text, Fault> {
        match self.check(argument)? {
            Typed::Text(text) => Ok(text),
            other => Err(Fault::new(argument.at, format!("{function}() needs text, not {}", other.kind()))),
        }
    }

    fn int(&mut self, function: &str, argument: &Ast) -> Result<Int, Fault> {
        match self.check(argument)? {
            Typed::Int(value) => Ok(value),
            other => Err(Fault::new(
                argument.at,
                format!("{function}() needs a whole number, not {}", other.kind()),
            )),
        }
    }

    fn float(function: &str, at: usize, value: Typed) -> Result<Float, Fault> {
        let kind = value.kind();
        value.into_float().ok_or_else(|| Fault::new(at, format!("{function}() needs a number, not {kind}")))
    }

    fn list(&mut self, function: &str, argument: &Ast) -> Result<List, Fault> {
        match self.check(argument)? {
            Typed::List(list) => Ok(list),
            other => {
                Err(Fault::new(argument.at, format!("{function}() needs an array, not {}", other.kind())))
            }
        }
    }

    fn net(&mut self, argument: &Ast) -> Result<Net, Fault> {
        match self.check(argument)? {
            Typed::Text(Text::Constant(text)) => {
                Net::parse(&String::from_utf8_lossy(&text)).map_err(|reason| Fault::new(argument.at, reason))
            }
            _ => Err(Fault::new(argument.at, "a network must be written out, as in \"10.0.0.0/8\"")),
        }
    }
}

fn unknown(at: usize, name: &str, arguments: usize) -> Fault {
    let shown: String = name.chars().take(40).collect();
    if KNOWN.contains(&name) {
        return Fault::new(at, format!("{shown}() does not take {arguments} arguments here"));
    }
    if UNSUPPORTED.contains(&name) {
        return Fault::new(
            at,
            format!("{shown}() is not supported in a filter (there are: {})", KNOWN.join(", ")),
        );
    }
    let hint =
        ig_model::nearest(&shown, KNOWN).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Fault::new(at, format!("there is no function {shown}(){hint} (there are: {})", KNOWN.join(", ")))
}
