//! One function more than is admitted, all of them empty.
use wasm_encoder::{CodeSection, Component, Function, FunctionSection, Module, ModuleSection};
use wasm_encoder::TypeSection;

pub const ENDS: &str = "admission TooMany";

pub fn bytes(_: &[u8]) -> Vec<u8> {
    let (mut types, mut functions, mut code) =
        (TypeSection::new(), FunctionSection::new(), CodeSection::new());
    types.ty().function([], []);
    for _ in 0..=fedwasm_artifact::FUNCTIONS_MAX {
        functions.function(0);
        let mut body = Function::new([]);
        body.instructions().end();
        code.function(&body);
    }
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&code);
    let mut component = Component::new();
    component.section(&ModuleSection(&module));
    component.finish()
}
