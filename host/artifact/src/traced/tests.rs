use super::*;

/// A graph with initial values.
fn graph(values: &[u8]) -> Vec<u8> {
    use fedwasm_graph::{Graph, Optimizer, OptimizerKind, Task, encode};
    encode(&Graph {
        name: "heart-risk".into(),
        version: "1.2.0".into(),
        doc: String::new(),
        task: Task::Regression,
        arguments: Vec::new(),
        inputs: Vec::new(),
        targets: Vec::new(),
        members: Vec::new(),
        values: vec![("x".into(), values.to_vec())],
        optimizer: Optimizer { kind: OptimizerKind::Sgd, defaults: Vec::new() },
        files: Vec::new(),
        functions: Vec::new(),
    })
}

/// A graph of so many bytes.
fn sized(bytes: usize) -> Vec<u8> {
    let beside = graph(&[3; 60_000]).len() - 60_000;
    graph(&vec![3; bytes - beside])
}

/// A component with the sections behind it that name its graph.
fn ended(component: Vec<u8>, graph: &[u8]) -> Vec<u8> {
    [component, metadata(graph).unwrap()].concat()
}

/// A component with a runtime's module: `memory`, then segments of data.
fn component(memory: &str, segments: &[(u32, &[u8])]) -> Vec<u8> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("\\{byte:02x}")).collect::<String>();
    let data: Vec<String> = segments
        .iter()
        .map(|(address, bytes)| format!("(data (i32.const {address}) \"{}\")", hex(bytes)))
        .collect();
    let text = format!(
        "(component
            (core module (func))
            (core module {memory} {} (func (memory.copy (i32.const 0) (i32.const 0) (i32.const 0))))
            (@custom \"note\" \"the runtime\"))",
        data.join(" ")
    );
    wat::parse_str(text).unwrap()
}

fn slot(address: u32, length: u32) -> Vec<u8> {
    let numbers = [address.to_le_bytes(), length.to_le_bytes()].concat();
    [b"text before ".to_vec(), b"fedwasm:graph:01".to_vec(), numbers, vec![7; 40]].concat()
}

const MEMORY: &str = "(memory 17)";
/// Behind 17 pages.
const BEHIND: u32 = 17 << 16;

fn runtime() -> Vec<u8> {
    component(MEMORY, &[(1024, b"constants"), (2048, &slot(0, 0)), (4096, b"more")])
}

fn valid(component: &[u8]) {
    wasmparser::Validator::new_with_features(crate::FEATURES).validate_all(component).unwrap();
}

#[test]
fn graph_goes_in_and_comes_out() {
    let runtime = runtime();
    assert_eq!(extract(&runtime).unwrap(), None);
    // The last one holds the marker itself.
    for graph in [graph(&[]), sized(65_536), sized(65_537), graph(&slot(1, 1))] {
        let component = splice(&runtime, &graph).unwrap();
        assert_eq!(component, splice(&runtime, &graph).unwrap());
        valid(&component);
        let metadata = wasm_metadata::Payload::from_binary(&component).unwrap();
        let metadata = metadata.metadata();
        assert_eq!(metadata.name.as_deref(), Some("heart-risk"));
        assert_eq!(metadata.version.as_ref().unwrap().to_string(), "1.2.0");
        assert_eq!(splice(&component, &graph), Err(TracedError::Taken));
        let expected = Traced { graph, runtime_sha256: Digest::of(&runtime) };
        assert_eq!(extract(&component).unwrap(), Some(expected));
    }
}

/// An assembler's bytes of the runtime with the graph in its source.
#[test]
fn component_is_the_one_that_an_assembler_writes() {
    let graph = sized(70_000);
    let slot = slot(BEHIND, 70_000);
    let expected = component(
        "(memory 19)",
        &[(1024, b"constants"), (2048, &slot), (4096, b"more"), (BEHIND, &graph)],
    );
    assert!(splice(&runtime(), &graph).unwrap() == ended(expected, &graph));
}

#[test]
fn slot_in_the_last_segment_is_one() {
    let runtime = component(MEMORY, &[(2048, &slot(0, 0))]);
    let component = splice(&runtime, &graph(&[1])).unwrap();
    assert_eq!(extract(&component).unwrap().unwrap().graph, graph(&[1]));
}

#[test]
fn what_is_no_runtime_takes_no_graph() {
    let none = component(MEMORY, &[(2048, b"fedwasm:graph:02")]);
    let graph = graph(&[]);
    assert_eq!(splice(&none, &graph), Err(TracedError::NoSlot));
    assert_eq!(extract(&none), Ok(None));
    for bytes in [&graph[1..], &graph[..graph.len() - 1], b""] {
        let error = splice(&runtime(), bytes).unwrap_err();
        assert!(matches!(&error, TracedError::Graph { .. }), "{error}");
    }
    let two = component(MEMORY, &[(2048, &slot(0, 0)), (4096, &slot(0, 0))]);
    let in_one = component(MEMORY, &[(2048, &[slot(0, 0), slot(0, 0)].concat())]);
    for many in [two, in_one] {
        assert_eq!(splice(&many, &graph), Err(TracedError::ManySlots));
        assert_eq!(extract(&many), Err(TracedError::ManySlots));
    }
}

#[test]
fn slots_of_two_modules_are_too_many() {
    let one = "(core module (memory 1) (data (i32.const 0) \
               \"fedwasm:graph:01\\00\\00\\00\\00\\00\\00\\00\\00\"))";
    let both = wat::parse_str(format!("(component {one} {one})")).unwrap();
    assert_eq!(extract(&both), Err(TracedError::ManySlots));
    assert_eq!(splice(&both, &graph(&[])), Err(TracedError::ManySlots));
    // One inside of another component is not the plan's.
    let inside = wat::parse_str(format!("(component (component {one}))")).unwrap();
    assert_eq!(extract(&inside), Ok(None));
}

#[test]
fn graph_needs_room_behind_the_memory() {
    for (memory, pages) in
        [("(memory 17 18)", 17), ("(memory 65535)", 65_535), ("(memory 65536)", 65_536)]
    {
        let runtime = component(memory, &[(2048, &slot(0, 0))]);
        let no_room = TracedError::NoRoom { pages, graph_bytes: 65_537 };
        assert_eq!(splice(&runtime, &sized(65_537)), Err(no_room));
    }
    let runtime = component("(memory 17 18)", &[(2048, &slot(0, 0))]);
    valid(&splice(&runtime, &sized(65_536)).unwrap());
    // The largest address, above 2 GiB.
    let runtime = component("(memory 65535)", &[(2048, &slot(0, 0))]);
    let component = splice(&runtime, &sized(65_536)).unwrap();
    valid(&component);
    assert_eq!(extract(&component).unwrap().unwrap().graph, sized(65_536));
}

#[test]
fn memory_must_be_the_modules_own_and_one() {
    for memory in ["(import \"a\" \"b\" (memory 1))", "(memory 17) (memory 17)"] {
        let runtime = component(memory, &[(2048, &slot(0, 0))]);
        let error = splice(&runtime, &graph(&[])).unwrap_err();
        assert!(matches!(&error, TracedError::Malformed { .. }), "{error}");
    }
}

#[test]
fn slots_that_lie_are_refused() {
    let graph = &[9; 100][..];
    let with = |memory: &str, address, length, segments: &[(u32, &[u8])]| {
        let slot = slot(address, length);
        let all = [&[(2048, &slot[..])], segments].concat();
        match extract(&component(memory, &all)).unwrap_err() {
            TracedError::Misplaced { reason, .. } => reason,
            other => panic!("{other}"),
        }
    };
    let other = "the last segment of data is another one";
    let memory = "the memory that the component starts with does not end with it";
    for (got, expected) in [
        (
            with("(memory 18)", BEHIND, 99, &[(BEHIND, graph)]),
            "the segment of data there has another length",
        ),
        (
            with("(memory 18)", BEHIND, 101, &[(BEHIND, graph)]),
            "the segment of data there has another length",
        ),
        (with("(memory 18)", BEHIND, 100, &[(BEHIND + 4, graph)]), other),
        (with("(memory 18)", BEHIND, 100, &[(BEHIND, graph), (4096, b"over it")]), other),
        (with("(memory 18)", BEHIND, 100, &[]), other),
        (
            with("(memory 18)", BEHIND, 100, &[(BEHIND - 4, b"below"), (BEHIND, graph)]),
            "another segment of data reaches into its pages",
        ),
        (
            with("(memory 18)", BEHIND + 4, 100, &[(BEHIND + 4, graph)]),
            "a graph begins with a page of the memory",
        ),
        (with("(memory 17)", BEHIND, 100, &[(BEHIND, graph)]), memory),
        (with("(memory 19)", BEHIND, 100, &[(BEHIND, graph)]), memory),
        (with("(memory 18)", BEHIND, u32::MAX, &[(BEHIND, graph)]), memory),
        (with("(memory 18)", u32::MAX - 65_535, 65_537, &[(BEHIND, graph)]), memory),
        (with("(memory 18)", 0, 100, &[(BEHIND, graph)]), memory),
    ] {
        assert_eq!(got, expected);
    }
    // A place that is right, and no graph in it.
    for (memory, graph) in [(MEMORY, &b""[..]), ("(memory 18)", b"graph")] {
        let length = graph.len() as u32;
        let error = component(memory, &[(2048, &slot(BEHIND, length)), (BEHIND, graph)]);
        let error = extract(&error).unwrap_err();
        assert!(matches!(&error, TracedError::Graph { .. }), "{error}");
    }
    // Without name and version behind it.
    let graph = sized(70_000);
    let bare = component("(memory 19)", &[(2048, &slot(BEHIND, 70_000)), (BEHIND, &graph)]);
    assert_eq!(extract(&bare), Err(TracedError::OtherBytes));
    assert!(extract(&ended(bare, &graph)).unwrap().is_some());
}

/// Numbers of other lengths than [`splice`] writes: the bytes of a plan are one, given runtime and graph.
#[test]
fn component_that_splice_would_not_write_is_refused() {
    let with = |component: &[u8], id: u8, edit: &dyn Fn(&mut Vec<u8>)| {
        let (outer, _) = module(component).unwrap().unwrap();
        let module = &component[outer.contents.clone()];
        let inner = sections(module).map(Result::unwrap).find(|section| section.id == id).unwrap();
        let mut contents = module[inner.contents.clone()].to_vec();
        edit(&mut contents);
        let other = replaced(component, &outer, &replaced(module, &inner, &contents));
        valid(&other);
        other
    };
    let graph = &graph(&[9; 50])[..];
    let length = graph.len() as u8;
    let longer = with(&splice(&runtime(), graph).unwrap(), 11, &|data| {
        let at = data.len() - graph.len() - 1;
        assert_eq!(data.splice(at..=at, [0x80 | length, 0]).collect::<Vec<_>>(), [length]);
    });
    assert_eq!(extract(&longer), Err(TracedError::OtherBytes));
    let longer = with(&runtime(), 5, &|memory| {
        assert_eq!(memory.splice(2.., [0x80 | 17, 0]).collect::<Vec<_>>(), [17]);
    });
    assert_eq!(splice(&longer, graph), Err(TracedError::OtherBytes));
}

#[test]
fn cut_bytes_are_errors() {
    let graph = graph(&[1, 2, 3]);
    let component = splice(&runtime(), &graph).unwrap();
    for length in 0..component.len() {
        let _ = extract(&component[..length]);
        let _ = splice(&component[..length], &graph);
    }
    for at in 0..component.len() {
        for bit in 0..8 {
            let mut other = component.clone();
            other[at] ^= 1 << bit;
            if let Ok(Some(traced)) = extract(&other) {
                let runtime = traced.runtime_sha256;
                let differs = traced.graph != graph || runtime != Digest::of(&self::runtime());
                assert!(differs, "byte {at}, bit {bit}");
            }
        }
    }
}
