//! Volumes through the binary: subjects at three sites, a mask as the target, a U-Net of three
//! dimensions.

use std::path::Path;

use serde_json::Value;

use crate::support::{Edit, Federation, fedwasm, guest};

/// Voxels along an axis.
const SIZE: usize = 16;

/// A NIfTI file of float32 along the patient's axes, with voxels of 2 mm.
fn nifti(values: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; 352];
    let mut set = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    set(0, &348i32.to_le_bytes());
    for (at, length) in [3, SIZE as i16, SIZE as i16, SIZE as i16, 1, 1, 1, 1].iter().enumerate() {
        set(40 + 2 * at, &i16::to_le_bytes(*length));
    }
    set(70, &16i16.to_le_bytes());
    set(72, &32i16.to_le_bytes());
    set(108, &352f32.to_le_bytes());
    set(254, &1i16.to_le_bytes());
    (0..3).for_each(|line| set(280 + 20 * line, &2f32.to_le_bytes()));
    set(344, b"n+1\0");
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

/// Numbers that look random, from 0 to 1 (Knuth's generator of 64 bits).
fn numbers(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    }
}

/// Subjects with a bright ball in noise, and the mask of it.
fn subjects(root: &Path, site: u64, n: u64) {
    for subject in 0..n {
        let mut next = numbers(1_000 * site + subject);
        (0..8).for_each(|_| _ = next());
        let middle = [0, 1, 2].map(|_| 5.0 + 5.0 * next());
        let radius = 3.0 + 2.0 * next();
        let (mut image, mut mask) = (Vec::new(), Vec::new());
        for voxel in 0..SIZE.pow(3) {
            let at = [voxel % SIZE, voxel / SIZE % SIZE, voxel / SIZE / SIZE];
            let apart = at.iter().zip(&middle).map(|(at, middle)| (*at as f32 - middle).powi(2));
            let inside = f32::from(u8::from(apart.sum::<f32>() < radius * radius));
            image.push(100.0 * inside + 120.0 * next());
            mask.push(inside);
        }
        for (modality, values) in [("T1", image), ("label", mask)] {
            let folder = root.join(format!("sub{subject:02}/{modality}"));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("volume.nii"), nifti(&values)).unwrap();
        }
    }
}

#[test]
fn a_unet_of_three_dimensions_learns_masks_at_three_sites() {
    let mut federation = Federation::start();
    for site in 0..3 {
        let root = federation.dir.path().join(format!("volumes-{site}"));
        // Ten to train on and ten to score: no site tells anything of fewer rows.
        subjects(&root, site, 20);
        federation.node_of(&format!("site-{site}"), &root, "medical");
    }
    let plan = guest("volumes");
    let experiment = federation.experiment(|text| {
        let own = format!("{:?}", crate::support::plan().display().to_string());
        let text = text.edit(&own, &format!("{:?}", plan.display().to_string()));
        let text = text.edit("target = \"benign\"", "inputs = [\"T1\"]\ntarget = \"label\"");
        let text = text.edit("batch_size = 32", "batch_size = 2").edit("lr = 0.1", "lr = 0.02");
        let text =
            text.edit("test_ratio = 0.2", "test_ratio = 0.5").edit("epochs = 1", "epochs = 3");
        let text = text.edit("rounds = 2", "rounds = 5").edit("min_nodes = 2", "min_nodes = 3");
        text.edit("n_classes = 2", "")
    });
    let result = federation.run(&experiment).ok().result();
    let metric = |name: &str| result["metrics"][name].as_f64().unwrap();
    assert!(metric("dice") >= 0.9, "{result}");
    assert!(metric("iou") >= 0.8, "{result}");
    // They are the host's: of the voxels of all sites.
    let history = federation.dir.path().join("out/history.json");
    let history: Value = serde_json::from_slice(&std::fs::read(history).unwrap()).unwrap();
    let evaluation = &history["rounds"][4]["evaluation"];
    let table: Vec<Vec<f64>> = evaluation["sums"]["masks"]["table"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row.as_str().unwrap().split(' ').map(|n| n.parse().unwrap()).collect())
        .collect();
    let [are, said, both] = [0, 1, 2].map(|row| table[row][1]);
    assert_eq!(metric("dice"), 2.0 * both / (are + said));
    assert_eq!(metric("iou"), both / (are + said - both));
    assert_eq!(table[0].iter().sum::<f64>(), 3.0 * 10.0 * (SIZE.pow(3) as f64));
    let shown = fedwasm(&["experiment", "show"]).arg(federation.dir.path().join("out")).ok().stdout;
    assert!(shown.contains("iou") && shown.contains("voxels"), "{shown}");
}

/// A node keeps the settings, and tells which subjects it leaves out.
fn kept_by_a_node(dir: &Path, root: &Path, settings: &Path) {
    let node = dir.join("node");
    fedwasm(&["node", "init", "--id", "n"]).arg(&node).ok();
    let add = fedwasm(&["--json", "node", "dataset", "add", "--name", "d", "--tags", "t"]);
    let added = add.arg(&node).arg("--path").arg(root).arg("--volumes").arg(settings).ok().result();
    assert_eq!((&added["rows"], &added["type"]), (&Value::from(4), &Value::from("medical")));
    let remark = "1 of 5 subjects lack something (label: 1): sub99; they are left out";
    assert_eq!(added["remarks"][0], remark);
    let kept = std::fs::read_to_string(node.join("datasets.json")).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept[0]["volumes"]["shape"], serde_json::json!([8, 8, 8]));
    assert_eq!(kept[0]["volumes"]["modalities"]["T1"]["normalize"], "z-score");
}

/// What a site said when it registered its folder holds in rounds, and `local` and `evaluate` take the
/// same file.
#[test]
fn settings_of_volumes_are_kept_and_taken_by_local() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("subjects");
    subjects(&root, 7, 4);
    std::fs::create_dir_all(root.join("sub99/T1")).unwrap();
    std::fs::copy(root.join("sub00/T1/volume.nii"), root.join("sub99/T1/volume.nii")).unwrap();
    let settings = dir.path().join("volumes.toml");
    let text = "shape = [8, 8, 8]\nmissing = \"skip\"\n[modalities.T1]\nwindow = [0.0, 200.0]\n\
                normalize = \"z-score\"\n[modalities.label]\n";
    std::fs::write(&settings, text).unwrap();
    let plan = guest("volumes");
    let args = dir.path().join("args.toml");
    let text = "[data]\ninputs = [\"T1\"]\ntarget = \"label\"\n[training]\nepochs = 1\n\
                loader_args = { batch_size = 2 }\ntest_ratio = 0.25\n[model]\nsize = 8\n";
    std::fs::write(&args, text).unwrap();
    let local = |with: bool| {
        let out = dir.path().join("out");
        let command = fedwasm(&["--json", "local", "--seed", "1", "--force", "--plan"]).arg(&plan);
        let command =
            command.arg("--data").arg(&root).arg("--args").arg(&args).arg("--out").arg(out);
        if with { command.arg("--volumes").arg(&settings) } else { command }
    };
    let ended = local(false).run();
    assert!(
        ended.stderr.contains("1 of 5 subjects lack something (label: 1): sub99"),
        "{}",
        ended.stderr
    );
    let result = local(true).ok().result();
    assert_eq!((result["n_train"].as_u64(), result["n_test"].as_u64()), (Some(3), Some(1)));
    let evaluate = fedwasm(&["--json", "evaluate", "--plan"]).arg(&plan).arg("--params");
    let evaluate = evaluate.arg(dir.path().join("out/params.mpk")).arg("--data").arg(&root);
    let scored = evaluate.arg("--volumes").arg(&settings).ok().result();
    assert_eq!(scored["n_rows"], 4);
    // The model keeps the settings, and new subjects need no mask.
    let out = dir.path().join("out");
    let about = std::fs::read_to_string(out.join("model/model.json")).unwrap();
    let about: Value = serde_json::from_str(&about).unwrap();
    assert_eq!(about["volumes"]["shape"], serde_json::json!([8, 8, 8]));
    let fresh = dir.path().join("new");
    std::fs::create_dir_all(fresh.join("p1/T1")).unwrap();
    std::fs::copy(root.join("sub00/T1/volume.nii"), fresh.join("p1/T1/volume.nii")).unwrap();
    let predicted = |data: &Path| {
        let scores = dir.path().join("scores.csv");
        let predict = fedwasm(&["predict"]).arg(out.join("model")).arg("--type").arg("medical");
        predict.arg("--data").arg(data).arg("--out").arg(&scores).ok();
        std::fs::read_to_string(scores).unwrap()
    };
    let (of_new, of_known) = (predicted(&fresh), predicted(&root));
    // The same volume has the same scores, whatever else its subject has.
    assert_eq!(of_new.lines().nth(1), of_known.lines().nth(1));
    assert_eq!((of_new.lines().count(), of_known.lines().count()), (2, 6));
    let evaluate = fedwasm(&["--json", "evaluate"]).arg(out.join("model")).arg("--data");
    let again = evaluate.arg(&root).ok().result();
    assert_eq!(again["metrics"], scored["metrics"], "{again}");
    // The host's own sums, not the plan's mean of batches.
    assert_eq!(again["scores"]["of"], "voxels", "{again}");
    kept_by_a_node(dir.path(), &root, &settings);
    // A word that is none.
    std::fs::write(&settings, "shapes = [8, 8, 8]\n").unwrap();
    let ended = local(true).run();
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("unknown field `shapes`"), "{}", ended.stderr);
}
