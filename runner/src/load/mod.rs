//! The request path: it releases requests when they are due, sends them, stamps what comes back, and turns it into rows.
//!
//! Two threads live as long as the run. The *request thread* paces, writes, and stamps bytes as they arrive; it neither parses nor logs nor
//! waits for anybody. The *parser thread* takes finished exchanges from it and makes rows of them.

mod agenda;
mod alarm;
mod answer;
mod client;
mod connection;
mod driver;
mod exchange;
mod heartbeat;
mod histogram;
mod inbox;
mod opening;
mod outcome;
mod parser;
mod request;
mod rows;
mod slot;
mod sse;
mod stops;
#[cfg(test)]
mod stream_tests;
mod target;
mod transport;
mod turn;
mod upload;
mod wire;

pub use answer::{Answer, read_stream};
pub use client::{Client, ClientError};
pub use exchange::Recording;
pub use histogram::Spread;
pub use stops::Stops;
pub use target::{Target, TargetError};
pub(crate) use transport::Transport;
pub use turn::{
    ArrivalItem, Body, Conversation, ConversationTurn, Identity, LoadEvent, RequestFacts,
    RequestItem, Schedule, Turn, TurnReport,
};
