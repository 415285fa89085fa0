//! Nine hundred forbidden imports: the message must not list them all.
use wasm_encoder::{
    Component, ComponentImportSection, ComponentTypeRef, ComponentTypeSection, InstanceType,
};

pub const ENDS: &str = "admission ForbiddenImport";

pub fn bytes(_: &[u8]) -> Vec<u8> {
    let (mut types, mut imports) = (ComponentTypeSection::new(), ComponentImportSection::new());
    types.instance(&InstanceType::new());
    for n in 0..900 {
        imports.import(&format!("a:b/c{n}")[..], ComponentTypeRef::Instance(0));
    }
    let mut component = Component::new();
    component.section(&types).section(&imports);
    component.finish()
}
