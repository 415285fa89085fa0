//! One type more than is admitted.
use wasm_encoder::{Component, ComponentTypeSection, PrimitiveValType};

pub const ENDS: &str = "admission TooMany";

pub fn bytes(_: &[u8]) -> Vec<u8> {
    let mut types = ComponentTypeSection::new();
    for _ in 0..=fedwasm_artifact::TYPES_MAX {
        types.defined_type().primitive(PrimitiveValType::U8);
    }
    let mut component = Component::new();
    component.section(&types);
    component.finish()
}
