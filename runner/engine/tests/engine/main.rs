//! The engine from outside: real servers in this process, real connections.

mod interface;
mod paced;
mod serving;
mod support;
mod tiers;
