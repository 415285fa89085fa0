//! Composes a plan of two components with wac, as an author would who has parts in two languages:
//! `tests/guests/composed/composed.wasm`. In this directory:
//!
//!     python3 merge.py ../../guests/hostile/skeleton.wat ../../guests/composed/plan.wat plan.wat
//!     cargo run -- ../../../wit plan.wat ../../guests/composed/helper.wat ../../guests/composed/composed.wasm

use wac_graph::{CompositionGraph, EncodeOptions, types::Package};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const WORLDS: &str = "package local:composed;
interface helper { apply: func(name: string, values: list<u8>) -> result<list<u8>, string>; }
world helping { export helper; }
world planning { include fedwasm:training-plan/training-plan@0.1.0; import helper; }";

fn component(wit: &std::path::Path, world: &str, text: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    resolve.push_dir(wit).unwrap();
    let own = resolve.push_str("composed.wit", WORLDS).unwrap();
    let world = resolve.select_world(&[own], Some(world)).unwrap();
    let mut module = wat::parse_str(text).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, wit, plan, helper, out] = &args[..] else { panic!("wit plan helper out") };
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    let plan = component(wit.as_ref(), "planning", &read(plan));
    let helper = component(wit.as_ref(), "helping", &read(helper));
    let mut graph = CompositionGraph::new();
    let plan = Package::from_bytes("local:plan", None, plan, graph.types_mut()).unwrap();
    let plan = graph.register_package(plan).unwrap();
    let helper = Package::from_bytes("local:help", None, helper, graph.types_mut()).unwrap();
    let helper = graph.register_package(helper).unwrap();
    let helping = graph.instantiate(helper);
    let apply = graph.alias_instance_export(helping, "local:composed/helper").unwrap();
    let planning = graph.instantiate(plan);
    graph.set_instantiation_argument(planning, "local:composed/helper", apply).unwrap();
    let name = "fedwasm:training-plan/plan@0.1.0";
    let export = graph.alias_instance_export(planning, name).unwrap();
    graph.export(export, name).unwrap();
    std::fs::write(out, graph.encode(EncodeOptions::default()).unwrap()).unwrap();
}
