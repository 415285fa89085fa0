//! Both ends: what transport's clients and these servers promise each other.

mod link;
mod repository;
