//! An import with a name of 64 KiB, which a message would repeat.
use wasm_encoder::{
    Component, ComponentImportSection, ComponentTypeRef, ComponentTypeSection, InstanceType,
};

pub const ENDS: &str = "admission TooMany";

pub fn bytes(_: &[u8]) -> Vec<u8> {
    let (mut types, mut imports) = (ComponentTypeSection::new(), ComponentImportSection::new());
    types.instance(&InstanceType::new());
    imports.import(&"a".repeat(64 << 10)[..], ComponentTypeRef::Instance(0));
    let mut component = Component::new();
    component.section(&types).section(&imports);
    component.finish()
}
