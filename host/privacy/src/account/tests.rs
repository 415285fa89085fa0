//! Against Opacus and dp-accounting: tests/oracles/privacy_account.py writes the table.

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    settings: Vec<Setting>,
    gaussian: Vec<Gaussian>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Setting {
    q: f64,
    z: f64,
    steps: u64,
    delta: f64,
    opacus: f64,
    order: f64,
    google: f64,
    google_whole: f64,
    gaussian: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Gaussian {
    epsilon: f64,
    delta: f64,
    z: f64,
}

fn table() -> Table {
    serde_json::from_str(include_str!("../../../../tests/data/privacy_account.json")).unwrap()
}

fn mechanism(noise_multiplier: f64, sampling_rate: f64, steps: u64) -> Mechanism {
    Mechanism { noise_multiplier, sampling_rate, steps }
}

fn spent(mechanisms: &[Mechanism]) -> Accountant {
    let mut accountant = Accountant::default();
    mechanisms.iter().for_each(|mechanism| accountant.add(mechanism).unwrap());
    accountant
}

#[test]
fn epsilons_are_those_of_opacus_and_dp_accounting() {
    let settings = table().settings;
    assert_eq!(settings.len(), 56);
    for setting in &settings {
        let Setting { q, z, steps, delta, .. } = *setting;
        let mut accountant = spent(&[mechanism(z, q, steps)]);
        let (epsilon, order) = accountant.epsilon_by_rdp(delta).unwrap();
        let name = format!("q {q}, z {z}, {steps} steps, delta {delta}");
        // Where delta alone covers the divergence, dp-accounting says 0 and Opacus something above.
        if setting.google > 0.0 {
            let expected = setting.opacus;
            assert!((epsilon - expected).abs() < 1e-6, "{name}: {epsilon}, {expected}");
            assert!((order - setting.order).abs() < 1e-9, "{name}: order {order}");
        }
        // dp-accounting bounds fractional orders from above.
        assert!(epsilon < setting.google + 1e-6, "{name}: {epsilon}, {}", setting.google);
        let best = accountant.epsilon(delta).unwrap();
        assert!(best <= epsilon);
        if let Some(gaussian) = setting.gaussian {
            assert!((best - gaussian.min(epsilon)).abs() < 1e-6, "{name}: {best}, {gaussian}");
        }
        for (order, rdp) in orders().zip(&mut accountant.rdp) {
            *rdp = if order.fract() == 0.0 { *rdp } else { f64::INFINITY };
        }
        let (whole, _) = accountant.epsilon_by_rdp(delta).unwrap();
        assert!((whole - setting.google_whole).abs() < 1e-6, "{name}: {whole} by whole orders");
    }
}

#[test]
fn gaussians_are_those_of_dp_accounting() {
    for row in table().gaussian {
        let z = multiplier_of_gaussian(row.epsilon, row.delta).unwrap();
        assert!((z - row.z).abs() < 1e-6 * row.z, "{z}, {}", row.z);
        let epsilon = epsilon_of_gaussian(row.z, row.delta).unwrap();
        assert!((epsilon - row.epsilon).abs() < 1e-6, "{epsilon}, {}", row.epsilon);
    }
    // Balle and Wang's sigmas at delta 1e-5.
    for (epsilon, sigma) in [(0.5, 7.0318), (1.0, 3.7306), (3.0, 1.3906)] {
        assert!((multiplier_of_gaussian(epsilon, 1e-5).unwrap() - sigma).abs() < 1e-4);
    }
}

#[test]
fn what_is_spent_adds_up_in_any_order() {
    let (one, other) = (mechanism(1.1, 0.01, 100), mechanism(2.0, 1.0, 3));
    let parts = [one, other, one, Mechanism { steps: 0, ..one }];
    let whole = [other, Mechanism { steps: 200, ..one }];
    let (parts, whole) =
        (spent(&parts).epsilon(1e-5).unwrap(), spent(&whole).epsilon(1e-5).unwrap());
    assert!((parts - whole).abs() < 1e-12);
    let full = spent(&[mechanism(4.0, 1.0, 60), mechanism(4.0, 1.0, 40)]).epsilon(1e-5).unwrap();
    assert!((full - 13.206712).abs() < 1e-5, "{full}");
}

#[test]
fn nothing_spends_nothing_and_no_noise_spends_everything() {
    assert_eq!(Accountant::default().epsilon(1e-5).unwrap(), 0.0);
    assert_eq!(spent(&[mechanism(1.0, 0.0, 10)]).epsilon(1e-5).unwrap(), 0.0);
    assert_eq!(spent(&[mechanism(0.0, 1.0, 1)]).epsilon(1e-5).unwrap(), f64::INFINITY);
    assert_eq!(spent(&[mechanism(0.0, 0.5, 1)]).epsilon(1e-5).unwrap(), f64::INFINITY);
    // No number becomes NaN, which would compare as below a budget.
    for z in [1e-300, 1e-9, 0.01, 1e9, 1e300] {
        for q in [1e-300, 1e-9, 0.5, 1.0 - f64::EPSILON, 1.0] {
            let epsilon = spent(&[mechanism(z, q, u64::MAX)]).epsilon(1e-5).unwrap();
            assert!(epsilon >= 0.0, "{z}, {q}: {epsilon}");
            assert!(z > 0.01 || q < 1e-9 || epsilon > 1e3, "{z}, {q}: {epsilon}");
        }
    }
}

/// The series of fractional orders meets the sums of whole ones on either side.
#[test]
fn fractional_orders_lie_between_whole_ones() {
    for q in [1e-4, 0.01, 0.3, 0.5, 0.9, 0.999] {
        for z in [0.3, 0.5, 1.0, 3.0, 20.0] {
            for order in [2.0f64, 5.0, 10.0] {
                let near = [order - 1e-7, order + 1e-7].map(|order| rdp(q, z, order));
                let whole = rdp(q, z, order);
                let slack = 1e-6 * whole + 1e-12;
                assert!(
                    near.iter().all(|one| (one - whole).abs() < slack),
                    "{q} {z} {order}: {near:?} {whole}"
                );
            }
            let rising: Vec<f64> = orders().map(|order| rdp(q, z, order)).collect();
            let is_rising = |two: &[f64]| two[1] >= two[0] * (1.0 - 1e-9) - 1e-13;
            assert!(rising.windows(2).all(is_rising), "{q} {z}: {rising:?}");
        }
    }
}

#[test]
fn more_noise_or_fewer_rounds_never_cost_more() {
    let epsilon = |z, q, steps| spent(&[mechanism(z, q, steps)]).epsilon(1e-6).unwrap();
    for q in [0.01, 0.3, 1.0] {
        assert!(epsilon(1.0, q, 10) > epsilon(1.1, q, 10));
        assert!(epsilon(1.0, q, 10) < epsilon(1.0, q, 11));
        assert!(epsilon(1.0, q, 10) <= epsilon(1.0, 1.0, 10));
    }
}

#[test]
fn settings_that_mean_nothing_are_refused() {
    let mut accountant = Accountant::default();
    for (z, q) in [(-1.0, 1.0), (f64::NAN, 1.0), (f64::INFINITY, 1.0), (1.0, 1.1), (1.0, f64::NAN)]
    {
        assert!(accountant.add(&mechanism(z, q, 1)).is_err());
    }
    assert_eq!(accountant, Accountant::default());
    for delta in [0.0, 1.0, f64::NAN, -1.0] {
        assert!(accountant.epsilon(delta).is_err() && epsilon_of_gaussian(1.0, delta).is_err());
    }
    assert!(
        epsilon_of_gaussian(f64::NAN, 0.1).is_err() && multiplier_of_gaussian(0.0, 0.1).is_err()
    );
}

#[test]
fn a_round_tells_a_bounded_number_of_bits() {
    for (z, limit) in [(0.5, 2.885_390), (1.0, 0.721_348), (2.0, 0.180_337)] {
        let many = bits_of_round(100_000_000, z);
        assert!((many - limit).abs() < 1e-5, "{z}: {many}");
        assert!(bits_of_round(1, z) < many);
    }
    assert_eq!(bits_of_round(0, 1.0), 0.0);
    assert_eq!(bits_of_round(5, 0.0), f64::INFINITY);
}
