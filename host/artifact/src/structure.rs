//! Counts the parts of a component before anything reads them.

use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentExternName, ComponentType,
    ComponentTypeDeclaration, CoreType, Encoding, InstanceTypeDeclaration, Parser, Payload,
};

use crate::AdmissionError;

/// Components and modules inside of each other; toolchains emit 3.
pub const DEPTH_MAX: usize = 16;
/// Core modules. A Rust plan has 3, a JavaScript plan 11, a Python plan 38.
pub const MODULES_MAX: usize = 64;
/// Components, the outer one among them. A JavaScript plan has 25.
pub const COMPONENTS_MAX: usize = 32;
/// Instances that components make of components and modules; each takes as long
/// as its types are large. A C plan has 9, a JavaScript plan 79, a Python plan 115.
pub const INSTANCES_MAX: u64 = 256;
/// Functions of all modules together. A Python plan has 14,000.
pub const FUNCTIONS_MAX: u64 = 200_000;
/// Types of all modules and components together, with their inner declarations.
pub const TYPES_MAX: u64 = 10_000;
/// Types declared inside of types, in one section: the decoder goes one call
/// deeper for each. Toolchains emit fewer than ten.
pub const NESTED_TYPES_MAX: u64 = 200;
/// Sections of all modules and components, those that say nothing among them.
/// Toolchains emit hundreds.
pub const SECTIONS_MAX: u64 = 20_000;
/// Everything else that is listed in sections: imports, exports, instances,
/// aliases, globals, elements.
pub const ITEMS_MAX: u64 = 500_000;
/// Bytes of the name of an import or export.
pub const NAME_BYTES_MAX: usize = 1_024;

/// The imports and exports of the outermost component, in order.
#[derive(Debug, Default)]
pub(crate) struct Structure {
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
}

/// Counts so far.
#[derive(Default)]
struct Counts {
    modules: usize,
    components: usize,
    functions: u64,
    types: u64,
    instances: u64,
    sections: u64,
    items: u64,
}

impl Structure {
    /// Walks over the sections, which need not be valid. Takes time and memory
    /// in proportion to the bytes, regardless of their contents.
    ///
    /// # Errors
    /// [`AdmissionError::TooMany`], [`AdmissionError::Unwanted`],
    /// [`AdmissionError::Invalid`].
    pub(crate) fn of(bytes: &[u8]) -> Result<Self, AdmissionError> {
        let (mut structure, mut counts, mut depth) = (Self::default(), Counts::default(), 0_usize);
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(invalid)?;
            match &payload {
                Payload::Version { encoding, .. } => {
                    depth += 1;
                    bound("nested components", depth as u64, DEPTH_MAX as u64)?;
                    match encoding {
                        Encoding::Module => counts.modules += 1,
                        Encoding::Component => counts.components += 1,
                    }
                    bound("modules", counts.modules as u64, MODULES_MAX as u64)?;
                    bound("components", counts.components as u64, COMPONENTS_MAX as u64)?;
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) => {
                    for import in section.clone() {
                        let name = name(import.map_err(invalid)?.name)?;
                        if depth == 1 {
                            structure.imports.push(name.to_owned());
                        }
                    }
                }
                Payload::ComponentExportSection(section) => {
                    for export in section.clone() {
                        let name = name(export.map_err(invalid)?.name)?;
                        if depth == 1 {
                            structure.exports.push(name.to_owned());
                        }
                    }
                }
                Payload::ComponentTypeSection(section) => {
                    let raw = bytes.get(section.range()).unwrap_or_default();
                    bound("nested types", nested_at_most(raw), NESTED_TYPES_MAX)?;
                    for declared in section.clone() {
                        counts.types += declarations(&declared.map_err(invalid)?);
                        bound("types", counts.types, TYPES_MAX)?;
                    }
                }
                Payload::CoreTypeSection(section) => {
                    for declared in section.clone() {
                        if let CoreType::Module(declared) = declared.map_err(invalid)? {
                            counts.types += declared.len() as u64;
                        }
                        bound("types", counts.types, TYPES_MAX)?;
                    }
                }
                Payload::ComponentCanonicalSection(section) => {
                    for function in section.clone() {
                        check_options(&function.map_err(invalid)?)?;
                    }
                }
                _ => {}
            }
            counts.add(&payload)?;
        }
        Ok(structure)
    }
}

impl Counts {
    fn add(&mut self, payload: &Payload<'_>) -> Result<(), AdmissionError> {
        // Bodies of functions are counted where they are announced.
        if payload.as_section().is_some() {
            self.sections += 1;
            bound("sections", self.sections, SECTIONS_MAX)?;
        }
        match payload {
            Payload::FunctionSection(section) => self.functions += u64::from(section.count()),
            Payload::TypeSection(section) => self.types += u64::from(section.count()),
            Payload::CoreTypeSection(section) => self.types += u64::from(section.count()),
            Payload::ComponentTypeSection(section) => self.types += u64::from(section.count()),
            Payload::ImportSection(section) => self.items += u64::from(section.count()),
            Payload::ExportSection(section) => self.items += u64::from(section.count()),
            Payload::GlobalSection(section) => self.items += u64::from(section.count()),
            Payload::TableSection(section) => self.items += u64::from(section.count()),
            Payload::MemorySection(section) => self.items += u64::from(section.count()),
            Payload::ElementSection(section) => self.items += u64::from(section.count()),
            Payload::DataSection(section) => self.items += u64::from(section.count()),
            Payload::InstanceSection(section) => self.instances += u64::from(section.count()),
            Payload::ComponentInstanceSection(section) => {
                self.instances += u64::from(section.count());
            }
            Payload::ComponentAliasSection(section) => self.items += u64::from(section.count()),
            Payload::ComponentCanonicalSection(section) => self.items += u64::from(section.count()),
            Payload::ComponentImportSection(section) => self.items += u64::from(section.count()),
            Payload::ComponentExportSection(section) => self.items += u64::from(section.count()),
            _ => return Ok(()),
        }
        bound("functions", self.functions, FUNCTIONS_MAX)?;
        bound("types", self.types, TYPES_MAX)?;
        bound("instances", self.instances, INSTANCES_MAX)?;
        bound("imports, exports and the like", self.items, ITEMS_MAX)
    }
}

/// How deep the types of a section can be inside of each other, seen from its
/// bytes alone, since it is the reading that must not go deep: a declaration of a
/// type (1) that is a component's (0x41) or an instance's (0x42). Bytes that
/// only look alike also count.
fn nested_at_most(section: &[u8]) -> u64 {
    section.windows(2).filter(|pair| matches!(pair, [1, 0x41 | 0x42])).count() as u64
}

/// Everything that is declared inside of a type: the size of each is one, and
/// the thing that it refers to was counted where it stands.
fn declarations(declared: &ComponentType<'_>) -> u64 {
    match declared {
        ComponentType::Component(inside) => inside.iter().map(in_component).sum(),
        ComponentType::Instance(inside) => inside.iter().map(in_instance).sum(),
        _ => 0,
    }
}

fn in_component(declared: &ComponentTypeDeclaration<'_>) -> u64 {
    match declared {
        ComponentTypeDeclaration::Type(inside) => 1 + declarations(inside),
        ComponentTypeDeclaration::CoreType(CoreType::Module(inside)) => 1 + inside.len() as u64,
        _ => 1,
    }
}

fn in_instance(declared: &InstanceTypeDeclaration<'_>) -> u64 {
    match declared {
        InstanceTypeDeclaration::Type(inside) => 1 + declarations(inside),
        InstanceTypeDeclaration::CoreType(CoreType::Module(inside)) => 1 + inside.len() as u64,
        _ => 1,
    }
}

fn bound(what: &'static str, got: u64, max: u64) -> Result<(), AdmissionError> {
    if got > max { Err(AdmissionError::TooMany { what, got, max }) } else { Ok(()) }
}

fn name(name: ComponentExternName<'_>) -> Result<&str, AdmissionError> {
    if name.name.len() > NAME_BYTES_MAX {
        Err(AdmissionError::TooMany {
            what: "bytes of a name",
            got: name.name.len() as u64,
            max: NAME_BYTES_MAX as u64,
        })
    } else {
        Ok(name.name)
    }
}

/// Texts cross as UTF-8 alone: converting others has been the richest source
/// of faults in engines, and no plan needs it.
fn check_options(function: &CanonicalFunction) -> Result<(), AdmissionError> {
    let (CanonicalFunction::Lift { options, .. } | CanonicalFunction::Lower { options, .. }) =
        function
    else {
        return Ok(());
    };
    for option in options {
        if matches!(option, CanonicalOption::UTF16 | CanonicalOption::CompactUTF16) {
            return Err(AdmissionError::Unwanted { what: "texts that are not UTF-8" });
        }
    }
    Ok(())
}

pub(crate) fn invalid(error: wasmparser::BinaryReaderError) -> AdmissionError {
    AdmissionError::Invalid { reason: fedwasm_protocol::printable(&error.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component with nested component or instance types.
    fn nested(kind: u8, depth: usize) -> Vec<u8> {
        let body = [vec![1], [kind, 1, 1].repeat(depth), vec![0x7f]].concat();
        let mut len = Vec::new();
        let mut rest = body.len();
        while rest > 0x7f {
            len.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        len.push(rest as u8);
        [b"\0asm\x0d\0\x01\0".to_vec(), vec![7], len, body].concat()
    }

    /// The stack of a test thread is that of the threads that admit plans.
    #[test]
    fn types_inside_of_types_end_before_the_stack_does() {
        for kind in [0x41, 0x42] {
            let most = NESTED_TYPES_MAX as usize;
            assert!(Structure::of(&nested(kind, most)).is_ok());
            let _ = crate::Component::admit(nested(kind, most));
            for depth in [most + 2, 100_000, 5_000_000] {
                let refused = Structure::of(&nested(kind, depth)).unwrap_err();
                assert!(matches!(refused, AdmissionError::TooMany { .. }), "{refused}");
            }
        }
    }
}
