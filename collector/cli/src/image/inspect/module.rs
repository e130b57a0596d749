//! A WASM module from outside: what it asks of its host and which version of the interface it was made for.

use wasmparser::{BinaryReaderError, ExternalKind, Operator, Parser, Payload, TypeRef};

/// The module of the host that gadgets call.
const HOST: &str = "ig";
/// The function that gives the version.
const VERSION: &str = "gadgetAPIVersion";

/// What is known of a module without running it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Module {
    /// Functions of the host that it imports, in its order.
    pub(super) upcalls: Vec<String>,
    /// Functions that it exports, in its order.
    pub(super) exports: Vec<String>,
    /// The version of the interface, where the function that gives it does nothing else.
    pub(super) version: Option<i64>,
}

impl Module {
    /// Reads what there is to see; the module is not validated.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, BinaryReaderError> {
        let mut module = Self::default();
        let (mut imported, mut defined, mut wanted) = (0, 0, None);
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let import = import?;
                        if matches!(import.ty, TypeRef::Func(_) | TypeRef::FuncExact(_)) {
                            imported += 1;
                            if import.module == HOST {
                                module.upcalls.push(import.name.to_owned());
                            }
                        }
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        let export = export?;
                        if export.kind == ExternalKind::Func {
                            if export.name == VERSION {
                                wanted = Some(export.index);
                            }
                            module.exports.push(export.name.to_owned());
                        }
                    }
                }
                Payload::CodeSectionEntry(body) => {
                    if wanted == Some(imported + defined) {
                        let mut operators = body.get_operators_reader()?;
                        if let Operator::I64Const { value } = operators.read()?
                            && matches!(operators.read()?, Operator::End)
                        {
                            module.version = Some(value);
                        }
                    }
                    defined += 1;
                }
                _ => {}
            }
        }
        Ok(module)
    }
}

#[cfg(test)]
mod tests {
    use super::Module;

    /// A module that imports `ig.gadgetLog`, exports `gadgetAPIVersion` and returns 1 from it.
    const MODULE: &[u8] = b"\0asm\x01\0\0\0\x01\x0a\x02\x60\x02\x7f\x7e\0\x60\0\x01\x7e\
        \x02\x10\x01\x02ig\x09gadgetLog\0\0\x03\x02\x01\x01\x07\x14\x01\x10gadgetAPIVersion\0\x01\
        \x0a\x06\x01\x04\0\x42\x01\x0b";

    /// Scenario: a module as compilers make it, cut off at each byte.
    /// Guarantees: imports, exports and version are seen in the whole; no part of it makes a panic.
    #[test]
    fn modules_are_read() {
        let module = Module::read(MODULE).unwrap();
        assert_eq!(module.upcalls, ["gadgetLog"]);
        assert_eq!(
            (module.exports.as_slice(), module.version),
            (&["gadgetAPIVersion".to_owned()][..], Some(1))
        );
        for end in 0..MODULE.len() {
            drop(Module::read(&MODULE[..end]));
        }
    }
}
