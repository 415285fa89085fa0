//! Tests of the whole system through the binary: real components in the real
//! engine, a real broker, real files.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test ends where something is missing; its modules are one program"
)]

mod accuracy;
mod aggregators;
mod approval;
mod arithmetic;
mod attacks;
mod bench_of_local;
mod book;
mod bridges;
mod carried;
mod central;
mod cli;
mod columns;
mod comparison;
mod compiling;
mod compression;
mod computes;
mod data_look;
mod databases;
mod datasets;
mod demo;
mod dependencies;
mod disclosure;
mod docs;
mod epochs;
mod errors;
mod experiment;
mod fairness;
mod fake;
mod faults;
mod federation;
mod fuzz;
mod generated;
mod gone;
mod homes;
mod hostile;
mod job;
mod kills;
mod languages;
mod limits;
mod loading;
mod local;
mod masked_statistics;
mod memory;
mod mlp_graph;
mod model_dir;
mod models;
mod moto;
mod onnx;
mod operations;
mod outage_table;
mod outages;
mod plan;
mod plan_new;
mod plan_test;
mod private;
mod proxy;
mod receipts;
mod released;
mod resume;
mod rounds;
mod sandbox;
mod scores;
mod secagg_forged;
mod secagg_researcher;
mod secagg_verify;
mod secure;
mod secure_node;
mod sequential;
mod signing;
mod simulate;
mod slow_links;
mod splits;
mod statistics;
mod stores;
mod sums;
mod support;
mod tar_of_images;
mod tidy;
mod tls;
mod trace;
mod traced;
mod volumes;
mod wide;
mod worker;
